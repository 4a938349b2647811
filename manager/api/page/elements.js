// Create and change elements. Text of contracts and providers never becomes HTML, and none of its
// characters can hide others or change their order.

import { printable } from "./printable.js";

/** Create an element. `on…` attributes are listeners; false, null and undefined are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : shown(value));
  }
  made.append(...children.filter((child) => child != null).map(shown));
  return made;
}

/** Make text printable; return anything else as it is. */
const shown = (value) => (typeof value === "string" ? printable(value) : value);

/** Make `node` show `text`; cheap when it does already. */
export function say(node, text) {
  const safe = shown(text);
  if (node.textContent !== safe) node.textContent = safe;
}

/** Set an attribute if it differs; null removes it. */
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, shown(value));
}

/** Make screen readers announce a change. */
export function announce(text) {
  say(document.getElementById("said"), text);
}

/** Show an error for a while. */
export function notify(text) {
  const notice = element("p", { class: "notice" }, text);
  const close = element("button", { class: "plain", "aria-label": "Dismiss" }, "×");
  close.addEventListener("click", () => notice.remove());
  notice.append(close);
  document.getElementById("notices").replaceChildren(notice);
  setTimeout(() => notice.remove(), 15_000);
}
