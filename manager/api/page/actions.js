// The actions of the page, with their questions and messages.

import { confirm } from "./dialogs.js";
import { announce, notify } from "./elements.js";

const GRACE = 5000; // milliseconds between SIGTERM and SIGKILL

/** Actions on the service; `changed` is called when one begins or ends. */
export class Actions {
  #client;
  #changed;
  #cancelling = new Set();
  #moving = new Map();
  #problems = new Map();

  constructor(client, changed) {
    this.#client = client;
    this.#changed = changed;
  }

  /** Whether a run is being cancelled. */
  isEnding(run) {
    return this.#cancelling.has(run.id) || (!run.isOver && run.cause !== null);
  }

  /** What this page is doing to a module: `starting`, `stopping`, `restarting` or null. */
  doing(kind) {
    return this.#moving.get(kind) ?? null;
  }

  /** Why the last attempt of this page to change a module failed, or null. */
  problem(kind) {
    return this.#problems.get(kind) ?? null;
  }

  async cancel(run) {
    const text = run.state === "queued"
      ? "It waits for permits and will not be started."
      : `It has ${GRACE / 1000} seconds to end by itself, then it is killed. This cannot be undone.`;
    if (!(await confirm(`Cancel run ${run.id}?`, text, "Cancel the run"))) return;
    this.#cancelling.add(run.id);
    this.#changed();
    try {
      await this.#client.json("DELETE", `genvm/${run.id}?wait_timeout_ms=${GRACE}`);
      announce(`Run ${run.id} is cancelled`);
    } catch (error) {
      notify(`Run ${run.id} could not be cancelled: ${error.message}`);
    }
    this.#cancelling.delete(run.id);
    this.#changed();
  }

  start(kind) {
    return this.#move(kind, "start", "starting");
  }

  async restart(kind, name) {
    const text = "A new one takes over; the present one serves connected runs to their end. "
      + "The new one reads its configuration file again.";
    if (await confirm(`Restart the ${name} module?`, text, "Restart")) {
      await this.#move(kind, "restart", "restarting");
    }
  }

  async stop(kind, name) {
    const text = "New runs that need modules are refused until it runs again; runs that are "
      + "connected have their time to end.";
    if (await confirm(`Stop the ${name} module?`, text, "Stop it")) {
      await this.#move(kind, "stop", "stopping");
    }
  }

  async #move(kind, verb, doing) {
    this.#moving.set(kind, doing);
    this.#problems.delete(kind);
    this.#changed();
    try {
      await this.#client.json("POST", `module/${verb}`, { module_type: kind });
    } catch (error) {
      this.#problems.set(kind, error.message);
    }
    this.#moving.delete(kind);
    this.#changed();
  }
}
