// Which view is shown, and its data, again and again while somebody looks.

import { get, post } from "./api.js";
import { askCancel, askPause, askThrottle, askToken } from "./dialog.js";
import { clock } from "./format.js";
import { History } from "./history.js";
import { JobView } from "./job.js";
import { ListView } from "./list.js";

const REFRESH_MS = 2000;
const QUESTIONS = { pause: askPause, throttle: askThrottle, cancel: askCancel };

const [main, banner, live, processLine] = ["main", "banner", "live", "process"].map((id) => document.getElementById(id));
let shown = null, timer = null, answeredAt = null, refused = null;

// A view and where its data comes from; `load` answers what `view.update` takes.
function route() {
  const name = /^#\/jobs\/(.+)$/.exec(location.hash)?.[1];
  if (name === undefined) {
    const view = new ListView(act);
    return { view, load: async () => ({ jobs: (await get("api/v1/jobs")).jobs }) };
  }
  const job = decoded(name);
  const view = new JobView(job, act), history = new History(job);
  const load = async () => {
    const [found, { signals }, past] = await Promise.all([
      get(`api/v1/jobs/${encodeURIComponent(job)}`), get("api/v1/signals"), history.fetch(),
    ]);
    return { job: found, signals, history: past };
  };
  return { view, load };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show() {
  shown = route();
  main.replaceChildren(shown.view.element);
  window.scrollTo(0, 0);
  refresh();
}

async function refresh() {
  clearTimeout(timer);
  const current = shown;
  try {
    const [process, data] = await Promise.all([get("api/v1"), current.load()]);
    if (current !== shown) return;
    current.view.update({ process, ...data });
    tellProcess(process);
    answeredAt = Date.now() / 1000;
    tell(refused);
  } catch (error) {
    if (current !== shown) return;
    const since = answeredAt === null ? "" : ` What is below was true at ${clock(answeredAt)}.`;
    tell(`${error.message}${since}`);
    tellLive(false);
    if (!("status" in error)) console.error(error);
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

// Asks what has to be asked, posts it, and shows what came of it.
async function act(what, path, action) {
  const content = QUESTIONS[action] ? await QUESTIONS[action](what) : {};
  if (content === null) return;
  try {
    await post(path, content, askToken);
    refused = null;
  } catch (error) {
    refused = error.message;
  }
  await refresh();
}

function tell(sentence) {
  banner.textContent = sentence ?? "";
  banner.hidden = !sentence;
}

function tellProcess(process) {
  processLine.textContent = process.version;
  tellLive(true);
  const paused = process.paused_by.length > 0;
  if (paused) live.textContent = `daemon paused by ${process.paused_by.join(" and ")}`;
}

function tellLive(answers) {
  live.className = answers ? "live" : "live stale";
  live.textContent = answers ? "live" : "no answer";
}

window.addEventListener("hashchange", () => { refused = null; show(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
show();
