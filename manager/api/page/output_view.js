// Shows outputs in tabs: text as it is, logs record by record.

import { element, mark, say } from "./elements.js";
import { bytes } from "./format.js";
import { Output } from "./output.js";
import { oneLine, printable } from "./printable.js";

const PAUSE = 1000; // milliseconds between two requests for an output that grows
const OUTPUTS = [["stdout", "stdout"], ["stderr", "stderr"], ["genvm_log", "log"]];

/** The outputs of a run, in tabs. */
export class Outputs {
  #tabs;
  #chosen = null;

  constructor(client, id) {
    this.#tabs = OUTPUTS.map(([field, label]) => new Tab(client, id, field, label, this));
    const list = element("div", { role: "tablist", "aria-label": "Outputs",
      onkeydown: (event) => this.#move(event) }, ...this.#tabs.map((tab) => tab.button));
    this.node = element("section", { class: "outputs", "aria-label": "Output" },
      element("h3", {}, "Output"), list, ...this.#tabs.map((tab) => tab.panel));
    this.choose(this.#tabs[0]);
    this.#chooseFirstWithContent();
  }

  /** Ask whether there is more output; once only for a run that has finished. */
  update() {
    this.#chosen.look();
  }

  /** Note that the run has finished: no more output will come. */
  finish() {
    for (const tab of this.#tabs) tab.measure();
  }

  choose(chosen) {
    this.#chosen = chosen;
    for (const tab of this.#tabs) tab.show(tab === chosen);
    chosen.look();
  }

  async #chooseFirstWithContent() {
    await Promise.all(this.#tabs.map((tab) => tab.measure()));
    const found = this.#tabs.find((tab) => tab.hasContent);
    if (found && this.#chosen === this.#tabs[0]) this.choose(found);
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = this.#tabs.indexOf(this.#chosen) + step + this.#tabs.length;
    const next = this.#tabs[place % this.#tabs.length];
    this.choose(next);
    next.button.focus();
    event.preventDefault();
  }
}

class Tab {
  size = null;
  #emptySize;
  #output;
  #renew;
  #sink;
  #size = element("span", { class: "soft" });
  #earlier;
  #box;
  #note = element("p", { class: "soft note" });
  #isReading = false;
  #hasBegun = false;
  #lookedAt = 0;

  constructor(client, id, field, label, tabs) {
    const isLog = field === "genvm_log";
    this.#emptySize = isLog ? 2 : 0; // the brackets of a log without records
    this.#renew = () => new Output(client, id, field, isLog);
    this.#output = this.#renew();
    this.#sink = isLog ? new LogSink() : new TextSink();
    this.button = element("button", { role: "tab", id: `tab-${field}`, "aria-controls": `panel-${field}`,
      onclick: () => tabs.choose(this) }, label, " ", this.#size);
    this.#earlier = element("button", { class: "small", hidden: true,
      onclick: () => this.#read(() => this.#loadEarlier()) }, "Load earlier");
    this.#box = element("div", { class: "output", tabindex: 0, role: "region",
      "aria-label": label }, this.#earlier, this.#sink.node);
    this.panel = element("div", { role: "tabpanel", id: `panel-${field}`,
      "aria-labelledby": `tab-${field}` }, this.#note, this.#box);
  }

  get hasContent() {
    return this.size > this.#emptySize;
  }

  show(isChosen) {
    mark(this.button, "aria-selected", isChosen);
    mark(this.button, "tabindex", isChosen ? 0 : -1);
    this.panel.hidden = !isChosen;
  }

  async measure() {
    try {
      this.size = await this.#output.size();
      this.#describe();
    } catch {
      // The next request reports the error.
    }
  }

  /** Read the newest part, and later what was written since. */
  look() {
    if (this.#output.isComplete && this.#hasBegun) return;
    if (Date.now() - this.#lookedAt < PAUSE) return;
    this.#read(() => (this.#hasBegun ? this.#loadMore() : this.#loadNewest()));
  }

  async #read(part) {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      await part();
    } catch (error) {
      say(this.#note, error.message);
    }
    this.#lookedAt = Date.now();
    this.#isReading = false;
  }

  async #loadNewest() {
    this.#sink.append(await this.#output.newest());
    this.#hasBegun = true;
    this.#describe();
    this.#box.scrollTop = this.#box.scrollHeight;
  }

  async #loadMore() {
    const isAtEnd = this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight < 8;
    const { raw, missed, isBehind } = await this.#output.more();
    if (isBehind || this.#output.isFull) {
      // Too much or too fast for a page: begin again with the newest part.
      this.#output = this.#renew();
      this.#sink.clear();
      await this.#loadNewest();
      return;
    }
    if (missed) this.#sink.gap(`${bytes(missed)} were written too fast to be shown`);
    this.#sink.append(raw);
    this.#describe();
    if (isAtEnd && raw.length) this.#box.scrollTop = this.#box.scrollHeight;
  }

  async #loadEarlier() {
    const fromEnd = this.#box.scrollHeight - this.#box.scrollTop;
    this.#sink.prepend(await this.#output.earlier());
    this.#describe();
    this.#box.scrollTop = this.#box.scrollHeight - fromEnd;
  }

  #describe() {
    const { end, dropped, hasEarlier, isFull } = this.#output;
    const kept = Math.max(this.size ?? 0, end - dropped);
    const isEmpty = kept <= this.#emptySize;
    say(this.#size, isEmpty ? "empty" : bytes(kept));
    this.#earlier.hidden = !this.#hasBegun || !hasEarlier || isFull;
    const notes = [];
    if (this.#hasBegun && isEmpty) notes.push("Nothing was written.");
    if (dropped) notes.push(`The first ${bytes(dropped)} are not kept.`);
    if (this.#hasBegun && hasEarlier && isFull) {
      notes.push("There is more: run genvm-manager logs to see all of it.");
    }
    say(this.#note, notes.join(" "));
    this.#box.hidden = isEmpty;
  }
}

/** Shows output as text. */
class TextSink {
  node = element("pre");
  #decoder = new TextDecoder();

  append(raw) {
    if (raw.length) this.node.append(printable(this.#decoder.decode(raw, { stream: true })));
  }

  prepend(raw) {
    this.node.prepend(printable(new TextDecoder().decode(raw)));
  }

  gap(text) {
    this.node.append(element("span", { class: "gap" }, `\n… ${text} …\n`));
  }

  clear() {
    this.node.replaceChildren();
    this.#decoder = new TextDecoder();
  }
}

/** Shows a log: each line is a record after a bracket or a comma. */
class LogSink {
  node = element("ol", { class: "log" });
  #decoder = new TextDecoder();
  #rest = "";

  append(raw) {
    const lines = (this.#rest + this.#decoder.decode(raw, { stream: true })).split("\n");
    this.#rest = lines.pop();
    this.node.append(...lines.flatMap(records).map(shownRecord));
    // The last line of a complete log has no line feed.
    if (this.#rest.endsWith("]") && isClosed(this.#rest)) {
      this.node.append(...records(this.#rest).map(shownRecord));
      this.#rest = "";
    }
  }

  prepend(raw) {
    const lines = new TextDecoder().decode(raw).split("\n");
    this.node.prepend(...lines.flatMap(records).map(shownRecord));
  }

  gap(text) {
    this.node.append(element("li", { class: "gap" }, `… ${text} …`));
  }

  clear() {
    this.node.replaceChildren();
    this.#rest = "";
  }
}

function isClosed(line) {
  return line === "]" || parsed(line.replace(/^,/, "[")) !== undefined;
}

/** The records of a line; a line that is not JSON becomes a record, too. */
function records(line) {
  const inner = line.replace(/^[[,]/, "").replace(/\]$/, "");
  if (!inner) return [];
  return parsed(`[${inner}]`) ?? parsed(`[${line.replace(/^[[,]/, "")}]`) ?? [{ message: line }];
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function shownRecord(record) {
  const { level, message, ...more } = record;
  const rest = Object.entries(more).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return element("li", { "data-level": level ?? "info" },
    element("b", {}, String(level ?? "")), " ",
    element("span", {}, oneLine(typeof message === "string" ? message : JSON.stringify(message ?? ""))),
    rest.length ? element("span", { class: "soft" }, oneLine(`  ${rest.join("  ")}`)) : null);
}
