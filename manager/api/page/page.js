// The page: its views, its address and the state of its connection.

import { Actions } from "./actions.js";
import { Client } from "./client.js";
import { askForToken } from "./dialogs.js";
import { announce, element, mark, say } from "./elements.js";
import { hour } from "./format.js";
import { Overview } from "./overview.js";
import { RunView } from "./run_view.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";

const find = (id) => document.getElementById(id);
const main = find("main");
const banner = find("banner");

const status = new Status();
const client = new Client(askForToken);
const actions = new Actions(client, draw);
const overview = new Overview(actions, draw);
let view = null;
let connection = { is: "connecting" };
let isDue = false;

/** Draw everything in the next frame; further calls until then change nothing. */
function draw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    drawNow();
  });
}

function drawNow() {
  drawConnection();
  if (!status.isKnown) return;
  if (view === null) go();
  view.update(status);
  document.title = view.title;
}

/** Show the view that the address names. */
function go() {
  if (!status.isKnown) return;
  const isFirst = view === null;
  view?.close();
  const named = /^#\/run\/(\d+)$/.exec(location.hash);
  view = named ? new RunView(Number(named[1]), status, client, actions, draw) : overview;
  main.replaceChildren(view.node);
  view.update(status);
  document.title = view.title;
  if (!isFirst) {
    scrollTo(0, 0);
    (main.querySelector("h2[tabindex]") ?? main).focus({ preventScroll: true });
  }
}

function drawConnection() {
  const label = find("connection");
  say(label, connection.is);
  mark(label, "class", connection.is);
  const isLost = connection.is === "lost";
  mark(main, "class", isLost ? "stale" : null);
  const sentences = isLost ? lostSentences() : troubles();
  banner.hidden = sentences.length === 0;
  mark(banner, "data-tone", isLost ? "bad" : "warn");
  while (banner.children.length > sentences.length) banner.lastElementChild.remove();
  while (banner.children.length < sentences.length) banner.append(element("p"));
  sentences.forEach((sentence, index) => say(banner.children[index], sentence));
  find("forget-token").hidden = !client.hasToken;
  // A link cannot send a token.
  find("docs").hidden = client.hasToken;
}

function lostSentences() {
  const shown = status.isKnown ? " The page shows the state of that time." : "";
  return [`No updates since ${hour(connection.since)}: ${connection.reason}.${shown} Trying again…`];
}

/** Problems that the service itself reports. */
function troubles() {
  const found = [];
  if (!status.isAccepting) {
    found.push("No new runs are taken: the service is stopping, or its store cannot be written.");
  }
  if (status.audit !== "ok") {
    found.push(...status.audit.map((sentence) => `The audit found an error: ${sentence}.`));
  }
  return found;
}

function connected(state) {
  const wasLost = connection.is === "lost";
  connection = state;
  status.isLive = state.is === "live";
  if (wasLost && status.isLive) announce("Connected again");
  draw();
}

function take(name, event) {
  status.take(name, event);
  draw();
}

find("forget-token").addEventListener("click", () => {
  client.forgetToken();
  location.reload();
});
addEventListener("hashchange", go);
setInterval(() => document.hidden || draw(), 1000);
new Stream(client, take, connected).run();
