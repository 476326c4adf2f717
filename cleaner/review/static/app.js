// The page itself: its parts are put together, and it begins.

import { act, pickAny, refused, saved, selectAll, take, undo } from "./deciding.js";
import { openZoom } from "./dialogs.js";
import { $ } from "./dom.js";
import { decisionButtons, drawActions } from "./footer.js";
import { drawQueues, drawSaving, refreshState, trouble } from "./header.js";
import { onKey } from "./keys.js";
import { getJson, Outbox } from "./outbox.js";
import { hearOthers, keepSize } from "./surroundings.js";
import { choose, load, readAddress, reload, turnPage } from "./pages.js";
import { forgetTypical, showPanel } from "./panel.js";
import { commands, currentQueue, grid, view, zoomIn } from "./view.js";

Object.assign(commands, {
  act, take, pickAny, selectAll, undo, turnPage, choose, decisionButtons,
  onFocus: (item) => { drawActions(); showPanel(item, currentQueue().is_blind, (id, label) => openZoom({ kind: "image", key: id, given: label, facts: [], choices: [] }, true)); },
  onZoom: zoomIn,
  onSelection: drawActions,
});

async function begin() {
  try {
    view.state = await getJson("/api/state");
  } catch (error) {
    trouble(error);
    return;
  }
  view.outbox = new Outbox(view.state.workspace_id, { onSaved: saved, onRefused: refused, onState: drawSaving });
  const start = readAddress();
  drawQueues();
  forgetTypical();
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  let pause = 0;
  $("filter").addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => { view.starts = []; reload(); }, 200);
  });
  addEventListener("keydown", onKey);
  $("zoom").addEventListener("close", () => grid.uncover());
  addEventListener("popstate", () => load(readAddress()));
  setInterval(refreshState, 30000);
  setInterval(hearOthers, 3000);
  keepSize();
  await load(start);
  view.outbox.send();
}

begin();
