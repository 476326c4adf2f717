// The page itself: which queue, which filter, which page of it; and what keys and buttons do.

import { isOpen, openHelp, openZoom, pickLabel } from "./dialogs.js";
import { $, announce, el, kbd, pictureUrl, say } from "./dom.js";
import { Grid, toneOf } from "./grid.js";
import { Outbox, getJson, newRequestId } from "./outbox.js";
import { forgetTypical, showPanel } from "./panel.js";

const FILTERS = ["status", "class", "reason", "lowest", "highest", "search", "turned", "limit"];
const DEFAULTS = { status: "todo", limit: "24" };
let state = null; // the answer of /api/state
let page = null; // the page that is shown
let name = ""; // its queue
let starts = []; // where the pages before it began
let start = 0;
let ahead = null; // the next page, fetched before it is needed
let outbox = null;
const done = []; // my requests since the page was opened, for undo
let loading = 0; // a page is on its way, or too fresh for a key to be about its pictures
let numLoads = 0;
let isWaiting = false; // all is decided, and the page turns as soon as the server knows it
const REACTION_MS = 250; // nobody reacts sooner to what has appeared
const grid = new Grid({
  onFocus: (item) => { drawActions(); showPanel(item, isBlind(), (id, label) => openZoom({ kind: "image", key: id, given: label, facts: [] }, true)); },
  onZoom: () => zoomIn(),
  onSelection: () => drawActions(),
});

const isBlind = () => name === "audit";
const actionsOf = (kind) => page?.actions[kind] ?? [];
const queueOf = (which) => state.queues.find((q) => q.name === which);

function parameters(from) {
  const given = { queue: name, start: from };
  for (const id of FILTERS) if ($(id).value && id !== "class") given[id] = $(id).value;
  if ($("class").value) given.label = $("class").value;
  return given;
}

function remember() {
  const kept = { queue: name };
  for (const id of FILTERS) if ($(id).value !== (DEFAULTS[id] ?? "")) kept[id] = $(id).value;
  if (start) kept.start = start;
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}

// Shows the page that begins at `from`, with the focus on item `focus` (kind and key), else on the last one or the
// first open one. Until it has been seen, no key decides anything.
async function load(from, options = {}) {
  loading += 1;
  $("grid").setAttribute("aria-busy", "true");
  try {
    if (await showPage(from, options)) {
      await Promise.all([grid.seen(), new Promise((seen) => setTimeout(seen, REACTION_MS))]);
    }
  } finally {
    loading -= 1;
    $("grid").setAttribute("aria-busy", String(loading > 0));
  }
}

async function showPage(from, { focus = null, last = false, held = null }) {
  start = from;
  remember();
  const asked = JSON.stringify(parameters(from));
  const mine = ++numLoads;
  let next;
  try {
    next = held && held.asked === asked ? await held.page : await getJson("/api/page", parameters(from));
  } catch (error) {
    if (mine !== numLoads) return false;
    trouble(error);
    start = page?.start ?? start;
    isWaiting = grid.items.length > 0 && !grid.isOpen();
    return false;
  }
  if (mine !== numLoads) return false; // another page was asked for meanwhile
  page = next;
  isWaiting = false;
  const gained = held ? queueOf(name).done - page.done : 0; // a page fetched ahead does not count what was decided since
  page.done += gained;
  page.matching_done += gained;
  if (held && queueOf(name).hint !== undefined) page.hint = queueOf(name).hint;
  applyWaiting();
  grid.show(page, $("limit").value);
  drawReasons();
  drawCount();
  drawPager();
  if (page.items.length) {
    const wanted = focus ? grid.find(focus.kind, focus.key) : last ? page.items.length - 1 : -1;
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
  for (const entry of outbox.waiting) {
    if (entry.path !== "/api/decide" || entry.body.queue !== name) continue;
    for (const d of entry.body.decisions) {
      const item = page.items.find((i) => i.kind === d.kind && i.key === d.key);
      if (item) item.mine = { verdict: d.verdict, label: d.label === "=" ? item.given : d.label };
    }
  }
}

function prefetch() {
  ahead = null;
  if (page.next === null) return;
  const asked = JSON.stringify(parameters(page.next));
  const wanted = getJson("/api/page", parameters(page.next));
  ahead = { asked, page: wanted };
  wanted.then((next) => {
    for (const item of next.items) {
      for (const id of item.kind === "image" ? [item.key] : item.pictures.slice(0, 18)) new Image().src = pictureUrl(id);
    }
  }).catch(() => { ahead = null; });
}

async function turnPage(direction) {
  if (!page || loading) return;
  if (direction > 0 && page.next !== null) {
    const before = page;
    await load(page.next, { held: ahead });
    if (page !== before) starts.push(before.start);
  } else if (direction > 0 && page.items.length) {
    if (page.is_chosen) await loadRest();
    else if (["todo", "nobody"].includes($("status").value) && !grid.isOpen()) await loadRest();
    else say(grid.isOpen() ? "this is the last page" : "this is the last page, and all on it are decided");
  } else if (direction < 0 && starts.length) {
    await load(starts.pop(), { last: true });
  } else if (direction < 0 && start > 0) {
    await load(0);
  }
}

// What was passed over, from the beginning. The server has to know all decisions first, or they would come again.
async function loadRest() {
  if (outbox.waiting.length) {
    isWaiting = true;
    return;
  }
  starts = [];
  if (page.is_chosen) say("the model learns from your answers and picks the next pictures");
  await load(0);
}

function choose(which) {
  name = which;
  starts = [];
  for (const id of ["class", "reason", "lowest", "highest", "search"]) $(id).value = "";
  $("reason").replaceChildren();
  drawQueues();
  load(0);
}

// --- deciding --------------------------------------------------------------------------------------------------------

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
    queue: name, request_id: newRequestId(),
    decisions: decisions.map(({ item, verdict, label }) => ({ kind: item.kind, key: item.key, verdict, label })),
  };
  for (const { index, item, verdict, label } of decisions) {
    item.mine = { verdict, label: label === "=" ? item.given : label };
    grid.mark(index, true);
  }
  done.push(body.request_id);
  outbox.put({ path: "/api/decide", body });
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
  if (loading) say("the page is turning; that key decided nothing");
  else if (!grid.selected.size && grid.isSettled()) say("this one is decided: click it or move to it to change it");
  else return false;
  return true;
}

function undo() {
  const target = done.pop() ?? "";
  outbox.put({ path: "/api/undo", body: { queue: name, request_id: newRequestId(), target } });
}

function act(key) {
  decide((item) => {
    const action = actionsOf(item.kind).find(([k]) => k === key);
    return action && [action[2], action[3]];
  });
}

async function pickAny() {
  const kind = grid.items[grid.targets()[0]]?.kind;
  if (!kind || refuses()) return;
  const num = grid.targets().length;
  const zoomed = $("zoom").open;
  if (zoomed) $("zoom").close();
  const label = await pickLabel(state.labels, kind === "class" ? "Merge into which class?" : num > 1 ? `Label of ${num} pictures` : "Which label is right?");
  if (label !== null) decide((item) => (item.kind === "class" ? (label === item.key ? null : ["merge", label]) : ["label", label]));
  else grid.focus(grid.focused);
}

function saved(entry, answer) {
  let seen = -1;
  for (const { kind, key, mine } of answer.saved) {
    const index = grid.find(kind, key);
    if (index < 0 || entry.body.queue !== name) continue;
    if (!outbox.waiting.some((e) => e.body.decisions?.some((d) => d.key === key))) grid.items[index].mine = mine;
    grid.mark(index);
    seen = index;
  }
  if (entry.path === "/api/undo") {
    ahead = null;
    isWaiting = false;
    say("undone");
    if (seen >= 0) grid.focus(seen);
    else if (entry.body.queue === name) load(starts.pop() ?? 0, { focus: answer.saved[0] });
  }
  if (entry.body.queue === name && page) {
    const queue = queueOf(name);
    page.matching_done += answer.done - page.done;
    [page.done, queue.done, page.num, queue.num] = [answer.done, answer.done, answer.num, answer.num];
    page.hint = queue.hint = answer.hint;
    drawCount();
    drawQueues();
    drawPager();
  }
  if (isWaiting && !outbox.waiting.length && !grid.isOpen()) turnPage(1);
}

function refused(entry, why) {
  trouble(new Error(entry.path === "/api/undo" ? why : `not saved: ${why}`), true);
  if (entry.path === "/api/decide") load(start, { focus: grid.items[grid.focused] });
}

// --- what is drawn ---------------------------------------------------------------------------------------------------

function trouble(error, passes = false) {
  const text = error.status === 401 ? "This browser has no access: open the link that `cleaner review` printed." : error.message;
  $("offline").textContent = text || "the server does not answer";
  $("offline").hidden = false;
  if (passes) setTimeout(() => { if (!outbox.trouble) $("offline").hidden = true; }, 5000);
}

function drawSaving(num, problem) {
  $("saving").textContent = num ? (problem ? `${num} waiting` : "saving…") : "";
  $("saving").dataset.waiting = num;
  if (problem) {
    $("offline").textContent = `${problem}. ${num === 1 ? "One action waits" : `${num} actions wait`} in this browser and will be sent; you can go on.`;
    $("offline").hidden = false;
  } else if (num === 0 && $("offline").textContent.includes(" in this browser and will be sent")) {
    $("offline").hidden = true;
    if (state) refreshState();
  }
}

async function refreshState() {
  try {
    state = await getJson("/api/state");
    drawQueues();
  } catch { /* the outbox says what is wrong */ }
}

function drawQueues() {
  $("queues").replaceChildren(...state.queues.map((q) => el(
    "button", { type: "button", "aria-current": q.name === name ? "page" : null, disabled: Boolean(q.absent), title: q.absent || q.question, onclick: () => choose(q.name) },
    q.title, el("small", {}, q.absent || (q.name === "noise" && !q.is_reached) ? "" : q.is_reached ? "✓" : q.num - q.done ? (q.num - q.done).toLocaleString("en") : q.num ? "✓" : "0"),
  )));
  $("question").textContent = queueOf(name)?.question ?? "";
  document.title = `${queueOf(name)?.title ?? "review"} · cleaner review`;
  $("annotator").textContent = state.annotator;
  const other = state.agreements.find((a) => a.with.includes(state.annotator)) ?? state.agreements[0];
  $("kappa").textContent = other ? `κ ${other.kappa === null ? "–" : other.kappa.toFixed(2)} (${other.both})` : "";
  $("kappa").title = state.agreements.map((a) => `${a.with.join(" and ")}: ${a.equal} of ${a.both} equal, Cohen's kappa ${a.kappa ?? "undefined"}`).join("\n");
  $("warning").textContent = state.warning;
  $("warning").hidden = !state.warning;
}

function drawCount() {
  const filtered = page.matching !== page.num;
  $("progress").max = Math.max(1, filtered ? page.matching : page.num);
  $("progress").value = filtered ? page.matching_done : page.done;
  $("count").textContent = filtered
    ? `${page.matching_done.toLocaleString("en")} of ${page.matching.toLocaleString("en")} matching`
    : `${page.done.toLocaleString("en")} of ${page.num.toLocaleString("en")} decided`;
  $("hint").textContent = page.hint;
  $("progress").hidden = page.is_chosen;
  if (page.is_chosen) $("count").textContent = `${page.done.toLocaleString("en")} looked at`;
  drawLeft(page.left);
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

// How much noise is left in what stays: likely, by the model, and at most, by the random looks alone.
function drawLeft(left) {
  $("left").hidden = !left;
  if (!left) return;
  const isKnown = left.share !== null;
  $("left-share").hidden = !isKnown;
  if (isKnown) $("left-share").value = left.share;
  const likely = isKnown ? `about ${percent(left.share)} noise left` : "no estimate yet: it takes three pages, some noise and some normal";
  const most = left.num_random ? ` · at most ${percent(left.bound)} by ${left.num_random} random looks` : "";
  $("left-text").textContent = `${left.is_reached ? "goal of 1 % reached: " : ""}${likely}${most}`;
  $("left").dataset.reached = left.is_reached;
  $("left").title = "Of the images that stay once `cleaner noise` has run again. The bound holds with 95 % confidence, however often you look.";
}

function drawReasons() {
  const before = $("reason").value;
  $("reason").replaceChildren(el("option", { value: "" }, "any"), ...page.reasons.map((r) => el("option", {}, r)));
  $("reason").value = page.reasons.includes(before) ? before : "";
  $("classes").replaceChildren(...page.classes.map((c) => el("option", { value: c })));
  $("score").hidden = !page.score_name;
  $("score").title = page.score_name;
  $("turned").closest("label").hidden = isBlind();
  for (const id of FILTERS) $(id).classList.toggle("active", id !== "limit" && $(id).value !== (DEFAULTS[id] ?? ""));
}

function drawEmpty() {
  const all = page.num > 0 && page.done === page.num;
  const after = { noise: "noise", "noise-seeds": "noise", "noise-doubtful": "noise", "noise-found": "noise", "low-count": "balance", audit: "audit" }[name] ?? "status";
  $("grid").replaceChildren(el(
    "div", { class: "empty" },
    el("strong", {}, all ? "All decided" : page.num ? "Nothing left that matches" : "Nothing here"),
    all ? `In the terminal, run cleaner ${after} next: it ${after === "status" ? "names the stages that apply your decisions" : "applies your decisions"}.` : page.num ? "Change the filter above, or show all." : "This queue is empty.",
  ));
  showPanel(null);
}

function button(key, text, run, extra = {}) {
  return el("button", { type: "button", onclick: run, "aria-keyshortcuts": key, ...extra }, kbd(key), text);
}

function drawActions() {
  const targets = grid.targets();
  const item = grid.items[targets[0]];
  const several = grid.selected.size > 0;
  const buttons = [];
  if (item) {
    for (const [key, text, verdict, label] of actionsOf(item.kind)) buttons.push(button(key, text, () => act(key), { "data-tone": toneOf(verdict, label === "=") }));
    item.choices.slice(0, several ? 3 : 9).forEach(([verdict, label], i) => {
      const text = several && targets.length > 1 ? `suggestion ${i + 1}` : label || verdict;
      buttons.push(button(String(i + 1), text, () => take(i), { "data-tone": toneOf(verdict), title: label }));
    });
    buttons.push(button("/", item.kind === "class" ? "Merge…" : "Label…", pickAny));
    buttons.push(button("x", several ? `${grid.selected.size} selected` : "Select", () => { grid.toggle(grid.focused); grid.focus(grid.focused); }));
    buttons.push(button("a", "All", () => { selectAll(); grid.focus(grid.focused); }));
  }
  buttons.push(button("z", "Undo", undo), button("?", "Help", () => openHelp(actionsOf(item?.kind ?? "image"))));
  $("actions").replaceChildren(...buttons);
}

const take = (i) => decide((item) => item.choices[i]);

function selectAll() {
  if (grid.items.length && !grid.selectAll()) say("all on this page are decided: x selects one of them");
}

function drawPager() {
  const finished = page.items.length > 0 && page.items.every((i) => i.mine);
  $("pager").replaceChildren(
    el("button", { type: "button", onclick: () => turnPage(-1), disabled: !starts.length && !start, "aria-label": "Page before" }, "←"),
    el("button", { type: "button", id: "next", class: finished ? "main" : "", onclick: () => turnPage(1), disabled: page.next === null && !finished && !page.is_chosen }, "Next page →"),
  );
}

// --- keys ------------------------------------------------------------------------------------------------------------

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !page) return;
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

function zoomIn() {
  grid.isCovered = true;
  openZoom(grid.items[grid.focused], isBlind());
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

// --- the beginning ---------------------------------------------------------------------------------------------------

async function begin() {
  try {
    state = await getJson("/api/state");
  } catch (error) {
    trouble(error);
    return;
  }
  outbox = new Outbox(state.workspace_id, { onSaved: saved, onRefused: refused, onState: drawSaving });
  const before = new URLSearchParams(location.hash.slice(1));
  for (const id of FILTERS) if (before.has(id) && id !== "reason") $(id).value = before.get(id);
  if (before.has("reason")) $("reason").replaceChildren(el("option", {}, before.get("reason")));
  const there = (q) => q && queueOf(q) && !queueOf(q).absent;
  const asked = before.get("queue") || state.queue;
  const work = state.queues.filter((q) => !q.absent);
  name = there(asked) ? asked : (work.find((q) => q.done < q.num) ?? work[0]).name;
  drawQueues();
  forgetTypical();
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  let pause = 0;
  $("filter").addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => { starts = []; reload(); }, 200);
  });
  addEventListener("keydown", onKey);
  $("zoom").addEventListener("close", () => grid.uncover());
  setInterval(refreshState, 30000);
  await load(Number(before.get("start") ?? 0) || 0);
  outbox.send();
}

// The filter keeps the keyboard while it changes what is shown.
async function reload() {
  const held = document.activeElement;
  await load(0);
  if (held?.closest?.("#filter")) held.focus();
}

begin();
