// One quantity over the last hour. Times in which the job was held or paused are shaded; unknown times are gaps.

import { el, svg } from "./dom.js";
import { clock, NOTHING } from "./format.js";

const HEIGHT = 150, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 22;
// What is shown, and the time between two marks below it, in seconds.
const SPANS = [[60, 15], [120, 30], [300, 60], [600, 120], [1200, 300], [1800, 300], [3600, 900]];
const GAP_INTERVALS = 3;

export class Chart {
  // series: [{ key, label }]; format: how a value is read, and how at the axis.
  constructor({ title, series, format, axis }) {
    Object.assign(this, { series, format, axis });
    this.reading = el("output", { class: "reading" });
    this.canvas = svg("svg", { height: HEIGHT, role: "img" });
    const legend = series.length < 2 ? [] : series.map(({ label }, at) => el("span", { class: `legend line${at}` }, label));
    this.element = el("figure", { class: "chart card" },
      el("figcaption", {}, el("span", { class: "title" }, title), ...legend, this.reading), this.canvas);
    this.title = title;
    this.data = null;
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  // `current` is the value of this moment in words; the newest point is some seconds old.
  update(history, current) {
    this.data = history;
    this.current = current;
    this.draw();
  }

  draw() {
    const width = this.canvas.clientWidth;
    if (!this.data || width === 0) return;
    const { points, now, limits } = this.data;
    const began = points.at.length ? now - points.at[0] : 0;
    const [span, step] = SPANS.find(([each]) => began <= each) ?? SPANS.at(-1);
    this.limit = this.series.map(({ key }) => limits[key]).find(Boolean);
    const known = this.series.flatMap(({ key }) => points[key]).filter((value) => value !== null);
    const top = nice(Math.max(...known, this.limit?.hard ?? 0, this.limit?.soft ?? 0) || 1);
    this.x = (at) => LEFT + ((at - (now - span)) / span) * (width - LEFT - RIGHT);
    this.y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    this.cursor = svg("g", { class: "cursor" });
    this.canvas.replaceChildren(
      ...this.shades(points, span), ...this.grid(top, width), ...this.times(now, span, width < 420 ? 2 * step : step, width),
      ...this.limitLines(width), ...this.lines(points), this.cursor);
    this.canvas.setAttribute("aria-label", `${this.title}: ${this.current}`);
    this.point(this.pointed);
  }

  grid(top, width) {
    return [0, 0.5, 1].flatMap((share) => {
      const y = this.y(top * share);
      return [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
        svg("text", { class: "label", x: LEFT - 6, y: y + 4, "text-anchor": "end" }, this.axis(top * share)),
      ];
    });
  }

  times(now, span, step, width) {
    const first = Math.ceil((now - span) / step) * step;
    const marks = Array.from({ length: Math.floor((now - first) / step) + 1 }, (_, at) => first + at * step);
    return marks.map((at) => {
      const x = Math.min(Math.max(this.x(at), LEFT + 14), width - RIGHT - 14);
      return svg("text", { class: "label", x, y: HEIGHT - 6, "text-anchor": "middle" }, clock(at, span < 600));
    });
  }

  limitLines(width) {
    return ["soft", "hard"].filter((name) => this.limit).flatMap((name) => {
      const y = this.y(this.limit[name]);
      const words = name === "soft" ? "slows" : "holds";
      return [
        svg("line", { class: `limit ${name}`, x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
        svg("text", { class: `limit ${name}`, x: LEFT + 4, y: y - 4 },
          `${words} above ${this.axis(this.limit[name])}`),
      ];
    });
  }

  shades(points, span) {
    const { interval_s: interval, now } = this.data;
    const runs = [];
    points.hold.forEach((hold, at) => {
      const last = runs.at(-1);
      const from = Math.max(points.at[at] - interval, now - span), to = points.at[at];
      if (hold && last && last.hold === hold && from - last.to < interval) last.to = to;
      else if (hold) runs.push({ hold, from, to });
    });
    return runs.map(({ hold, from, to }) => svg("rect", {
      class: hold.startsWith("paused") ? "shade paused" : "shade held",
      x: this.x(from), y: TOP, width: Math.max(1, this.x(to) - this.x(from)), height: HEIGHT - TOP - BOTTOM,
    }));
  }

  lines(points) {
    return this.series.flatMap(({ key }, number) => {
      const runs = [[]];
      points[key].forEach((value, at) => {
        const before = at > 0 ? points.at[at] - points.at[at - 1] : 0;
        if (value === null || before > GAP_INTERVALS * this.data.interval_s) runs.push([]);
        if (value !== null) runs.at(-1).push([this.x(points.at[at]), this.y(value)]);
      });
      return runs.filter((run) => run.length).map((run) => {
        const path = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
        return svg("path", { class: `line line${number}`, d: run.length > 1 ? `M${path}` : `M${path}h1.5` });
      });
    });
  }

  words(at) {
    const values = this.series.map(({ key }) => this.data.points[key][at]);
    if (values.every((value) => value === null)) return NOTHING;
    return values.map((value) => this.format(value)).join(" · ");
  }

  // The values under the pointer; without one those of now.
  point(x) {
    this.pointed = x;
    if (!this.data || !this.cursor) return;
    const { at: times, hold } = this.data.points;
    this.cursor.replaceChildren();
    if (x === null || x === undefined || times.length === 0) {
      this.reading.value = this.current;
      return;
    }
    let nearest = 0;
    times.forEach((time, at) => {
      if (Math.abs(this.x(time) - x) < Math.abs(this.x(times[nearest]) - x)) nearest = at;
    });
    const place = this.x(times[nearest]);
    this.cursor.append(svg("line", { x1: place, x2: place, y1: TOP, y2: HEIGHT - BOTTOM }));
    const held = hold[nearest] ? ` · ${hold[nearest].startsWith("paused") ? "" : "held: "}${hold[nearest]}` : "";
    this.reading.value = `${clock(times[nearest])} · ${this.words(nearest)}${held}`;
  }
}

// The smallest of 1, 2, 5, 10, 20, … that is not below the value.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((each) => each >= value * 1.02) ?? 10 * power * 1.5;
}
