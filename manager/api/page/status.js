// The status that results from the service's events.

/** The latest status, with processor use in percent, which takes two measurements. */
export class Status {
  runs = new Map();
  modules = {};
  permits = null;
  omitted = 0;
  isAccepting = true;
  audit = "ok";
  isLive = false;
  #offset = 0;
  #seenAt = 0;
  #sampledAt = null;
  #cpu = new Map();

  get isKnown() {
    return this.permits !== null;
  }

  /** Milliseconds since 1970 by the service's clock; it stops while no events come. */
  get now() {
    return this.isLive ? Date.now() + this.#offset : this.#seenAt;
  }

  /** Apply an event of `/events`. */
  take(name, { at, status, gone }) {
    this.#seenAt = Date.parse(at);
    this.#offset = this.#seenAt - Date.now();
    if (name === "status") this.#keepOnly(status.executions);
    for (const id of gone) this.runs.delete(String(id));
    for (const [id, entry] of Object.entries(status.executions)) this.#run(id).take(entry);
    this.modules = status.modules;
    this.permits = status.permits;
    this.omitted = status.executions_omitted;
    this.isAccepting = status.accepting;
    this.audit = status.audit;
    this.#sample(status.sampled_at === null ? null : Date.parse(status.sampled_at));
  }

  get waiting() {
    return this.#inState("queued");
  }

  get running() {
    return this.#inState("starting", "running");
  }

  get finished() {
    return this.#inState("finished");
  }

  /** Percent of one processor that the workers of a module use; null when unknown. */
  moduleCpu(kind) {
    return this.#cpu.get(kind)?.percent ?? null;
  }

  #inState(...states) {
    return [...this.runs.values()].filter((run) => states.includes(run.state));
  }

  #run(id) {
    if (!this.runs.has(id)) this.runs.set(id, new Run(Number(id)));
    return this.runs.get(id);
  }

  #keepOnly(executions) {
    for (const id of this.runs.keys()) if (!(id in executions)) this.runs.delete(id);
  }

  #sample(at) {
    if (at === null || at === this.#sampledAt) return;
    const seconds = this.#sampledAt === null ? null : (at - this.#sampledAt) / 1000;
    this.#sampledAt = at;
    for (const run of this.runs.values()) run.sample(at, seconds);
    for (const [kind, module] of Object.entries(this.modules)) {
      const used = module.workers.reduce((sum, worker) => sum + (worker.cpu_seconds ?? 0), 0);
      const before = this.#cpu.get(kind)?.used;
      this.#cpu.set(kind, { used, percent: rate(before, used, seconds) });
    }
  }
}

/** One run; times in milliseconds since 1970, null for what has not happened. */
export class Run {
  cpu = null;
  #cpuBefore = null;

  constructor(id) {
    this.id = id;
  }

  take(entry) {
    this.state = entry.state;
    this.cause = entry.cause;
    this.version = entry.version;
    this.acceptedAt = parse(entry.accepted_at);
    this.startedAt = parse(entry.started_at);
    this.deadline = parse(entry.strict_deadline);
    this.finishedAt = parse(entry.result?.finished_at);
    this.pid = entry.pid;
    this.rss = entry.rss_bytes;
    this.cpuSeconds = entry.cpu_seconds;
  }

  get isOver() {
    return this.state === "finished";
  }

  /** Update for a new measurement, `seconds` after the last one. */
  sample(at, seconds) {
    if (this.state !== "running" || this.cpuSeconds === null) {
      this.cpu = null;
      return;
    }
    const isFirst = this.#cpuBefore === null;
    const span = isFirst ? (at - this.startedAt) / 1000 : seconds;
    this.cpu = rate(isFirst ? 0 : this.#cpuBefore, this.cpuSeconds, span);
    this.#cpuBefore = this.cpuSeconds;
  }
}

function rate(before, used, seconds) {
  if (before === undefined || seconds === null || seconds <= 0) return null;
  return Math.max(0, (100 * (used - before)) / seconds);
}

const parse = (text) => (text ? Date.parse(text) : null);
