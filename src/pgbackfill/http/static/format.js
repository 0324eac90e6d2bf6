// Numbers and times as people read them. Unknown is never a number.

export const NOTHING = "–";

const known = (value) => value !== null && value !== undefined;

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en") : NOTHING;
}

export function short(value) {
  return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

export function milliseconds(value) {
  if (!known(value)) return NOTHING;
  return value < 100 ? `${value.toFixed(1)} ms` : `${count(value)} ms`;
}

export function seconds(value) {
  if (!known(value)) return NOTHING;
  if (value !== 0 && value < 0.1) return milliseconds(value * 1000);
  return value < 10 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`;
}

// A limit, or a mark at an axis: as few digits as it takes.
export function bound(value) {
  if (value !== 0 && value < 0.1) return `${Number((value * 1000).toPrecision(3))} ms`;
  return value < 120 ? `${Number(value.toPrecision(3))} s` : duration(value).replace(/ 00 (s|min)$/, "");
}

export function bytes(value) {
  if (!known(value)) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; Math.abs(value) >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${Number(value.toFixed(Math.abs(value) < 10 ? 1 : 0))} ${units[unit]}`;
}

export function quantity(value, unit, isLimit = false) {
  if (!known(value)) return NOTHING;
  if (unit === "s") return isLimit ? bound(value) : seconds(value);
  if (unit === "B") return bytes(value);
  return `${value.toLocaleString("en", { maximumFractionDigits: 2 })}${unit}`;
}

export function duration(value) {
  const whole = Math.max(0, Math.round(value));
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function left(job) {
  if (!known(job.eta_low) || !known(job.eta_high)) return null;
  const low = duration(job.eta_low), high = duration(job.eta_high);
  return low === high ? `${low} left` : `${low} to ${high} left`;
}

export function percent(value) {
  return `${(value ?? 0).toFixed(value >= 100 ? 0 : 2)} %`;
}

export function clock(epochSeconds, withSeconds = true) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(epochSeconds * 1000).toLocaleTimeString("en-GB", withSeconds ? { ...options, second: "2-digit" } : options);
}

export function moment(text) {
  if (!text) return NOTHING;
  const at = new Date(text), today = new Date().toDateString() === at.toDateString();
  const time = clock(at / 1000);
  return today ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

export function age(text) {
  return text ? Math.max(0, (Date.now() - new Date(text)) / 1000) : null;
}
