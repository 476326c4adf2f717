// Elements are built one by one and text goes in as text: no string of a file name or a label is ever read as HTML.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return node;
}

export const pictureUrl = (id, size = "thumb") => `/picture/${encodeURIComponent(id)}/${size}`;

export function picture(id, attributes = {}, size = "thumb") {
  const image = el("img", { alt: "", decoding: "async", draggable: "false", ...attributes, src: pictureUrl(id, size) });
  image.addEventListener("error", () => { image.alt = "cannot be shown"; });
  return image;
}

export const kbd = (key) => el("span", { class: "key", "aria-hidden": "true" }, key);

let hiding = 0;

// Read out; what a card shows by itself needs no more.
export function announce(text) {
  $("message").textContent = "";
  requestAnimationFrame(() => { $("message").textContent = text; });
  if ($("toast").matches(":popover-open")) $("toast").hidePopover();
}

// Read out, and shown above everything for a while.
export function say(text) {
  const shown = $("toast");
  announce(text);
  shown.textContent = text;
  shown.showPopover(); // what is opened last lies on top, over a dialog too
  clearTimeout(hiding);
  hiding = setTimeout(() => shown.hidePopover(), 5000);
}
