// The last hour of a job: fetched once, then only what is new.

import { get } from "./api.js";

export class History {
  constructor(name) {
    this.path = `api/v1/jobs/${encodeURIComponent(name)}/history`;
    this.data = null;
  }

  async fetch() {
    const since = this.data?.points.at.at(-1);
    const fresh = await get(since === undefined ? this.path : `${this.path}?since=${since}`);
    if (this.data) {
      for (const [name, old] of Object.entries(this.data.points)) fresh.points[name] = [...old, ...fresh.points[name]];
    }
    const oldest = fresh.now - fresh.kept_s;
    const kept = fresh.points.at.findIndex((at) => at > oldest);
    for (const name of Object.keys(fresh.points)) fresh.points[name] = kept < 0 ? [] : fresh.points[name].slice(kept);
    this.data = fresh;
    return fresh;
  }
}
