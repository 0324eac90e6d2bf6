// The JSON interface. The token is asked for when the daemon wants one, and kept until the browser's tab is closed.

const TOKEN = "pgbackfill.token";
const TIMEOUT_MS = 10_000;

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export async function get(path) {
  return answered(await sent(path, {}));
}

// `askToken(wrong)` answers a token, or null where the person has none.
export async function post(path, content, askToken) {
  for (let wrong = false; ; wrong = true) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { "content-type": "application/json" };
    if (token !== null) headers.authorization = `Bearer ${token}`;
    const answer = await sent(path, { method: "POST", headers, body: JSON.stringify(content) });
    if (answer.status !== 401) return answered(answer);
    sessionStorage.removeItem(TOKEN);
    const given = await askToken(wrong || token !== null);
    if (given === null) return null;
    sessionStorage.setItem(TOKEN, given);
  }
}

async function sent(path, options) {
  try {
    return await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  } catch {
    throw new Refused(0, "This daemon does not answer.");
  }
}

async function answered(answer) {
  let content;
  try {
    content = await answer.json();
  } catch {
    throw new Refused(answer.status, `The answer (${answer.status}) is not JSON; is there a proxy in between?`);
  }
  if (!answer.ok) throw new Refused(answer.status, content.error ?? `The daemon answers ${answer.status}.`);
  return content;
}
