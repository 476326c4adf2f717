// What goes on around the page: what others decide meanwhile, and how large the pictures are shown.

import { $ } from "./dom.js";
import { refreshState } from "./header.js";
import { getJson } from "./outbox.js";
import { currentQueue, grid, view } from "./view.js";

const SIZE = "cleaner-thumbnail-size";

// Marks on the cards what other annotators have said of them since the page was made.
export async function hearOthers() {
  if (document.hidden || !view.page) return;
  const page = view.page;
  let news;
  try {
    news = await getJson("/api/news", { after: view.seq });
  } catch {
    return; // the outbox says what is wrong
  }
  if (page !== view.page) return;
  view.seq = news.seq;
  if (!news.said.length) return;
  for (const { kind, key, others } of news.said) {
    const index = currentQueue().is_blind ? -1 : grid.find(kind, key);
    if (index < 0) continue;
    grid.items[index].others = others;
    grid.mark(index);
  }
  refreshState();
}

// The slider: the side of a picture in CSS pixels, kept in this browser. Until it is moved, the page size decides.
export function keepSize() {
  const slider = $("side");
  const show = (side) => $("grid").style.setProperty("--side", `${side}px`);
  const kept = Number(localStorage.getItem(SIZE));
  if (kept >= Number(slider.min) && kept <= Number(slider.max)) {
    slider.value = kept;
    show(kept);
  }
  slider.addEventListener("input", (event) => {
    event.stopPropagation(); // it filters nothing
    show(slider.value);
    localStorage.setItem(SIZE, slider.value);
  });
}
