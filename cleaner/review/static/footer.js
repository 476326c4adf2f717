// Below the pictures: the buttons of what can be decided and of the pages; and what stands in place of no pictures.

import { openHelp } from "./dialogs.js";
import { $, el, kbd } from "./dom.js";
import { toneOf } from "./grid.js";
import { showPanel } from "./panel.js";
import { actionsOf, commands, currentQueue, grid, view } from "./view.js";

export function drawEmpty() {
  const all = view.page.num > 0 && view.page.done === view.page.num;
  const after = currentQueue().applied_by;
  $("grid").removeAttribute("aria-multiselectable");
  $("grid").setAttribute("role", "region");
  $("grid").replaceChildren(el(
    "div", { class: "empty" },
    el("strong", {}, all ? "All decided" : view.page.num ? "Nothing left that matches" : "Nothing here"),
    all ? `In the terminal, run cleaner ${after} next: it ${after === "status" ? "names the stages that apply your decisions" : "applies your decisions"}.` : view.page.num ? "Change the filter above, or show all." : `This queue is empty. It fills when ${currentQueue().fills_when}`,
  ));
  showPanel(null);
}

function button(key, text, run, extra = {}) {
  return el("button", { type: "button", onclick: run, "aria-keyshortcuts": key, ...extra }, kbd(key), text);
}

// A button for each decision that a key makes about the pictures that are selected, or about the one in focus.
export function decisionButtons() {
  const targets = grid.targets();
  const item = grid.items[targets[0]];
  const several = grid.selected.size > 0;
  const buttons = [];
  if (item) {
    for (const [key, text, verdict, label] of actionsOf(item.kind)) buttons.push(button(key, text, () => commands.act(key), { "data-tone": toneOf(verdict, label === "=") }));
    item.choices.slice(0, several ? 3 : 9).forEach(([verdict, label], i) => {
      const text = several && targets.length > 1 ? `suggestion ${i + 1}` : label || verdict;
      buttons.push(button(String(i + 1), text, () => commands.take(i), { "data-tone": toneOf(verdict), title: label, class: i < 2 ? "choice" : "choice more" }));
    });
    buttons.push(button("/", item.kind === "class" ? "Merge…" : "Label…", commands.pickAny));
  }
  return buttons;
}

export function drawActions() {
  const item = grid.items[grid.targets()[0]];
  const several = grid.selected.size > 0;
  const buttons = decisionButtons();
  if (item) {
    buttons.push(button("x", several ? `${grid.selected.size} selected` : "Select", () => { grid.toggle(grid.focused); grid.focus(grid.focused); }));
    buttons.push(button("a", "All", () => { commands.selectAll(); grid.focus(grid.focused); }));
  }
  const last = view.done.at(-1)?.words;
  buttons.push(
    button("z", "Undo", commands.undo, { title: `undoes ${last ?? "your last decision"}` }),
    button("?", "Help", () => openHelp(actionsOf(item?.kind ?? "image"))),
  );
  $("actions").replaceChildren(...buttons);
}

export function drawPager() {
  const finished = view.page.items.length > 0 && view.page.items.every((i) => i.mine);
  $("pager").replaceChildren(
    el("button", { type: "button", onclick: () => commands.turnPage(-1), disabled: !view.starts.length && !view.start, "aria-label": "Page before" }, "←"),
    el("button", { type: "button", id: "next", class: finished ? "main" : "", onclick: () => commands.turnPage(1), disabled: view.page.next === null && !finished && !view.page.is_chosen }, "Next page →"),
  );
}
