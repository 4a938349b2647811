// Making and changing elements. Whatever a contract or a provider wrote becomes text, never HTML, and
// nothing in it changes the order of letters or hides some.

import { printable } from "./printable.js";

/** A new element. `on…` among the attributes are listeners; false, null and undefined leave out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : shown(value));
  }
  made.append(...children.filter((child) => child != null).map(shown));
  return made;
}

/** Text is made fit to be shown; all else stays. */
const shown = (value) => (typeof value === "string" ? printable(value) : value);

/** Have `node` show `text`; costs nothing when it does already. */
export function say(node, text) {
  const safe = shown(text);
  if (node.textContent !== safe) node.textContent = safe;
}

/** Set an attribute when it is another one; null takes it away. */
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, shown(value));
}

/** Have readers of the screen say what has changed. */
export function announce(text) {
  say(document.getElementById("said"), text);
}

/** Show what went wrong for a while. */
export function notify(text) {
  const notice = element("p", { class: "notice" }, text);
  const close = element("button", { class: "plain", "aria-label": "Dismiss" }, "×");
  close.addEventListener("click", () => notice.remove());
  notice.append(close);
  document.getElementById("notices").replaceChildren(notice);
  setTimeout(() => notice.remove(), 15_000);
}
