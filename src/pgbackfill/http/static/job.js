// One job: how far, why not, the last hour, and everything that is known of it.

import { Chart } from "./chart.js";
import { el, redraw } from "./dom.js";
import { bound, bytes, count, milliseconds, moment, NOTHING, quantity, seconds, short } from "./format.js";
import { Summary } from "./list.js";

// `current` says what is so now, of a job and the signals.
const CHARTS = [
  {
    title: "Rows per second", series: [{ key: "rows_per_second" }], format: count, axis: short,
    current: (job) => (job.status !== "running" ? NOTHING : count(job.hold_reason ? 0 : job.rows_per_second)),
  },
  {
    title: "Rows per chunk", series: [{ key: "chunk_rows" }], format: count, axis: short,
    current: (job) => (job.status === "running" ? count(job.chunk_rows) : NOTHING),
  },
  {
    title: "Replica lag", series: [{ key: "lag_s" }], format: seconds, axis: bound,
    current: (job, signals) => worst(signals, "replica_lag") ?? "no replicas",
  },
  {
    title: "Query latency", format: seconds, axis: bound,
    series: [{ key: "canary_read_s", label: "read" }, { key: "canary_write_s", label: "write" }],
    current: (job, signals) => ["canary_read", "canary_write"].map((name) => worst(signals, name) ?? NOTHING).join(" · "),
  },
];

// Of several replicas the one that is furthest behind; null where there is none.
function worst(signals, name) {
  const found = signals.filter((signal) => signal.name === name);
  if (found.length === 0) return null;
  if (found.some(({ level, value }) => level === "unknown" || value === null)) return "unknown";
  return seconds(Math.max(...found.map(({ value }) => value)));
}

export class JobView {
  constructor(name, act) {
    this.name = name;
    this.act = act;
    this.summary = new Summary(name);
    this.charts = CHARTS.map((chart) => ({ chart: new Chart(chart), current: chart.current }));
    this.actions = el("div", { class: "buttons actions" });
    this.facts = el("dl", { class: "numbers" });
    this.parts = el("div", { class: "parts" });
    this.signals = el("section", { class: "card part" });
    const { status, percent, bar, facts, remarks } = this.summary;
    this.element = el("div", {},
      el("p", { class: "back" }, el("a", { href: "#/" }, "← all jobs")),
      el("article", { class: "card job" },
        el("div", { class: "head" }, el("h1", {}, name), status, percent), bar, facts, remarks, this.actions, this.facts),
      el("section", { class: "charts", "aria-label": "The last hour" }, ...this.charts.map(({ chart }) => chart.element)),
      this.signals, this.parts);
  }

  update({ job, signals, history }) {
    this.summary.update(job);
    redraw(this.actions, this.possible(job), (actions) => actions.map((action) => this.button(action)));
    redraw(this.facts, numbers(job), (rows) => rows.map(([name, value]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    for (const { chart, current } of this.charts) chart.update(history, current(job, signals));
    redraw(this.signals, signals, drawnSignals);
    const { hazards, ranges, events, quarantine, options } = job;
    redraw(this.parts, { error: job.error, hazards, quarantine, events, ranges, options }, drawnParts);
  }

  possible(job) {
    if (["failed", "cancelled"].includes(job.status)) return ["retry"];
    if (job.status === "succeeded") return [];
    const paused = job.desired_state === "pause" || job.status === "paused";
    const throttled = job.throttle_ratio !== null;
    const approvable = job.hold_reason === "waits_for approval" ? ["approve"] : [];
    return [...approvable, paused ? "resume" : "pause", "throttle", ...(throttled ? ["unthrottle"] : []), "cancel"];
  }

  button(action) {
    const words = { pause: "Pause", resume: "Resume", throttle: "Throttle", unthrottle: "End throttle", cancel: "Cancel", retry: "Retry",
      approve: "Approve" };
    const kind = { pause: "primary", resume: "primary", retry: "primary", approve: "primary", cancel: "danger" }[action];
    const path = `api/v1/jobs/${encodeURIComponent(this.name)}/${action}`;
    return el("button", { type: "button", class: kind, "data-key": action, onclick: () => this.act(this.name, path, action) }, words[action]);
  }
}

function numbers(job) {
  const running = job.status === "running";
  return [
    ["Table", `${job.table_name ?? NOTHING}`],
    ["Operation", job.operation],
    ["Rows changed", count(job.rows_changed)],
    ["Last chunk", running ? `${count(job.chunk_rows)} rows in ${milliseconds(job.chunk_ms)}` : NOTHING],
    ["Sleep before it", running ? milliseconds(job.sleep_ms) : NOTHING],
    ["Worked on by", job.worker ?? NOTHING],
    ["Enqueued", job.enqueued_at ? `${moment(job.enqueued_at)} by ${job.enqueued_by}` : NOTHING],
    ["Started", job.started_at ? moment(job.started_at) : NOTHING],
    ["Ended", job.finished_at ? moment(job.finished_at) : null],
  ].filter(([, value]) => value !== null && value !== undefined);
}

const ORDER = ["unknown", "hard", "soft", "ok", "absent"];
const LEVELS = { ok: "ok", soft: "slows the work", hard: "holds the work", unknown: "unknown", absent: "not watched" };

function drawnSignals(signals) {
  const limit = (value, unit) => (value === null || value === undefined ? "" : quantity(value, unit, true));
  const worstFirst = [...signals].sort((one, other) => ORDER.indexOf(one.level) - ORDER.indexOf(other.level));
  const rows = worstFirst.map((signal) => [
    el("span", {}, signal.name, signal.detail ? el("span", { class: "detail" }, signal.detail) : null),
    el("span", { class: `level ${signal.level}` }, LEVELS[signal.level] ?? signal.level),
    ["unknown", "absent"].includes(signal.level) ? NOTHING : quantity(signal.value, signal.unit),
    limit(signal.soft, signal.unit), limit(signal.hard, signal.unit),
  ]);
  return [el("h2", {}, "Signals"), table(["signal", "state", "value", "slows", "holds"], rows, [2, 3, 4])];
}

function drawnParts({ error, hazards, quarantine, events, ranges, options }) {
  return [
    error ? part("Error", [el("pre", { class: "error" }, error)]) : null,
    listed("Quarantine", quarantine, ["sqlstate", "rows", "latest"], (row) => [row.sqlstate, count(row.rows), moment(row.latest)], [1]),
    listed("Hazards", hazards, ["kind", "what"], (row) => [row.kind, row.what]),
    listed("Events", events, ["at", "who", "what", ""], (row) => [moment(row.at), row.actor, row.event, detail(row.detail)]),
    listed("Ranges", ranges, ["range", "table", "status", "scanned", "changed", "chunks", "WAL", "worker"], (row) => [
      String(row.ordinal), row.relation, row.hold_reason ?? row.status, count(row.rows_scanned), count(row.rows_changed),
      count(row.chunk_no), bytes(row.wal_bytes), row.worker ?? "",
    ], [3, 4, 5, 6]),
    options && Object.keys(options).length ? part("Options", [el("p", {}, el("code", {}, JSON.stringify(options)))]) : null,
  ];
}

function part(title, content) {
  return el("section", { class: "card part" }, el("h2", {}, title), ...content);
}

function listed(title, rows, header, cells, numeric = []) {
  if (rows === null) return part(title, [el("p", { class: "muted" }, "The daemon's login may not read them.")]);
  return rows?.length ? part(title, [table(header, rows.map(cells), numeric)]) : null;
}

function table(header, rows, numeric = []) {
  const kind = (at) => (numeric.includes(at) ? { class: "number" } : {});
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ...header.map((text, at) => el("th", kind(at), text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, at) => el("td", kind(at), cell)))))));
}

// `from → to`, or each field by name.
function detail(content) {
  if (content === null || typeof content !== "object") return String(content ?? "");
  const text = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
  const { from, to, ...rest } = content;
  const change = from !== undefined || to !== undefined ? [`${text(from)} → ${text(to)}`] : [];
  return [...change, ...Object.entries(rest).map(([name, value]) => `${name}: ${text(value)}`)].join(", ");
}
