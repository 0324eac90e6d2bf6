// All jobs, and this daemon.

import { el, redraw } from "./dom.js";
import { age, count, duration, left, moment, percent } from "./format.js";

export const FINISHED = ["succeeded", "failed", "cancelled"];

const chip = (job) => {
  const held = job.status === "running" && job.hold_reason;
  return el("span", { class: `chip ${held ? "held" : job.status}` }, held ? "held" : job.status);
};

// The elements of a job that stay while their content changes: a finger that is on a link must find it there.
export class Summary {
  constructor(name) {
    this.status = el("span");
    this.percent = el("span", { class: "percent" });
    this.bar = el("progress", { max: 100, value: 0, "aria-label": `progress of ${name}` });
    this.facts = el("p", { class: "facts" });
    this.remarks = el("div");
  }

  update(job) {
    this.status.replaceChildren(chip(job));
    this.percent.textContent = percent(job.percent);
    this.bar.value = job.percent ?? 0;
    this.bar.className = job.status === "running" && job.hold_reason ? "held" : job.status;
    this.facts.textContent = facts(job);
    this.remarks.replaceChildren(...remarks(job));
  }
}

function facts(job) {
  const estimated = job.rows_estimated && !FINISHED.includes(job.status) ? ` of about ${count(job.rows_estimated)}` : "";
  const running = job.status === "running" && job.rows_per_second !== null;
  return [
    `${count(job.rows_scanned)}${estimated} rows`,
    running && !job.hold_reason ? `${count(job.rows_per_second)} rows/s` : null,
    job.step ? `${job.step.replaceAll("_", " ")} ${Math.floor(job.step_percent ?? 0)} %` : null,
    left(job),
    job.rows_quarantined ? `${count(job.rows_quarantined)} quarantined` : null,
    job.finished_at ? `ended ${moment(job.finished_at)}` : null,
  ].filter(Boolean).join(" · ");
}

// What a person should know besides: why nothing moves, what was asked for, what limits it.
function remarks(job) {
  const lines = [];
  const held = age(job.hold_since);
  if (job.hold_reason && !FINISHED.includes(job.status)) {
    const verb = ["running", "verifying"].includes(job.status) ? "held" : job.status === "paused" ? "paused itself" : "waits";
    lines.push(el("p", { class: "remark held" }, `${verb}${held === null ? "" : ` for ${duration(held)}`}: ${job.hold_reason}`));
  }
  const wanted = { pause: "paused", cancel: "cancelled" }[job.desired_state];
  if (wanted && wanted !== job.status && !FINISHED.includes(job.status)) {
    lines.push(el("p", { class: "remark" }, `Asked to be ${wanted}: takes effect when the current chunk has ended.`));
  }
  if (job.pause_until && job.desired_state === "pause") {
    lines.push(el("p", { class: "remark" }, `Goes on by itself at ${moment(job.pause_until)}.`));
  }
  if (job.throttle_ratio !== null && job.throttle_ratio !== undefined) {
    const until = moment(job.throttle_until);
    lines.push(el("p", { class: "remark slowed" }, `Throttled to ${Number((100 * job.throttle_ratio).toFixed(1))} % until ${until}.`));
  }
  return lines;
}

export class ListView {
  constructor(act) {
    this.act = act;
    this.cards = new Map();
    this.jobs = el("section", { class: "jobs", "aria-label": "Jobs" });
    this.daemon = el("section", { class: "card daemon", "aria-label": "This daemon" });
    this.element = el("div", {}, this.jobs, this.daemon);
  }

  update({ process, jobs }) {
    for (const job of jobs) this.card(job).update(job);
    const order = jobs.map((job) => [job.name, FINISHED.includes(job.status)]);
    redraw(this.jobs, order, () => this.sections(jobs));
    redraw(this.daemon, process, () => this.process(process));
  }

  sections(jobs) {
    if (jobs.length === 0) {
      return el("p", { class: "card empty" }, "There are no jobs yet. An INSERT INTO pgbackfill.jobs makes one, or ",
        el("code", {}, "pgbackfill enqueue"), ".");
    }
    const ended = jobs.filter((job) => FINISHED.includes(job.status));
    const others = jobs.filter((job) => !FINISHED.includes(job.status));
    return [
      ...others.map((job) => this.card(job).element),
      ended.length ? el("h2", {}, "Finished") : null,
      ...ended.map((job) => this.card(job).element),
    ];
  }

  card({ name }) {
    if (!this.cards.has(name)) {
      const summary = new Summary(name);
      const link = el("a", { class: "name", href: `#/jobs/${encodeURIComponent(name)}`, "data-key": `job ${name}` }, name);
      summary.element = el("article", { class: "card job" },
        el("div", { class: "head" }, link, summary.status, summary.percent), summary.bar, summary.facts, summary.remarks);
      this.cards.set(name, summary);
    }
    return this.cards.get(name);
  }

  process(process) {
    const paused = process.paused_by.length > 0;
    const throttled = process.throttle_seconds_left !== null;
    const said = paused ? `paused by ${process.paused_by.join(" and ")}` : "working";
    const act = (action) => () => this.act("this daemon", `api/v1/${action}`, action);
    const own = process.paused_by.includes("http");
    return [
      el("div", {}, el("strong", {}, "This daemon"), ` is ${said}`,
        throttled ? `, throttled to ${Number((100 * process.throttle_ratio).toFixed(1))} % for ${duration(process.throttle_seconds_left)}` : "", "."),
      el("div", { class: "buttons" },
        own ? el("button", { type: "button", "data-key": "resume", onclick: act("resume") }, "Resume")
          : el("button", { type: "button", "data-key": "pause", onclick: act("pause") }, "Pause"),
        throttled ? el("button", { type: "button", "data-key": "unthrottle", onclick: act("unthrottle") }, "End throttle")
          : el("button", { type: "button", "data-key": "throttle", onclick: act("throttle") }, "Throttle")),
    ];
  }
}
