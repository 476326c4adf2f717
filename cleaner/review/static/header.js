// Above the pictures: the queues, the filter, how far the work is, and what is wrong.

import { $, el } from "./dom.js";
import { getJson } from "./outbox.js";
import { commands, currentQueue, DEFAULTS, FILTERS, view } from "./view.js";

export function trouble(error, passes = false) {
  const text = error.status === 401 ? "This browser has no access: open the link that `cleaner review` printed." : error.message;
  $("offline").textContent = text || "the server does not answer";
  $("offline").hidden = false;
  if (passes) setTimeout(() => { if (!view.outbox.trouble) $("offline").hidden = true; }, 5000);
}

export function drawSaving(num, problem) {
  $("saving").textContent = num ? (problem ? `${num} waiting` : "saving…") : "";
  $("saving").dataset.waiting = num;
  if (problem) {
    $("offline").textContent = `${problem}. ${num === 1 ? "One action waits" : `${num} actions wait`} in this browser and will be sent; you can go on.`;
    $("offline").hidden = false;
  } else if (num === 0 && $("offline").textContent.includes(" in this browser and will be sent")) {
    $("offline").hidden = true;
    if (view.state) refreshState();
  }
}

export async function refreshState() {
  try {
    view.state = await getJson("/api/state");
    drawQueues();
  } catch { /* the outbox says what is wrong */ }
}

function numLeft(q) {
  if (q.absent) return "";
  if (q.is_open_ended) return q.is_reached ? "✓" : "";
  if (q.num > q.done) return (q.num - q.done).toLocaleString("en");
  return q.num ? "✓" : "0";
}

export function drawQueues() {
  const own = view.own && view.own.name === view.name ? [{ ...view.own, title: `All of ${view.own.title}` }] : [];
  $("queues").replaceChildren(...[...view.state.queues, ...own].map((q) => el(
    "button", { type: "button", "aria-current": q.name === view.name ? "page" : null, disabled: Boolean(q.absent), title: q.absent || q.question, onclick: () => commands.choose(q.name) },
    q.title, el("small", {}, numLeft(q)),
  )));
  $("question").textContent = currentQueue()?.question ?? "";
  document.title = `${currentQueue()?.title ?? "review"} · cleaner review`;
  $("annotator").textContent = view.state.annotator;
  const other = view.state.agreements.find((a) => a.with.includes(view.state.annotator)) ?? view.state.agreements[0];
  $("kappa").textContent = other ? `κ ${other.kappa === null ? "–" : other.kappa.toFixed(2)} (${other.both})` : "";
  $("kappa").title = view.state.agreements.map((a) => `${a.with.join(" and ")}: ${a.equal} of ${a.both} equal, Cohen's kappa ${a.kappa ?? "undefined"}`).join("\n");
  $("warning").textContent = view.state.warning;
  $("warning").hidden = !view.state.warning;
}

export function drawCount() {
  const filtered = view.page.matching !== view.page.num;
  $("progress").max = Math.max(1, filtered ? view.page.matching : view.page.num);
  $("progress").value = filtered ? view.page.matching_done : view.page.done;
  $("count").textContent = filtered
    ? `${view.page.matching_done.toLocaleString("en")} of ${view.page.matching.toLocaleString("en")} matching`
    : `${view.page.done.toLocaleString("en")} of ${view.page.num.toLocaleString("en")} decided`;
  $("hint").textContent = view.page.hint;
  $("progress").hidden = view.page.is_chosen;
  if (view.page.is_chosen) $("count").textContent = `${view.page.done.toLocaleString("en")} looked at`;
  $("pace").textContent = pace();
  drawLeft(view.page.left);
}

// How fast it goes, over the last decisions without a pause of a minute, and how long the rest takes.
function pace() {
  const times = view.times.slice(-100);
  const pause = times.findLastIndex((time, i) => i > 0 && time - times[i - 1] > 60000);
  const steady = times.slice(Math.max(0, pause));
  if (steady.length < 10) return "";
  const perMinute = (60000 * (steady.length - 1)) / Math.max(1, steady.at(-1) - steady[0]);
  const left = view.page.is_chosen ? 0 : (view.page.matching - view.page.matching_done) / perMinute;
  const rest = left >= 90 ? ` · about ${Math.round(left / 60)} h left` : left > 0 ? ` · about ${Math.ceil(left)} min left` : "";
  return `${Math.round(perMinute).toLocaleString("en")} a minute${rest}`;
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

export function drawFilter() {
  const before = $("reason").value;
  $("reason").replaceChildren(el("option", { value: "" }, "any"), ...view.page.reasons.map((r) => el("option", {}, r)));
  $("reason").value = view.page.reasons.includes(before) ? before : "";
  $("classes").replaceChildren(...view.page.classes.map((c) => el("option", { value: c })));
  $("score").hidden = !view.page.score_name;
  $("score").title = view.page.score_name;
  $("turned").closest("label").hidden = currentQueue().is_blind;
  for (const id of FILTERS) $(id).classList.toggle("active", id !== "limit" && $(id).value !== (DEFAULTS[id] ?? ""));
}
