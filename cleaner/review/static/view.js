// What is shown now: which queue, which filter, which page of it. The other modules read and change it.

import { openZoom } from "./dialogs.js";
import { $ } from "./dom.js";
import { Grid } from "./grid.js";

export const CLASS_PAGE = "class:"; // a queue of this name and a label holds all images of the class
export const FILTERS = ["status", "class", "reason", "lowest", "highest", "search", "turned", "limit"];
export const DEFAULTS = { status: "todo", limit: "24" };
export const view = {
  state: null, // the answer of /api/state
  page: null, // the page that is shown
  name: "", // its queue
  own: null, // the queue of a class page, which is not among those of the workspace
  seq: 0, // the last decision, of anybody, that the page knows
  times: [], // when decisions were saved, ms: how fast it goes
  starts: [], // where the pages before it began
  start: 0,
  ahead: null, // the next page, fetched before it is needed
  outbox: null,
  done: [], // my requests since the page was opened, with what they did in words, for undo
  loading: 0, // a page is on its way, or too fresh for a key to be about its pictures
  numLoads: 0,
  isWaiting: false, // all is decided, and the page turns as soon as the server knows it
};
export const commands = {}; // what buttons and the grid call, filled by app.js
export const grid = new Grid(commands);

export const queueOf = (which) => view.state.queues.find((q) => q.name === which);
export const currentQueue = () => queueOf(view.name) ?? view.own;
export const actionsOf = (kind) => view.page?.actions[kind] ?? [];

export function parameters(from) {
  const given = { queue: view.name, start: from };
  for (const id of FILTERS) if ($(id).value && id !== "class") given[id] = $(id).value;
  if ($("class").value) given.label = $("class").value;
  return given;
}

// Into the address: the same page comes back on a reload, from a link, and with `isNew` by the browser's Back.
export function remember(isNew = false) {
  const kept = { queue: view.name };
  for (const id of FILTERS) if ($(id).value !== (DEFAULTS[id] ?? "")) kept[id] = $(id).value;
  if (view.start) kept.start = view.start;
  const address = `#${new URLSearchParams(kept)}`;
  if (isNew && address !== location.hash) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

export function zoomIn() {
  grid.isCovered = true;
  openZoom(grid.items[grid.focused], currentQueue().is_blind, commands.decisionButtons());
}
