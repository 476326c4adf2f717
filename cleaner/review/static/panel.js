// Beside the pictures: typical pictures of the labels of the one in focus, and what is known of it.

import { $, el, picture } from "./dom.js";
import { getJson } from "./outbox.js";

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
  const pictures = await Promise.all(labels.map(([, label]) => typical(label)));
  if (mine !== turn) return; // another card has the focus by now
  const sections = labels.map(([role, label], i) => el("section", {}, el("h3", {}, `${role} `, el("b", {}, label)), strip(pictures[i], onZoom, label)));
  const facts = blind ? [] : [...new Set([item.file, ...item.facts])].filter(Boolean);
  if (facts.length) sections.push(el("section", {}, el("h3", {}, "this one"), el("ul", { class: "facts" }, ...facts.map((f) => el("li", {}, f)))));
  $("panel").replaceChildren(...sections);
}
