// The pictures of a page: cards in groups, their marks, and which of them is in focus or selected.

import { $, el, kbd, picture } from "./dom.js";

const TONES = { label: "label", merge: "label", noise: "noise", drop: "bad", normal: "good", keep: "good", unsure: "unsure" };
const SIGNS = { label: "→", merge: "⇒", noise: "◌", drop: "✕", normal: "✓", keep: "✓", unsure: "?" };

export function toneOf(verdict, isGiven = false) {
  return isGiven ? "good" : TONES[verdict];
}

export function wordFor(item, mine) {
  if (!mine) return "";
  if (mine.verdict === "label" && mine.label === item.given) return `✓ ${mine.label}`;
  return `${SIGNS[mine.verdict]} ${mine.label || mine.verdict}`;
}

export function describe(item) {
  const parts = [item.kind === "class" ? `class ${item.given}` : item.given];
  if (item.suggested) parts.push(`suggested ${item.suggested}`);
  if (item.file) parts.push(item.file);
  parts.push(...item.facts);
  parts.push(item.mine ? `decided: ${item.mine.verdict} ${item.mine.label}` : "not decided");
  parts.push(...(item.others ?? []).map((said) => `${said.annotator} decided: ${said.verdict} ${said.label}`));
  return parts.join(", ");
}

export class Grid {
  // `onFocus(item)`, `onZoom()`, `onSelection()`, looked up when they are called
  constructor(handlers) {
    this.handlers = handlers;
    this.items = [];
    this.cards = [];
    this.focused = 0;
    this.selected = new Set();
    this.anchor = 0;
    this.chosen = -1; // the card that a person clicked or moved to; the page moves the focus on by itself, too
    this.isCovered = false; // a dialog that closes gives the focus back to where it was opened, which may be long past
    this.root = $("grid");
    this.root.addEventListener("dblclick", (event) => {
      const index = this.indexOf(event.target);
      if (index >= 0) this.handlers.onZoom();
    });
    this.root.addEventListener("click", (event) => this.click(event));
    this.root.addEventListener("focusin", (event) => {
      const index = this.indexOf(event.target);
      if (index >= 0 && index !== this.focused && !this.isCovered) this.focus(index, false);
    });
  }

  show(page, queue, limit) {
    this.items = page.items;
    this.selected.clear();
    this.cards = [];
    this.root.dataset.limit = limit;
    const grouped = queue.is_grouped;
    this.showsGiven = queue.shows_given;
    this.scoreName = grouped ? page.score_name : null;
    const groups = [];
    for (const item of page.items) {
      const title = grouped ? `${item.given}\u0000${item.suggested}` : "";
      if (!groups.length || groups.at(-1).title !== title) groups.push({ title, items: [] });
      groups.at(-1).items.push(item);
    }
    this.root.setAttribute("role", "listbox");
    this.root.setAttribute("aria-multiselectable", "true");
    this.root.replaceChildren(...groups.map((group) => this.group(group, grouped)));
    this.root.scrollTop = 0;
    this.focused = 0;
    this.anchor = 0;
    this.chosen = -1;
  }

  group({ items }, grouped) {
    const first = items[0];
    const heading = grouped && el(
      "h2", { title: `${first.given} → ${first.suggested}`, role: "presentation" },
      el("b", {}, first.given), el("span", { class: "to" }, " → "), el("b", {}, first.suggested),
    );
    const cards = items.map((item) => this.card(item, grouped));
    return el("div", { class: "group", role: "presentation" }, heading || null, el("div", { class: "cards", role: "presentation" }, ...cards));
  }

  card(item, grouped) {
    const index = this.cards.length;
    const [first, second] = this.captions(item, grouped);
    const face = item.kind === "class"
      ? el("div", { class: "mosaic" }, ...item.pictures.slice(0, 18).map((id) => picture(id)))
      : picture(item.key, { class: "picture" });
    const card = el(
      "div", { class: `card ${item.kind}`, role: "option", tabindex: index === 0 ? "0" : "-1", "aria-selected": "false", "data-index": index },
      face,
      el("div", { class: "caption" }, el("div", {}, ...[first].flat()), el("div", { class: "second", title: this.scoreName }, ...second)),
      el("span", { class: "tick", "aria-hidden": "true", title: "select (x)" }, "✓"),
      el("span", { class: "hidden described" }),
    );
    this.cards.push(card);
    this.mark(index);
    return card;
  }

  captions(item, grouped) {
    const facts = item.facts.filter((f) => !f.endsWith(" px"));
    if (item.kind === "class") {
      const merges = item.choices.slice(0, 3).flatMap(([, label], i) => [kbd(String(i + 1)), `${label} `]);
      return [`${item.given} · ${facts.join(" · ")}`, merges.length ? ["merge into ", ...merges] : ["/ merges it into another"]];
    }
    if (!this.showsGiven) {
      const lines = item.choices.slice(0, 2).map(([, label], i) => [kbd(String(i + 1)), label]);
      return [lines[0], lines[1] ?? []];
    }
    if (grouped) {
      return [item.given, item.choices.length ? [kbd("1"), `${item.choices[0][1]} ${item.score === null ? "" : `${Math.round(item.score * 100)}%`}`] : []];
    }
    if (item.choices.length) {
      return [item.given, item.choices.slice(0, 3).flatMap(([verdict, label], i) => [kbd(String(i + 1)), `${label || verdict} `])];
    }
    return [item.given, [facts.join(" · ")]];
  }

  mark(index, pending = false) {
    const item = this.items[index];
    const card = this.cards[index];
    for (const old of card.querySelectorAll(".mark, .others")) old.remove();
    card.classList.toggle("decided", Boolean(item.mine));
    card.classList.toggle("pending", pending);
    card.querySelector(".described").textContent = describe(item);
    if (item.mine) {
      card.dataset.tone = toneOf(item.mine.verdict, item.mine.verdict === "label" && item.mine.label === item.given);
      card.append(el("span", { class: "mark" }, wordFor(item, item.mine)));
    } else {
      delete card.dataset.tone;
    }
    const others = (item.others ?? []).map((said) => `${said.annotator || "someone"}: ${wordFor(item, said)}`);
    if (others.length) card.append(el("span", { class: "others", title: others.join("\n") }, others.join(", ")));
  }

  indexOf(node) {
    const card = node instanceof Element ? node.closest(".card") : null;
    return card ? Number(card.dataset.index) : -1;
  }

  find(kind, key) {
    return this.items.findIndex((item) => item.kind === kind && item.key === key);
  }

  click(event) {
    const index = this.indexOf(event.target);
    if (index < 0) return;
    const ticks = event.target.closest(".tick") || event.ctrlKey || event.metaKey;
    if (event.shiftKey) this.selectRange(index);
    else if (ticks) this.toggle(index);
    this.choose(index);
  }

  // Focus a card because a person asked for it: it may be changed even if it is decided.
  choose(index) {
    this.focus(index);
    this.chosen = this.focused;
  }

  focus(index, moves = true) {
    if (!this.cards.length) return;
    this.chosen = -1;
    this.cards[this.focused]?.setAttribute("tabindex", "-1");
    this.focused = Math.max(0, Math.min(index, this.cards.length - 1));
    const card = this.cards[this.focused];
    card.setAttribute("tabindex", "0");
    if (moves) card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
    this.handlers.onFocus(this.items[this.focused]);
  }

  // The card that stands above (-1) or below (1): nearest in the next row, whatever the groups.
  vertical(direction) {
    const here = this.cards[this.focused].getBoundingClientRect();
    const middle = (box) => (box.left + box.right) / 2;
    let best = -1;
    let least = Infinity;
    this.cards.forEach((card, index) => {
      const box = card.getBoundingClientRect();
      const down = (box.top - here.top) * direction;
      if (down < here.height / 2) return;
      const distance = down * 10 + Math.abs(middle(box) - middle(here));
      if (distance < least) [best, least] = [index, distance];
    });
    return best;
  }

  toggle(index) {
    if (this.selected.has(index)) this.selected.delete(index);
    else this.selected.add(index);
    this.anchor = index;
    this.showSelection();
  }

  selectRange(to) {
    const [low, high] = this.anchor < to ? [this.anchor, to] : [to, this.anchor];
    const range = Array.from({ length: high - low + 1 }, (_, i) => low + i);
    this.selected = new Set(this.isOpen() ? range.filter((i) => !this.items[i].mine) : range);
    this.showSelection();
  }

  // Those that are not decided; again: none.
  selectAll() {
    const open = [...this.items.keys()].filter((i) => !this.items[i].mine);
    this.selected = new Set(open.every((i) => this.selected.has(i)) ? [] : open);
    this.showSelection();
    return open.length;
  }

  uncover() {
    const chosen = this.chosen;
    this.isCovered = false;
    this.focus(this.focused);
    this.chosen = chosen;
  }

  isOpen() {
    return this.items.some((item) => !item.mine);
  }

  // Whether the focused card is decided and was not chosen again.
  isSettled() {
    return Boolean(this.items[this.focused]?.mine) && this.chosen !== this.focused;
  }

  // Resolves when the picture in focus can be seen.
  async seen() {
    const image = this.cards[this.focused]?.querySelector("img");
    if (image && !image.complete) {
      await new Promise((done) => { image.addEventListener("load", done); image.addEventListener("error", done); });
    }
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }

  clear() {
    this.selected.clear();
    this.showSelection();
  }

  showSelection() {
    this.cards.forEach((card, index) => card.setAttribute("aria-selected", String(this.selected.has(index))));
    this.handlers.onSelection();
  }

  // What an action is about: the selection, else the card in focus.
  targets() {
    if (this.selected.size) return [...this.selected].sort((a, b) => a - b);
    return this.items.length ? [this.focused] : [];
  }

  nextOpen(from) {
    const order = [...this.items.keys()];
    const later = order.filter((i) => i > from && !this.items[i].mine);
    return later.length ? later[0] : order.find((i) => !this.items[i].mine) ?? -1;
  }
}
