// What opens over the page: a large picture, the keys, the choice of any label.

import { $, el, kbd, picture } from "./dom.js";
import { toneOf, wordFor } from "./grid.js";

export const isOpen = () => Boolean(document.querySelector("dialog[open]"));

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

// A large picture with what is known of it, what was decided, and the `buttons` that decide.
export function openZoom(item, blind, buttons = []) {
  const dialog = $("zoom");
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close ", kbd("Esc"));
  const decided = item.mine && el("span", { class: "mark", "data-tone": toneOf(item.mine.verdict, item.mine.label === item.given) }, wordFor(item, item.mine));
  const facts = blind ? item.given : [item.given, item.suggested && `→ ${item.suggested}`, item.file, ...item.facts].filter(Boolean).join(" · ");
  const face = item.kind === "class"
    ? el("div", { class: "many" }, ...item.pictures.map((id) => picture(id)))
    : picture(item.key, { class: "large", alt: item.given }, "zoom");
  delete dialog.dataset.small;
  if (item.kind === "image") face.addEventListener("load", () => { if (face.naturalWidth < 400) dialog.dataset.small = ""; });
  dialog.replaceChildren(
    face,
    el("div", { class: "under" }, decided || null, el("p", {}, facts)),
    el("div", { class: "under" }, el("div", { class: "decide", role: "toolbar", "aria-label": "Decide" }, ...buttons), close),
  );
  if (!dialog.open) dialog.showModal();
  close.focus(); // Enter and Space close it; a button that decides must not have the keys by chance
}

export function openHelp(actions) {
  const dialog = $("help");
  const rows = [
    ["← → ↑ ↓", "move; past the last picture: the next page"],
    ["Shift + arrows", "select a range (Shift + click likewise)"],
    ["x", "select or unselect one (Ctrl + click likewise)"],
    ["a", "select all that are not decided, or none"],
    ...actions.map(([key, text]) => [key, text.toLowerCase()]),
    ["1 … 9", "take a suggested label"],
    ["/", "pick any label"],
    ["z", "undo"],
    ["Enter, Space", "zoom; the keys work there too (double click likewise)"],
    ["Page Down, Page Up", "next page, page before"],
    ["f", "search"],
    ["Esc", "clear the selection, close"],
    ["?", "these keys"],
  ];
  dialog.replaceChildren(
    el("h2", {}, "Keys"),
    el("table", {}, el("tbody", {}, ...rows.map(([key, text]) => el("tr", {}, el("td", {}, kbd(key)), el("td", {}, text))))),
    el("p", { class: "none" }, "A decision applies to the selection, or to the picture in focus, and is saved at once. A decided picture changes only if you click it or move to it again. When all are decided the page turns; keys pressed meanwhile decide nothing."),
    el("div", { class: "under" }, el("span"), el("button", { type: "button", onclick: () => dialog.close() }, "Close ", kbd("Esc"))),
  );
  dialog.showModal();
}

// Resolves to a label, or null.
export function pickLabel(labels, what) {
  const dialog = $("picker");
  return new Promise((resolve) => {
    let shown = [];
    let at = 0;
    const list = el("ul", { role: "listbox", id: "picker-list", "aria-label": "Labels" });
    const input = el("input", {
      type: "text", autocomplete: "off", spellcheck: "false", placeholder: "type a part of a label", role: "combobox",
      "aria-expanded": "true", "aria-controls": "picker-list", "aria-label": what,
    });
    const take = (label) => { resolve(label); dialog.close(); }; // not in the close event, which comes later
    const draw = () => {
      const options = shown.map((label, i) => el("li", { role: "option", id: `pick-${i}`, "aria-selected": String(i === at), onclick: () => take(label) }, label));
      list.replaceChildren(...(options.length ? options : [el("li", { class: "none" }, "no such label")]));
      input.setAttribute("aria-activedescendant", shown.length ? `pick-${at}` : "");
      options[at]?.scrollIntoView({ block: "nearest" });
    };
    const filter = () => {
      const text = input.value.trim().toLowerCase();
      const begins = labels.filter((l) => l.toLowerCase().startsWith(text));
      shown = [...begins, ...labels.filter((l) => !l.toLowerCase().startsWith(text) && l.toLowerCase().includes(text))].slice(0, 200);
      at = 0;
      draw();
    };
    input.addEventListener("input", filter);
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        at = Math.max(0, Math.min(shown.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
        draw();
        event.preventDefault();
      } else if (event.key === "Enter") {
        event.preventDefault();
        if (shown.length) take(shown[at]);
      }
    });
    dialog.replaceChildren(el("h2", {}, what), input, list);
    dialog.addEventListener("close", () => resolve(null), { once: true });
    filter();
    dialog.showModal();
    input.focus();
  });
}
