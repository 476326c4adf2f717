// Beside the pictures: typical pictures of the labels of the one in focus, and what is known of it.

import { $, el, picture } from "./dom.js";
import { getJson } from "./outbox.js";
import { CLASS_PAGE, commands, view } from "./view.js";

const known = new Map();
let turn = 0;

async function typical(label) {
  if (!known.has(label)) {
    known.set(label, getJson("/api/typical", { label }).then((d) => d.pictures).catch(() => { known.delete(label); return []; }));
  }
  return known.get(label);
}

export function forgetTypical() {
  known.clear();
}

async function describe(label) {
  const key = CLASS_PAGE + label;
  if (!known.has(key)) known.set(key, getJson("/api/class", { label }).catch(() => { known.delete(key); return null; }));
  return known.get(key);
}

// The name of a class, which leads to its page.
function linked(label, blind) {
  if (blind || view.name === CLASS_PAGE + label) return el("b", {}, label);
  return el("button", { type: "button", class: "link", title: `All images of ${label}`, onclick: () => commands.choose(CLASS_PAGE + label) }, label);
}

function aboutClass(found, onZoom) {
  const neighbours = found.neighbours.map((n) => el(
    "section", { class: "neighbour" }, el("h2", {}, "mistaken for ", linked(n.label, false), ` ${n.num}`), strip(n.typical.slice(0, 6), onZoom, n.label),
  ));
  const size = `${found.num.toLocaleString("en")} images, ${found.kept.toLocaleString("en")} kept`;
  return [el("section", {}, el("h2", {}, el("b", {}, found.label), ` · ${size}`), strip(found.typical, onZoom, found.label)), ...neighbours];
}

function strip(ids, onZoom, label) {
  if (!ids.length) return el("p", { class: "none" }, "no kept picture");
  return el("div", { class: "strip" }, ...ids.slice(0, 9).map((id) => picture(id, { onclick: () => onZoom(id, label), title: label })));
}

export async function showPanel(item, blind, onZoom) {
  const mine = ++turn;
  if (!item) {
    $("panel").replaceChildren();
    return;
  }
  const labels = item.kind === "class" ? [] : [["given", item.given]];
  const first = item.choices.find(([verdict, label]) => label && label !== item.given && verdict !== "noise");
  if (first) labels.push([item.kind === "class" ? "merge into" : "suggested", first[1]]);
  const page = view.name.startsWith(CLASS_PAGE) ? await describe(view.name.slice(CLASS_PAGE.length)) : null;
  const pictures = page ? [] : await Promise.all(labels.map(([, label]) => typical(label)));
  if (mine !== turn) return; // another card has the focus by now
  const sections = page ? aboutClass(page, onZoom) : labels.map(([role, label], i) => el("section", {}, el("h2", {}, `${role} `, linked(label, blind)), strip(pictures[i], onZoom, label)));
  const facts = blind ? [] : [...new Set([item.file, ...item.facts])].filter(Boolean);
  if (facts.length) sections.push(el("section", {}, el("h2", {}, "this one"), el("ul", { class: "facts" }, ...facts.map((f) => el("li", {}, f)))));
  $("panel").replaceChildren(...sections);
}
