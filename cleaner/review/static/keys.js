// What keys do.

import { isOpen, openHelp } from "./dialogs.js";
import { $ } from "./dom.js";
import { act, pickAny, selectAll, take, undo } from "./deciding.js";
import { turnPage } from "./pages.js";
import { actionsOf, grid, view, zoomIn } from "./view.js";

export function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !view.page) return;
  const zoomed = $("zoom").open;
  if (isOpen() && !zoomed) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") grid.focus(grid.focused);
    return;
  }
  if ((event.key === "Enter" || event.key === " ") && event.target.matches("button")) return;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };
  const keys = {
    x: () => grid.toggle(grid.focused), a: selectAll, z: undo, "/": pickAny, f: () => $("search").focus(),
    "?": () => openHelp(actionsOf(grid.items[grid.focused]?.kind ?? "image")),
    Enter: zoom, " ": zoom, PageDown: () => turnPage(1), PageUp: () => turnPage(-1), Escape: () => grid.clear(),
    Home: () => grid.choose(0), End: () => grid.choose(grid.items.length - 1),
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.repeat && !(key in moves)) return; // a key that is held down decides once
  if (key in moves) move(moves[key], event.shiftKey);
  else if (zoomed && key === "Escape") return;
  else if (key in keys) keys[key]();
  else if (/^[1-9]$/.test(key)) take(Number(key) - 1);
  else if (actionsOf(grid.items[grid.focused]?.kind).some(([k]) => k === key)) act(key);
  else return;
  event.preventDefault();
}

function zoom() {
  if ($("zoom").open) $("zoom").close();
  else if (grid.items.length) zoomIn();
}

function move(direction, shift) {
  if (!grid.items.length) {
    if (direction === -1 || direction === 1) turnPage(direction);
    return;
  }
  const from = grid.focused;
  let to = direction === "up" ? grid.vertical(-1) : direction === "down" ? grid.vertical(1) : from + direction;
  if (!shift && (to >= grid.items.length || (direction === "down" && to < 0 && from === grid.items.length - 1))) return turnPage(1);
  if (!shift && to < 0 && direction === -1) return turnPage(-1);
  if (to < 0) to = direction === "down" ? grid.items.length - 1 : 0;
  to = Math.min(to, grid.items.length - 1);
  if (shift) {
    if (!grid.selected.size) grid.anchor = from;
    grid.selectRange(to);
  }
  grid.choose(to);
  if ($("zoom").open) zoomIn();
}
