// A table of runs that updates its rows in place. Each row has a layout of its own, so that a change
// in one does not cost more with a thousand others; roles tell screen readers that it is a table.

import { element, mark, say } from "./elements.js";
import { whole } from "./format.js";

const SHOWN = 50; // rows at first; a button shows the rest

/**
 * `columns`: `{ label, text(run, now), sort?(run, now), wide?, short?, number?, tone?(run) }`; on a
 * small screen `wide` columns are left out and `short` ones are narrower. `tone` names the meaning of
 * a value. `act`, if given, is `{ label(run), busy(run), run(run) }`: a button at the end of each row.
 */
export class RunTable {
  #columns;
  #act;
  #body = element("tbody", { role: "rowgroup" });
  #heads = [];
  #rows = new Map();
  #more;
  #limit = SHOWN;
  #watch = new IntersectionObserver((seen) => this.#seen(seen), { rootMargin: "300px" });
  #sorting;
  #changed;

  /** `sorting` is the first `{ column, descending }`; `changed` is called when to draw again. */
  constructor(title, columns, sorting, changed, act = null) {
    this.#columns = columns;
    this.#sorting = sorting;
    this.#changed = changed;
    this.#act = act;
    this.#more = element("button", { class: "plain more", onclick: () => this.#showAll() });
    const table = element("table", { role: "table", "aria-label": title },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...this.#titles())),
      this.#body);
    this.node = element("div", { class: "runs" }, table, this.#more);
  }

  /** Show these runs at the time `now`. */
  update(runs, now) {
    const ordered = this.#isHeld() ? this.#asTheyStand(runs) : this.#sorted(runs, now);
    const shown = ordered.slice(0, this.#limit);
    this.#dropAllBut(new Set(shown.map((run) => run.id)));
    let place = this.#body.firstElementChild;
    for (const run of shown) {
      const row = this.#row(run);
      row.update(run, now);
      if (row.node === place) place = place.nextElementSibling;
      else this.#body.insertBefore(row.node, place);
    }
    this.#more.hidden = shown.length === runs.length;
    if (!this.#more.hidden) say(this.#more, `Show all ${whole(runs.length)}`);
  }

  /** Rows keep their order under a pointer or the focus. */
  #isHeld() {
    const hasPointer = matchMedia("(hover: hover)").matches;
    return this.#body.matches(hasPointer ? ":hover, :focus-within" : ":focus-within");
  }

  #asTheyStand(runs) {
    const left = new Map(runs.map((run) => [run.id, run]));
    const standing = [...this.#body.children].map((row) => Number(row.dataset.id));
    const kept = standing.filter((id) => left.has(id)).map((id) => left.get(id));
    for (const run of kept) left.delete(run.id);
    return [...kept, ...left.values()];
  }

  #sorted(runs, now) {
    const { sort } = this.#columns[this.#sorting.column];
    const sign = this.#sorting.descending ? -1 : 1;
    const keyed = runs.map((run) => [sort(run, now), run]);
    keyed.sort(([a, first], [b, second]) => sign * (a - b) || first.id - second.id);
    return keyed.map(([, run]) => run);
  }

  #row(run) {
    if (!this.#rows.has(run.id)) {
      const row = new Row(run, this.#columns, this.#act);
      this.#rows.set(run.id, row);
      this.#watch.observe(row.node);
    }
    return this.#rows.get(run.id);
  }

  /** Rows outside of the window are not updated: a thousand of them cost nothing. */
  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      this.#rows.get(Number(target.dataset.id))?.show(isIntersecting);
    }
  }

  #dropAllBut(ids) {
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      this.#watch.unobserve(row.node);
      row.node.remove();
      this.#rows.delete(id);
    }
  }

  #titles() {
    this.#heads = this.#columns.map(({ label, sort, wide, short, number }, index) => {
      const head = element("th", { role: "columnheader", class: classes({ wide, short, number }) });
      const choose = () => this.#sortBy(index);
      head.append(sort ? element("button", { class: "plain", onclick: choose }, label) : label);
      return head;
    });
    this.#markSorting();
    const last = this.#act && element("th", { role: "columnheader", class: "act" },
      element("span", { class: "unseen" }, "Action"));
    return last ? [...this.#heads, last] : this.#heads;
  }

  #sortBy(column) {
    const descending = this.#sorting.column === column ? !this.#sorting.descending : true;
    this.#sorting = { column, descending };
    this.#markSorting();
    this.#changed();
  }

  #markSorting() {
    this.#heads.forEach((head, index) => {
      const order = this.#sorting.descending ? "descending" : "ascending";
      mark(head, "aria-sort", index === this.#sorting.column ? order : null);
    });
  }

  #showAll() {
    this.#limit = Infinity;
    this.#changed();
  }
}

class Row {
  #columns;
  #cells;
  #act;
  #button = null;
  #run;
  #now;
  #isSeen = true;

  constructor(run, columns, act) {
    this.#columns = columns;
    this.#act = act;
    this.#cells = columns.map(({ wide, short, number }, index) => index
      ? element("td", { role: "cell", class: classes({ wide, short, number }) })
      : element("th", { role: "rowheader" }));
    this.#cells[0].append(element("a", { href: `#/run/${run.id}` }, String(run.id)));
    this.node = element("tr", { role: "row", "data-id": run.id }, ...this.#cells);
    if (act) {
      this.#button = element("button", { class: "small", onclick: () => act.run(this.#run) });
      this.node.append(element("td", { role: "cell", class: "act" }, this.#button));
    }
  }

  update(run, now) {
    this.#run = run;
    this.#now = now;
    if (this.#isSeen) this.#draw();
  }

  show(isSeen) {
    this.#isSeen = isSeen;
    if (isSeen) this.#draw();
  }

  #draw() {
    const [run, now] = [this.#run, this.#now];
    this.#columns.forEach(({ text, tone }, index) => {
      if (index) say(this.#cells[index], text(run, now));
      if (tone) mark(this.#cells[index], "data-tone", tone(run));
    });
    if (this.#button) {
      const isBusy = this.#act.busy(run);
      say(this.#button, isBusy ? "Cancelling" : "Cancel");
      mark(this.#button, "aria-label", this.#act.label(run));
      this.#button.disabled = isBusy;
    }
  }
}

function classes(named) {
  return Object.keys(named).filter((name) => named[name]).join(" ") || null;
}
