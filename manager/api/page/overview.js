// The overview: modules, permits, the queue, running and finished runs.

import { element, mark, say } from "./elements.js";
import { NONE, age, bytes, cpuTime, duration, percent, whole } from "./format.js";
import { MODULES, ModuleCard } from "./module_card.js";
import { RunTable } from "./run_table.js";

const id = { label: "Run", sort: (run) => run.id };
const version = { label: "Version", text: (run) => run.version ?? NONE, wide: true };

const RUNNING = [
  id,
  { label: "Age", number: true, sort: (run, now) => now - run.startedAt,
    text: (run, now) => (run.startedAt ? age(now - run.startedAt) : run.state) },
  { label: "CPU", number: true, short: true, sort: (run) => run.cpu ?? -1,
    text: (run) => (run.cpu === null ? NONE : percent(run.cpu)) },
  { label: "Memory", number: true, sort: (run) => run.rss ?? -1,
    text: (run) => (run.rss === null ? NONE : bytes(run.rss)) },
  { label: "Time left", number: true, wide: true, sort: (run) => run.deadline ?? Infinity,
    text: (run, now) => (run.deadline ? age(run.deadline - now) : NONE) },
  version,
  { label: "Process", number: true, wide: true, text: (run) => String(run.pid ?? NONE) },
];

const WAITING = [
  id,
  { label: "Waits", number: true, sort: (run, now) => now - run.acceptedAt,
    text: (run, now) => age(now - run.acceptedAt) },
  version,
];

const RECENT = [
  id,
  { label: "Cause", text: (run) => run.cause, tone: (run) => TONES[run.cause] ?? null },
  { label: "Ago", number: true, sort: (run, now) => now - run.finishedAt,
    text: (run, now) => age(now - run.finishedAt) },
  { label: "Ran", number: true, sort: (run) => span(run.startedAt, run.finishedAt) ?? -1,
    text: (run) => took(run.startedAt, run.finishedAt) },
  { label: "Waited", number: true, wide: true,
    sort: (run) => span(run.acceptedAt, run.startedAt) ?? -1,
    text: (run) => took(run.acceptedAt, run.startedAt) },
  { label: "CPU time", number: true, wide: true, sort: (run) => run.cpuSeconds ?? -1,
    text: (run) => (run.cpuSeconds === null ? NONE : cpuTime(run.cpuSeconds)) },
  version,
];

const TONES = { deadline: "bad", memory: "bad", lost: "bad", cancelled: "warn", shutdown: "warn" };

const IDLE = "Nothing runs now. What a node, genvm-manager run or POST /genvm/run starts appears here "
  + "at once.";

const span = (from, to) => (from === null || to === null ? null : to - from);
const took = (from, to) => (span(from, to) === null ? NONE : duration(to - from));

/** Created once; it stays while a run's own view is shown. */
export class Overview {
  title = "GenVM Manager";
  #glance = new Glance();
  #cards;
  #running;
  #waiting;
  #recent;

  constructor(actions, changed) {
    this.#cards = Object.keys(MODULES).map((kind) => new ModuleCard(kind, actions));
    const act = {
      label: (run) => `Cancel run ${run.id}`,
      busy: (run) => actions.isEnding(run),
      run: (run) => actions.cancel(run),
    };
    const oldest = { column: 1, descending: true };
    this.#running = new Section("Running", RUNNING, oldest, changed, act, IDLE);
    this.#waiting = new Section("Waiting for permits", WAITING, oldest, changed, act);
    this.#recent = new Section("Recent", RECENT, { column: 2, descending: false }, changed, null,
      "No run has ended recently.");
    this.node = element("div", { class: "overview" }, this.#glance.node,
      element("section", { class: "modules", "aria-label": "Modules" },
        ...this.#cards.map((card) => card.node)),
      this.#running.node, this.#waiting.node, this.#recent.node);
  }

  update(status) {
    const { running, waiting, finished } = status;
    this.#glance.update(status, running, waiting);
    for (const card of this.#cards) card.update(status);
    this.#running.update(running, status);
    this.#waiting.update(waiting, status);
    this.#waiting.node.hidden = waiting.length === 0;
    this.#recent.update(finished, status);
    const kept = status.omitted ? `and ${whole(status.omitted)} older runs, not listed` : "";
    this.#recent.remark(kept);
    this.title = `${running.length ? `${whole(running.length)} running · ` : ""}GenVM Manager`;
  }

  close() {}
}

/** A heading, a count and a table. */
class Section {
  #count = element("span", { class: "count" });
  #remark = element("span", { class: "remark soft" });
  #table;
  #empty;

  constructor(title, columns, sorting, changed, act, whenEmpty = "") {
    this.#table = new RunTable(title, columns, sorting, changed, act);
    this.#empty = element("p", { class: "empty soft" }, whenEmpty);
    this.node = element("section", { "aria-label": title },
      element("h2", {}, title, this.#count, this.#remark), this.#empty, this.#table.node);
  }

  update(runs, status) {
    this.#table.update(runs, status.now);
    say(this.#count, runs.length ? whole(runs.length) : "");
    this.#table.node.hidden = runs.length === 0;
    this.#empty.hidden = runs.length > 0;
    mark(this.#table.node, "inert", status.isLive ? null : "");
  }

  remark(text) {
    say(this.#remark, text);
  }
}

/** The four figures at the top. */
class Glance {
  #permits = new Figure("Permits in use");
  #waiting = new Figure("Waiting");
  #running = new Figure("Running");
  #load = new Figure("Executors");
  #gauge = element("div", { class: "gauge", role: "meter", "aria-label": "Permits in use" },
    element("div"));

  constructor() {
    this.#permits.node.append(this.#gauge);
    this.node = element("section", { class: "glance", "aria-label": "At a glance" },
      ...[this.#permits, this.#waiting, this.#running, this.#load].map(({ node }) => node));
  }

  update(status, running, waiting) {
    this.#showPermits(status.permits);
    const { now } = status;
    const oldest = (runs, since) => Math.min(...runs.map(since));
    this.#waiting.show(whole(waiting.length), "",
      waiting.length ? `longest ${age(now - oldest(waiting, (run) => run.acceptedAt))}` : "none");
    this.#running.show(whole(running.length), "",
      running.length ? `oldest ${age(now - oldest(running, (run) => run.startedAt ?? now))}` : "idle");
    const cpu = running.reduce((sum, run) => sum + (run.cpu ?? 0), 0);
    const memory = running.reduce((sum, run) => sum + (run.rss ?? 0), 0);
    this.#load.show(percent(cpu), "CPU", `${bytes(memory)} memory`);
  }

  #showPermits({ current, max, in_use: used, per_sync_run: sync, per_nondet_run: nondet }) {
    const excess = used - max;
    const note = excess > 0 ? `${whole(excess)} beyond the budget` : `${whole(current)} free`;
    this.#permits.show(whole(used), `of ${whole(max)}`,
      `${note} · a run takes ${sync}, with modules ${nondet}`);
    mark(this.#gauge, "aria-valuenow", used);
    mark(this.#gauge, "aria-valuemin", 0);
    mark(this.#gauge, "aria-valuemax", Math.max(max, used));
    mark(this.#gauge, "data-tone", used >= max ? "full" : null);
    this.#gauge.style.setProperty("--used", Math.min(1, used / max));
    this.#gauge.style.setProperty("--steps", max <= 40 ? max : 1);
  }
}

class Figure {
  #value = element("span", { class: "value" });
  #unit = element("span", { class: "unit" });
  #note = element("p", { class: "note soft" });

  constructor(name) {
    this.node = element("div", { class: "figure" }, element("h3", {}, name),
      element("p", {}, this.#value, " ", this.#unit), this.#note);
  }

  show(value, unit, note) {
    say(this.#value, value);
    say(this.#unit, unit);
    say(this.#note, note);
  }
}
