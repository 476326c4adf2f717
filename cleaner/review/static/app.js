// The page itself: its parts are put together, and it begins.

import { act, pickAny, refused, saved, selectAll, take, undo } from "./deciding.js";
import { openZoom } from "./dialogs.js";
import { $, el } from "./dom.js";
import { drawActions } from "./footer.js";
import { drawQueues, drawSaving, refreshState, trouble } from "./header.js";
import { onKey } from "./keys.js";
import { getJson, Outbox } from "./outbox.js";
import { choose, load, reload, turnPage } from "./pages.js";
import { forgetTypical, showPanel } from "./panel.js";
import { commands, currentQueue, FILTERS, grid, queueOf, view, zoomIn } from "./view.js";

Object.assign(commands, {
  act, take, pickAny, selectAll, undo, turnPage, choose,
  onFocus: (item) => { drawActions(); showPanel(item, currentQueue().is_blind, (id, label) => openZoom({ kind: "image", key: id, given: label, facts: [] }, true)); },
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
  const before = new URLSearchParams(location.hash.slice(1));
  for (const id of FILTERS) if (before.has(id) && id !== "reason") $(id).value = before.get(id);
  if (before.has("reason")) $("reason").replaceChildren(el("option", {}, before.get("reason")));
  const there = (q) => q && queueOf(q) && !queueOf(q).absent;
  const asked = before.get("queue") || view.state.queue;
  const work = view.state.queues.filter((q) => !q.absent);
  view.name = there(asked) ? asked : (work.find((q) => q.done < q.num) ?? work[0]).name;
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
  setInterval(refreshState, 30000);
  await load(Number(before.get("start") ?? 0) || 0);
  view.outbox.send();
}

begin();
