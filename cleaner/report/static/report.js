"use strict";
// Sorts and searches the class table, and enlarges pictures. The page is complete without it.
(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    const number = Number(text);
    return text === "" || Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const compare = (a, b) => typeof a === typeof b ? (typeof a === "number" ? a - b : a.localeCompare(b)) : typeof a === "number" ? 1 : -1;
  for (const box of document.querySelectorAll(".class-table")) {
    const body = box.querySelector("tbody");
    const heads = [...box.querySelectorAll("thead th")];
    const count = box.querySelector(".count");
    heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const first = column === 0 ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const next = head.getAttribute("aria-sort") === first ? other : first;
      for (const h of heads) if (h.hasAttribute("aria-sort")) h.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort((a, b) => sign * compare(a[0], b[0]));
      body.append(...rows.map((pair) => pair[1]));
    }));
    box.querySelector(".search").addEventListener("input", (event) => {
      const wanted = event.target.value.toLowerCase();
      let shown = 0;
      for (const row of body.rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = shown.toLocaleString("en") + (wanted ? " of " + body.rows.length.toLocaleString("en") : "") + " classes";
    });
  }
  const dialog = document.getElementById("zoom");
  const place = dialog.querySelector(".zoomed");
  const buttons = [...document.querySelectorAll(".zoom")].filter((button) => button.querySelector("img"));
  let at = 0;
  const show = (index) => {
    at = (index + buttons.length) % buttons.length;
    const tile = buttons[at].closest(".tile");
    place.replaceChildren(buttons[at].querySelector("img").cloneNode(), tile.querySelector("figcaption").cloneNode(true));
  };
  buttons.forEach((button, index) => button.addEventListener("click", () => { show(index); dialog.showModal(); }));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(at + 1);
    if (event.key === "ArrowLeft") show(at - 1);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => buttons[at].focus());
})();
