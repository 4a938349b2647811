// One run: its timeline, its resources, its end, its result and its outputs.

import { announce, element, mark, say } from "./elements.js";
import { NONE, age, bytes, clock, cpuTime, duration, moment, percent } from "./format.js";
import { Outputs } from "./output_view.js";
import { readResult } from "./result.js";

const MAX_RESULT = 256 << 10; // bytes; a longer one is not shown
const NOT_FOUND = "There is no such run. It never existed, or it was pruned: runs that have finished "
  + "are kept for some time only.";

/** Shown until `close`. */
export class RunView {
  #id;
  #client;
  #draw;
  #state = element("span", { class: "state" });
  #cancel;
  #timeline = new Timeline();
  #facts = element("dl", { class: "facts" });
  #result = element("section", { class: "result", "aria-label": "Result", hidden: true });
  #outputs;
  #body;
  #run = null;
  #details = null;
  #isAsking = false;
  #isMissing = false;
  #isClosed = false;
  #isEnding;

  constructor(id, status, client, actions, draw) {
    this.#id = id;
    this.#client = client;
    this.#draw = draw;
    this.title = `Run ${id} – GenVM Manager`;
    this.#cancel = element("button", { class: "grave", hidden: true,
      onclick: () => actions.cancel(this.#run) }, "Cancel");
    this.#isEnding = (run) => actions.isEnding(run);
    this.#outputs = new Outputs(client, id);
    this.#body = element("div", {}, this.#timeline.node, this.#facts, this.#result,
      this.#outputs.node);
    this.node = element("article", { class: "run" },
      element("p", { class: "back" }, element("a", { href: "#/" }, "All runs")),
      element("header", {}, element("h2", { tabindex: -1 }, `Run ${id}`), this.#state, this.#cancel),
      this.#body);
  }

  update(status) {
    const run = status.runs.get(String(this.#id)) ?? this.#details?.run ?? null;
    if (!run || run.isOver) this.#askForDetails(status);
    if (run) this.#show(run, status);
    else if (this.#isMissing) this.#sayMissing();
    if (!this.#isMissing && status.isLive) this.#outputs.update();
  }

  close() {
    this.#isClosed = true;
  }

  #show(run, status) {
    if (this.#run && this.#run.state !== run.state) announce(`Run ${run.id} is ${run.state}`);
    this.#run = run;
    const isEnding = this.#isEnding(run);
    const state = isEnding && !run.isOver ? "stopping" : run.state;
    mark(this.#state, "data-state", state);
    say(this.#state, state);
    this.title = `Run ${run.id} ${state} – GenVM Manager`;
    this.#cancel.hidden = run.isOver;
    this.#cancel.disabled = isEnding || !status.isLive;
    this.#timeline.update(run, status.now);
    this.#showFacts(run, status.now);
  }

  #sayMissing() {
    this.#body.replaceChildren(element("p", { class: "empty" }, NOT_FOUND));
  }

  #showFacts(run, now) {
    const facts = run.isOver ? endFacts(run, this.#details?.status) : lifeFacts(run, now);
    const rows = facts.filter(([, text]) => text !== null);
    while (this.#facts.children.length > rows.length) this.#facts.lastElementChild.remove();
    while (this.#facts.children.length < rows.length) {
      this.#facts.append(element("div", {}, element("dt"), element("dd")));
    }
    rows.forEach(([name, text], index) => {
      const [term, value] = this.#facts.children[index].children;
      say(term, name);
      say(value, text);
    });
  }

  /** Read what the status does not have: a finished run, or whether an unknown id existed. */
  async #askForDetails(status) {
    if (this.#isAsking || this.#details || this.#isMissing || !status.isLive) return;
    this.#isAsking = true;
    try {
      const path = `genvm/${this.#id}?outputs=none`;
      const { status: found } = await this.#client.json("GET", path);
      const isKnown = status.runs.has(String(this.#id));
      this.#isMissing = found === null && !isKnown;
      if (found !== null) {
        await this.#showResult(found.contract_error);
        this.#details = { status: found, run: runOf(this.#id, found) };
        this.#outputs.finish();
      }
    } catch {
      // The next update tries again; the banner reports a lost connection.
    }
    this.#isAsking = false;
    if (!this.#isClosed) this.#draw();
  }

  async #showResult(contractError) {
    const path = `genvm/${this.#id}/artifact?field=result&max_len=${MAX_RESULT}`;
    const reply = await this.#client.json("GET", path);
    const heading = element("h3", {}, "Result");
    this.#result.hidden = false;
    if (reply.total_len === 0) {
      this.#result.replaceChildren(heading, element("p", { class: "soft" }, "There is no result."));
    } else if (reply.total_len > MAX_RESULT) {
      this.#result.replaceChildren(heading, element("p", { class: "soft" },
        `It has ${bytes(reply.total_len)}, too much to show here; GET /genvm/${this.#id} returns it.`));
    } else {
      const raw = Uint8Array.from(atob(reply.data_base64), (digit) => digit.charCodeAt(0));
      await this.#showRead(readResult(raw), contractError);
    }
  }

  async #showRead(result, contractError) {
    const kind = element("span", { class: "kind", "data-tone": result.tone }, result.name);
    const effects = result.effects.join(" · ");
    this.#result.replaceChildren(
      element("h3", {}, "Result", kind, element("span", { class: "remark soft" }, effects)),
      element("pre", { tabindex: 0, "aria-label": "Value" }, shownText(result, contractError)));
    if (!result.isVmError || typeof result.data !== "string") return;
    const path = `vm-error/describe?error=${encodeURIComponent(result.data)}`;
    const { description } = await this.#client.json("GET", path);
    if (description) this.#result.append(element("p", { class: "soft" }, description));
  }
}

/** The value; a VM error's code has what led to it beside, where the executor has said. */
function shownText(result, contractError) {
  return result.isVmError && contractError ? `${result.text}: ${contractError}` : result.text;
}

/** A run from `GET /genvm/<id>`, for one that the status no longer lists. */
function runOf(id, details) {
  const { finished_at: finishedAt, wall_ms: wall, metrics } = details;
  const startedAt = wall === null ? null : finishedAt - wall;
  const queued = metrics.queued_ms;
  const acceptedAt = startedAt === null || queued === null ? null : startedAt - queued;
  const numbers = [details.version_major, details.version_minor];
  return {
    id, state: "finished", isOver: true, cause: details.cause, acceptedAt, startedAt, finishedAt,
    version: numbers.includes(null) ? null : `v${numbers.join(".")}`,
    deadline: null, cpuSeconds: details.cpu_seconds,
  };
}

function lifeFacts(run, now) {
  return [
    ["Version", run.version ?? NONE],
    ["Process", run.pid === null ? null : String(run.pid)],
    ["Memory", run.rss === null ? null : bytes(run.rss)],
    ["CPU", run.cpu === null ? null : percent(run.cpu)],
    ["CPU time", run.cpuSeconds === null ? null : cpuTime(run.cpuSeconds)],
    ["Deadline", run.deadline === null ? null : `in ${age(run.deadline - now)}`],
  ];
}

function endFacts(run, details) {
  return [
    ["Cause", run.cause],
    ["Exit", details ? exit(run, details) : null],
    ["Reason", details?.reason ?? null],
    ["Version", run.version ?? NONE],
    ["Peak memory", details?.peak_rss_bytes ? bytes(details.peak_rss_bytes) : null],
    ["CPU time", run.cpuSeconds === null ? null : cpuTime(run.cpuSeconds)],
  ];
}

function exit(run, { exit_code: code, signal }) {
  if (code !== null) return `code ${code}`;
  if (signal !== null) return `signal ${signal}`;
  return run.startedAt === null ? "never started" : "unknown";
}

/** When the run was accepted, started and finished, and how long each step took. */
class Timeline {
  #bar = element("div", { class: "bar", "aria-hidden": "true" },
    element("span", { class: "waited" }), element("span", { class: "ran" }),
    element("span", { class: "left" }));
  #steps = element("ol");
  #rows = new Map();

  constructor() {
    this.node = element("section", { class: "timeline", "aria-label": "Timeline" },
      this.#bar, this.#steps);
  }

  update(run, now) {
    const { acceptedAt, startedAt, finishedAt, deadline } = run;
    const end = finishedAt ?? now;
    this.#grow("waited", acceptedAt === null ? 0 : (startedAt ?? end) - acceptedAt);
    this.#grow("ran", startedAt === null ? 0 : end - startedAt);
    this.#grow("left", finishedAt === null && deadline !== null ? deadline - now : 0);
    this.#step(0, "Accepted", acceptedAt, "");
    const waited = span("waited", acceptedAt, startedAt ?? finishedAt);
    if (startedAt !== null || finishedAt !== null) this.#step(1, "Started", startedAt, waited);
    else this.#step(1, "Waiting", null, "for permits", age(now - acceptedAt));
    if (finishedAt !== null) this.#step(2, "Finished", finishedAt, span("ran", startedAt, finishedAt));
    else if (startedAt !== null) this.#step(2, "Running", null, "until now", age(now - startedAt));
    else this.#step(2, "Running", null, "");
  }

  #grow(name, milliseconds) {
    const part = this.#bar.querySelector(`.${name}`);
    part.style.setProperty("flex-grow", Math.max(0, milliseconds));
  }

  #step(place, name, at, note, soFar = NONE) {
    if (!this.#rows.has(place)) {
      const row = element("li", {}, element("b"), element("time"), element("span", { class: "soft" }));
      this.#rows.set(place, row);
      this.#steps.append(row);
    }
    const row = this.#rows.get(place);
    const [title, time, words] = row.children;
    say(title, name);
    say(time, at === null ? soFar : clock(at));
    mark(time, "title", at === null ? null : moment(at));
    say(words, note);
    mark(row, "data-is", at === null && soFar === NONE ? "open" : "done");
  }
}

const span = (label, from, to) =>
  (from === null || to === null ? "" : `${label} ${duration(to - from)}`);
