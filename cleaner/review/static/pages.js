// Pages of a queue: shown, fetched ahead, turned.

import { $, el, pictureUrl, say } from "./dom.js";
import { drawActions, drawEmpty, drawPager } from "./footer.js";
import { drawCount, drawFilter, drawQueues, trouble } from "./header.js";
import { getJson } from "./outbox.js";
import { CLASS_PAGE, currentQueue, DEFAULTS, FILTERS, grid, parameters, queueOf, remember, view, zoomIn } from "./view.js";

const REACTION_MS = 250; // nobody reacts sooner to what has appeared

// Shows the page that begins at `from`, with the focus on item `focus` (kind and key), else on the last one or the
// first open one. Until it has been seen, no key decides anything.
export async function load(from, options = {}) {
  view.loading += 1;
  $("grid").setAttribute("aria-busy", "true");
  try {
    if (await showPage(from, options)) {
      await Promise.all([grid.seen(), new Promise((seen) => setTimeout(seen, REACTION_MS))]);
    }
  } finally {
    view.loading -= 1;
    $("grid").setAttribute("aria-busy", String(view.loading > 0));
  }
}

async function showPage(from, { focus = null, last = false, held = null, isNew = false }) {
  view.start = from;
  remember(isNew);
  const asked = JSON.stringify(parameters(from));
  const mine = ++view.numLoads;
  const doneBefore = currentQueue()?.done;
  let next;
  try {
    next = held && held.asked === asked ? await held.page : await getJson("/api/page", parameters(from));
  } catch (error) {
    if (mine !== view.numLoads) return false;
    trouble(error);
    view.start = view.page?.start ?? view.start;
    view.isWaiting = grid.items.length > 0 && !grid.isOpen();
    return false;
  }
  if (mine !== view.numLoads) return false; // another page was asked for meanwhile
  view.page = next;
  view.seq = next.seq;
  if (!queueOf(view.name)) view.own = next.queue;
  view.isWaiting = false;
  // a page does not count what was decided after the server had put it together, ahead or on the way here
  const gained = held || currentQueue().done !== doneBefore ? currentQueue().done - view.page.done : 0;
  view.page.done += gained;
  view.page.matching_done += gained;
  if (held && currentQueue().hint !== undefined) view.page.hint = currentQueue().hint;
  applyWaiting();
  grid.show(view.page, currentQueue(), $("limit").value);
  drawQueues();
  drawFilter();
  drawCount();
  drawPager();
  if (view.page.items.length) {
    const wanted = focus ? grid.find(focus.kind, focus.key) : last ? view.page.items.length - 1 : -1;
    grid.focus(wanted < 0 ? Math.max(0, grid.nextOpen(-1)) : wanted);
    if ($("zoom").open) zoomIn();
  } else {
    drawEmpty();
    $("zoom").close();
  }
  drawActions();
  prefetch();
  return true;
}

// Decisions that the server has not confirmed yet are shown on the cards all the same.
function applyWaiting() {
  for (const entry of view.outbox.waiting) {
    if (entry.path !== "/api/decide" || entry.body.queue !== view.name) continue;
    for (const d of entry.body.decisions) {
      const item = view.page.items.find((i) => i.kind === d.kind && i.key === d.key);
      if (item) item.mine = { verdict: d.verdict, label: d.label === "=" ? item.given : d.label };
    }
  }
}

function prefetch() {
  view.ahead = null;
  if (view.page.next === null) return;
  const asked = JSON.stringify(parameters(view.page.next));
  const wanted = getJson("/api/page", parameters(view.page.next));
  view.ahead = { asked, page: wanted };
  wanted.then((next) => {
    for (const item of next.items) {
      for (const id of item.kind === "image" ? [item.key] : item.pictures.slice(0, 18)) new Image().src = pictureUrl(id);
    }
  }).catch(() => { view.ahead = null; });
}

export async function turnPage(direction) {
  if (!view.page || view.loading) return;
  if (direction > 0 && view.page.learns && view.page.items.length && !grid.isOpen()) {
    await loadRest();
  } else if (direction > 0 && view.page.next !== null) {
    const before = view.page;
    await load(view.page.next, { held: view.ahead });
    if (view.page !== before) view.starts.push(before.start);
  } else if (direction > 0 && view.page.items.length) {
    if (view.page.is_chosen) await loadRest();
    else if (["todo", "nobody"].includes($("status").value) && !grid.isOpen()) await loadRest();
    else say(grid.isOpen() ? "this is the last page" : "this is the last page, and all on it are decided");
  } else if (direction < 0 && view.starts.length) {
    await load(view.starts.pop(), { last: true });
  } else if (direction < 0 && view.start > 0) {
    await load(0);
  }
}

// What was passed over, from the beginning. The server has to know all decisions first, or they would come again.
async function loadRest() {
  if (view.outbox.waiting.length) {
    view.isWaiting = true;
    return;
  }
  view.starts = [];
  if (view.page.learns) say("the model learns from your answers and picks the next pictures");
  await load(0);
}

export function choose(which) {
  if (which.startsWith(CLASS_PAGE) || view.name.startsWith(CLASS_PAGE)) $("status").value = which.startsWith(CLASS_PAGE) ? "all" : DEFAULTS.status;
  view.name = which;
  view.own = null;
  view.starts = [];
  for (const id of ["class", "reason", "lowest", "highest", "search"]) $(id).value = "";
  $("reason").replaceChildren();
  load(0, { isNew: true });
}

// What the address asks for, after a link, a reload or Back: the queue and its filter; returns where its page begins.
export function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const id of FILTERS) if (id !== "reason") $(id).value = asked.get(id) ?? DEFAULTS[id] ?? "";
  $("reason").replaceChildren(...(asked.has("reason") ? [el("option", {}, asked.get("reason"))] : []));
  const there = (name) => name?.startsWith(CLASS_PAGE) || (queueOf(name) && !queueOf(name).absent);
  const work = view.state.queues.filter((q) => !q.absent);
  const name = [asked.get("queue"), view.name, view.state.queue].find(there);
  if (view.name !== name) view.own = null;
  view.name = name ?? (work.find((q) => q.done < q.num) ?? work[0]).name;
  view.starts = [];
  return Number(asked.get("start") ?? 0) || 0;
}

// The filter keeps the keyboard while it changes what is shown.
export async function reload() {
  const held = document.activeElement;
  await load(0, { isNew: true });
  if (held?.closest?.("#filter")) held.focus();
}
