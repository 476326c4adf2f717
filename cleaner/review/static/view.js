// What is shown now: which queue, which filter, which page of it. The other modules read and change it.

import { openZoom } from "./dialogs.js";
import { $ } from "./dom.js";
import { Grid } from "./grid.js";

export const FILTERS = ["status", "class", "reason", "lowest", "highest", "search", "turned", "limit"];
export const DEFAULTS = { status: "todo", limit: "24" };
export const view = {
  state: null, // the answer of /api/state
  page: null, // the page that is shown
  name: "", // its queue
  starts: [], // where the pages before it began
  start: 0,
  ahead: null, // the next page, fetched before it is needed
  outbox: null,
  done: [], // my requests since the page was opened, for undo
  loading: 0, // a page is on its way, or too fresh for a key to be about its pictures
  numLoads: 0,
  isWaiting: false, // all is decided, and the page turns as soon as the server knows it
};
export const commands = {}; // what buttons and the grid call, filled by app.js
export const grid = new Grid(commands);

export const queueOf = (which) => view.state.queues.find((q) => q.name === which);
export const currentQueue = () => queueOf(view.name);
export const actionsOf = (kind) => view.page?.actions[kind] ?? [];

export function parameters(from) {
  const given = { queue: view.name, start: from };
  for (const id of FILTERS) if ($(id).value && id !== "class") given[id] = $(id).value;
  if ($("class").value) given.label = $("class").value;
  return given;
}

export function remember() {
  const kept = { queue: view.name };
  for (const id of FILTERS) if ($(id).value !== (DEFAULTS[id] ?? "")) kept[id] = $(id).value;
  if (view.start) kept.start = view.start;
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}

export function zoomIn() {
  grid.isCovered = true;
  openZoom(grid.items[grid.focused], currentQueue().is_blind);
}
