// Deciding: what a key or a button does to the pictures, and what the server says to it.

import { pickLabel } from "./dialogs.js";
import { $, announce, say } from "./dom.js";
import { drawActions, drawPager } from "./footer.js";
import { wordFor } from "./grid.js";
import { drawCount, drawQueues, trouble } from "./header.js";
import { newRequestId } from "./outbox.js";
import { load, turnPage } from "./pages.js";
import { actionsOf, currentQueue, grid, view, zoomIn } from "./view.js";

function decide(pick) {
  if (refuses()) return;
  const wasOpen = grid.isOpen();
  const decisions = [];
  for (const index of grid.targets()) {
    const item = grid.items[index];
    const choice = pick(item);
    if (choice) decisions.push({ index, item, verdict: choice[0], label: choice[1] });
  }
  if (!decisions.length) {
    say("that does not fit here");
    return;
  }
  const body = {
    queue: view.name, request_id: newRequestId(),
    decisions: decisions.map(({ item, verdict, label }) => ({ kind: item.kind, key: item.key, verdict, label })),
  };
  for (const { index, item, verdict, label } of decisions) {
    item.mine = { verdict, label: label === "=" ? item.given : label };
    grid.mark(index, true);
  }
  const [first] = decisions;
  const words = decisions.length > 1 ? `${decisions.length} decisions` : `${wordFor(first.item, first.item.mine)} (${first.item.given})`;
  view.done.push({ target: body.request_id, words });
  view.outbox.put({ path: "/api/decide", body });
  const last = decisions.at(-1);
  if (decisions.length > 1) say(`${decisions.length} decided`);
  else announce(`${last.item.mine.verdict} ${last.item.mine.label}`);
  grid.clear();
  const open = grid.nextOpen(last.index);
  grid.focus(open >= 0 ? open : last.index);
  drawPager();
  if (open < 0 && wasOpen) turnPage(1);
  else if ($("zoom").open) zoomIn();
}

// Says why nothing can be decided now, if so: a key must not be about a picture that nobody has looked at.
function refuses() {
  if (view.loading) say("the page is turning; that key decided nothing");
  else if (!grid.selected.size && grid.isSettled()) say("this one is decided: click it or move to it to change it");
  else return false;
  return true;
}

export function undo() {
  const { target, words } = view.done.pop() ?? { target: "", words: "your last decision" };
  view.outbox.put({ path: "/api/undo", words, body: { queue: view.name, request_id: newRequestId(), target } });
  drawActions();
}

export function act(key) {
  decide((item) => {
    const action = actionsOf(item.kind).find(([k]) => k === key);
    return action && [action[2], action[3]];
  });
}

export const take = (i) => decide((item) => item.choices[i]);

export function selectAll() {
  if (grid.items.length && !grid.selectAll()) say("all on this page are decided: x selects one of them");
}

export async function pickAny() {
  const kind = grid.items[grid.targets()[0]]?.kind;
  if (!kind || refuses()) return;
  const num = grid.targets().length;
  const zoomed = $("zoom").open;
  if (zoomed) $("zoom").close();
  const label = await pickLabel(view.state.labels, kind === "class" ? "Merge into which class?" : num > 1 ? `Label of ${num} pictures` : "Which label is right?");
  if (label !== null) decide((item) => (item.kind === "class" ? (label === item.key ? null : ["merge", label]) : ["label", label]));
  else grid.focus(grid.focused);
}

export function saved(entry, answer) {
  let seen = -1;
  if (entry.path === "/api/decide") view.times.push(...entry.body.decisions.map(() => Date.now()));
  for (const { kind, key, mine } of answer.saved) {
    const index = grid.find(kind, key);
    if (index < 0 || entry.body.queue !== view.name) continue;
    if (!view.outbox.waiting.some((e) => e.body.decisions?.some((d) => d.key === key))) grid.items[index].mine = mine;
    grid.mark(index);
    seen = index;
  }
  if (entry.path === "/api/undo") {
    view.ahead = null;
    view.isWaiting = false;
    say(`undone: ${entry.words ?? "your last decision"}`);
    if (seen >= 0) grid.focus(seen);
    else if (entry.body.queue === view.name) load(view.starts.pop() ?? 0, { focus: answer.saved[0] });
  }
  if (entry.body.queue === view.name && view.page) {
    const queue = currentQueue();
    view.page.matching_done += answer.done - view.page.done;
    [view.page.done, queue.done, view.page.num, queue.num] = [answer.done, answer.done, answer.num, answer.num];
    view.page.hint = queue.hint = answer.hint;
    drawCount();
    drawQueues();
    drawPager();
  }
  if (view.isWaiting && !view.outbox.waiting.length && !grid.isOpen()) turnPage(1);
}

export function refused(entry, why) {
  trouble(new Error(entry.path === "/api/undo" ? why : `not saved: ${why}`), true);
  if (entry.path === "/api/decide") load(view.start, { focus: grid.items[grid.focused] });
}
