// Modal dialogs.

import { element } from "./elements.js";

/** Return whether the user confirms; the safe answer has the focus. */
export function confirm(title, text, yes, no = "Keep") {
  return new Promise((resolve) => {
    const dialog = open(title,
      element("p", {}, text),
      element("p", { class: "actions" },
        element("button", { onclick: () => dialog.close(), autofocus: true }, no),
        element("button", { class: "grave", onclick: () => dialog.close("yes") }, yes)));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}

/** Return the token that the user types; the dialog cannot be dismissed. */
export function askForToken(wasWrong) {
  return new Promise((resolve) => {
    const input = element("input", {
      id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
      autofocus: true, "aria-describedby": "token-note", "aria-invalid": wasWrong || null,
    });
    const submit = (event) => {
      event.preventDefault();
      if (input.value.trim()) dialog.close(input.value.trim());
    };
    const note = wasWrong
      ? "The service refused this token. The token is the only line of the service's token file."
      : "The token is the only line of the service's token file. This tab keeps it until it is closed.";
    const dialog = open("Token required",
      element("form", { onsubmit: submit },
        element("label", { for: "token" }, "Token"), input,
        element("p", { id: "token-note", class: wasWrong ? "bad" : "soft" }, note),
        element("p", { class: "actions" }, element("button", { class: "main" }, "Open"))));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => resolve(dialog.returnValue));
  });
}

function open(title, ...content) {
  const dialog = element("dialog", { "aria-labelledby": "dialog-title" },
    element("h2", { id: "dialog-title" }, title), ...content);
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  return dialog;
}
