// One module: its state, its workers and its buttons.

import { announce, element, mark, say } from "./elements.js";
import { NONE, age, bytes, moment, percent, whole } from "./format.js";

export const MODULES = { llm: "LLM", web: "Web" };

/** Shows a module while the page is open. */
export class ModuleCard {
  #kind;
  #name;
  #actions;
  #state = element("span", { class: "state" });
  #since = element("time", { class: "soft" });
  #reason = element("p", { class: "reason bad", role: "status", hidden: true });
  #facts = {};
  #list;
  #buttons;

  constructor(kind, actions) {
    this.#kind = kind;
    this.#name = MODULES[kind];
    this.#actions = actions;
    const name = this.#name;
    const button = (label, act) =>
      element("button", { "aria-label": `${label} the ${name} module`, onclick: act }, label);
    this.#buttons = {
      start: button("Start", () => actions.start(kind)),
      restart: button("Restart", () => actions.restart(kind, name)),
      stop: button("Stop", () => actions.stop(kind, name)),
    };
    this.#list = this.#made(["Workers", "Sessions", "CPU", "Memory"]);
    this.node = element("article", { class: "module", "aria-label": `${name} module` },
      element("h3", {}, name), element("p", { class: "condition" }, this.#state, this.#since),
      this.#list,
      element("p", { class: "actions" }, ...Object.values(this.#buttons)), this.#reason);
  }

  update(status) {
    const module = status.modules[this.#kind];
    const since = Date.parse(module.since);
    if (this.#state.dataset.state && this.#state.dataset.state !== module.state) {
      announce(`The ${this.#name} module is ${module.state}`);
    }
    mark(this.#state, "data-state", module.state);
    say(this.#state, module.state);
    say(this.#since, `for ${age(status.now - since)}`);
    mark(this.#since, "title", moment(since));
    // The error of an action may be the module's `reason` already.
    const reasons = new Set([module.reason, this.#actions.problem(this.#kind)]);
    say(this.#reason, [...reasons].filter((each) => each !== null).join("; "));
    this.#reason.hidden = this.#reason.textContent === "";
    this.#showWorkers(module, status.moduleCpu(this.#kind));
    this.#offer(module.state, status.isLive);
  }

  #made(names) {
    return element("dl", {}, ...names.map((name) => {
      this.#facts[name] = element("dd", {}, NONE);
      return element("div", {}, element("dt", {}, name), this.#facts[name]);
    }));
  }

  #showWorkers({ workers, retiring }, cpu) {
    this.#list.hidden = workers.length === 0 && retiring === 0;
    const living = workers.filter((worker) => worker.pid !== null).length;
    const sessions = workers.reduce((sum, worker) => sum + worker.sessions, 0);
    const memory = workers.reduce((sum, worker) => sum + (worker.rss_bytes ?? 0), 0);
    const isThere = workers.length > 0;
    const lacking = living < workers.length ? ` of ${workers.length}` : "";
    say(this.#facts.Workers, isThere ? `${living}${lacking}` : NONE);
    const leaving = retiring ? ` + ${whole(retiring)} retiring` : "";
    say(this.#facts.Sessions, isThere || retiring ? `${whole(sessions)}${leaving}` : NONE);
    say(this.#facts.CPU, isThere && cpu !== null ? percent(cpu) : NONE);
    say(this.#facts.Memory, memory ? bytes(memory) : NONE);
  }

  #offer(state, isLive) {
    const isBusy = !isLive || this.#actions.doing(this.#kind) !== null;
    const { start, restart, stop } = this.#buttons;
    start.hidden = !["stopped", "failed"].includes(state);
    restart.hidden = state !== "running";
    stop.hidden = start.hidden === false;
    for (const button of [start, restart, stop]) button.disabled = isBusy;
    stop.disabled = !isLive;
  }
}
