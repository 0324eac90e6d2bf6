// Questions that need an answer before something is done.

import { el } from "./dom.js";

// Answers the fields' values by name, or null.
function ask({ title, text, fields = [], label, danger = false }) {
  return new Promise((resolve) => {
    const form = el("form", {}, el("h2", {}, title), ...[text].flat().filter(Boolean).map((line) => el("p", {}, line)));
    for (const { caption, control } of fields) form.append(el("label", {}, caption, control));
    const close = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    form.append(
      el("div", { class: "buttons" },
        el("button", { type: "button", onclick: () => close(null) }, "Back"),
        el("button", { type: "submit", class: danger ? "danger" : "primary" }, label)),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close(Object.fromEntries(fields.map(({ control }) => [control.name, control.value])));
    });
    const dialog = el("dialog", { oncancel: (event) => { event.preventDefault(); close(null); } }, form);
    document.body.append(dialog);
    dialog.showModal();
  });
}

const choice = (name, options) =>
  el("select", { name }, ...options.map(([value, text]) => el("option", { value }, text)));

const TIMES = [["10m", "10 minutes"], ["30m", "30 minutes"], ["2h", "2 hours"], ["8h", "8 hours"], ["1d", "1 day"]];

export async function askToken(wrong) {
  const control = el("input", { type: "password", name: "token", autocomplete: "off", required: true, spellcheck: "false" });
  const answer = await ask({
    title: "Token",
    text: [
      wrong ? "The daemon does not accept that token." : "This daemon wants a token before it changes anything.",
      "It is what PGBACKFILL_HTTP__TOKEN says, and stays in this tab until you close it.",
    ],
    fields: [{ caption: "Token", control }],
    label: "Go on",
  });
  return answer === null || answer.token.trim() === "" ? null : answer.token.trim();
}

export async function askPause(what) {
  const answer = await ask({
    title: `Pause ${what}`,
    text: "It stops when the current chunk has ended, and goes on where it stopped.",
    fields: [{ caption: "For", control: choice("for", [["", "until somebody resumes it"], ...TIMES]) }],
    label: "Pause",
  });
  return answer === null ? null : answer.for === "" ? {} : { for: answer.for };
}

export async function askThrottle(what) {
  const ratios = [["0.75", "75 %"], ["0.5", "50 %"], ["0.25", "25 %"], ["0.1", "10 %"]];
  const ratio = choice("ratio", ratios), time = choice("for", TIMES);
  ratio.value = "0.5";
  time.value = "30m";
  const answer = await ask({
    title: `Throttle ${what}`,
    text: "It makes only this share of its pace, for so long.",
    fields: [{ caption: "Share", control: ratio }, { caption: "For", control: time }],
    label: "Throttle",
  });
  return answer === null ? null : { ratio: Number(answer.ratio), for: answer.for };
}

export async function askCancel(what) {
  const text = "What it has changed stays changed. A cancelled job can be retried, and goes on where it stopped.";
  return (await ask({ title: `Cancel ${what}?`, text, label: "Cancel the job", danger: true })) === null ? null : {};
}
