"use strict";
// Draws the map: points by class or by what became of them; moves, zooms, and shows the image under the pointer.
(() => {
  const source = document.getElementById("map-points");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const xs = new Uint16Array(bytes(data.x));
  const ys = new Uint16Array(bytes(data.y));
  const labels = data.wide ? new Uint32Array(bytes(data.label)) : new Uint16Array(bytes(data.label));
  const reasons = new Uint8Array(bytes(data.reason));
  const card = document.querySelector(".map-card");
  const canvas = card.querySelector(".map");
  const context = canvas.getContext("2d");
  const tip = card.querySelector(".map-tip");
  const byColour = card.querySelector(".map-colour");
  const only = card.querySelector(".map-only");
  data.labels.forEach((name, i) => only.add(new Option(name, i)));

  const FATES = { "kept": [120, 150, 142], "noise image": [205, 92, 48], "label issue coarse": [200, 140, 20], "label issue fine": [225, 185, 60], "label conflict": [150, 110, 200], "exact duplicate": [90, 130, 175], "near duplicate": [70, 150, 200], "jumbled class": [70, 100, 200], "low count class": [90, 120, 220], "person": [205, 80, 130], "unreadable": [150, 150, 150] };
  const hue = (i) => { // colours that neighbours in the list do not share: the golden angle
    const h = (i * 137.508) % 360, l = [0.5, 0.62, 0.4][i % 3], s = 0.62;
    const f = (n) => { const k = (n + h / 30) % 12; return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1)))); };
    return [f(0), f(8), f(4)];
  };
  const pack = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r;
  const colourOf = { reason: data.reasons.map((name, i) => FATES[name] ?? hue(i)), label: data.labels.map((_, i) => hue(i)) };

  let view = { scale: 1, left: 0, top: 0 }; // in canvas sizes: 1 shows all
  let image = null;
  let ratio = 1;
  const pad = 12;

  const across = (i) => pad + ((xs[i] / 65535) * (canvas.width - 2 * pad) - view.left) * view.scale;
  const down = (i) => pad + ((1 - ys[i] / 65535) * (canvas.height - 2 * pad) - view.top) * view.scale;

  function draw() {
    const { width, height } = canvas;
    if (!image || image.width !== width || image.height !== height) image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    pixels.fill(0);
    const codes = byColour.value === "reason" ? reasons : labels;
    const colours = colourOf[byColour.value].map(pack);
    const faint = pack([160, 160, 160]) & 0x50ffffff;
    const wanted = only.value === "" ? -1 : Number(only.value);
    const size = Math.max(2, Math.round((xs.length > 30000 ? 2 : 3) * ratio * Math.min(2, Math.sqrt(view.scale))));
    const kept = data.reasons.indexOf("kept");
    const spots = (mine, of) => {
      for (let i = 0; i < xs.length; i++) {
        if (!mine(i)) continue;
        const x = Math.round(across(i));
        const y = Math.round(down(i));
        if (x < 0 || y < 0 || x >= width - size || y >= height - size) continue;
        const colour = of(i);
        for (let dy = 0; dy < size; dy++) pixels.fill(colour, (y + dy) * width + x, (y + dy) * width + x + size);
      }
    };
    if (wanted >= 0) {
      spots((i) => labels[i] !== wanted, () => faint);
      spots((i) => labels[i] === wanted, (i) => colours[codes[i]]);
    } else { // what is kept lies below what is not
      spots((i) => reasons[i] === kept, (i) => colours[codes[i]]);
      spots((i) => reasons[i] !== kept, (i) => colours[codes[i]]);
    }
    context.putImageData(image, 0, 0);
  }

  let asked = 0;
  const redraw = () => { asked ||= requestAnimationFrame(() => { asked = 0; draw(); }); };

  function resize() {
    ratio = Math.min(2, devicePixelRatio || 1);
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    redraw();
  }

  function zoomAt(x, y, factor) {
    const scale = Math.max(1, Math.min(200, view.scale * factor));
    view.left += (x - pad) / view.scale - (x - pad) / scale;
    view.top += (y - pad) / view.scale - (y - pad) / scale;
    view.scale = scale;
    if (scale === 1) view = { scale: 1, left: 0, top: 0 };
    redraw();
  }

  const pictures = new Map([...document.querySelectorAll(".tile")].map((tile) => [tile.querySelector(".file")?.title, tile.querySelector("img")?.src]));
  let shown = -1;

  function nearest(x, y) {
    const wanted = only.value === "" ? -1 : Number(only.value);
    let best = -1, least = (9 * ratio) ** 2;
    for (let i = 0; i < xs.length; i++) {
      if (wanted >= 0 && labels[i] !== wanted) continue;
      const distance = (across(i) - x) ** 2 + (down(i) - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function tell(i, x, y) {
    tip.hidden = i < 0;
    if (i < 0) { shown = -1; return; }
    if (i !== shown) {
      shown = i;
      const name = data.names[i];
      const words = document.createElement("div");
      words.append(Object.assign(document.createElement("b"), { textContent: data.labels[labels[i]] }), ` · ${data.reasons[reasons[i]]}`, document.createElement("br"), name);
      tip.replaceChildren(words);
      const here = pictures.get(name) || (data.root && `${data.root}/${name}`.split("/").map((part) => part === ".." ? part : encodeURIComponent(part)).join("/"));
      if (here) {
        const picture = new Image();
        picture.alt = "";
        picture.addEventListener("load", () => { if (shown === i) tip.prepend(picture); });
        picture.src = here;
      }
    }
    const box = canvas.getBoundingClientRect();
    tip.style.left = `${Math.min(x / ratio + 14, box.width - 240)}px`;
    tip.style.top = `${y / ratio + 14}px`;
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  let held = null;
  canvas.addEventListener("pointerdown", (event) => { held = at(event); canvas.setPointerCapture(event.pointerId); tell(-1); });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointerleave", () => tell(-1));
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (!held) { tell(nearest(x, y), x, y); return; }
    view.left -= (x - held[0]) / view.scale;
    view.top -= (y - held[1]) / view.scale;
    held = [x, y];
    redraw();
  });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(...at(event), Math.exp(-event.deltaY / 300)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 60 * ratio / view.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) { view.left += moves[event.key][0]; view.top += moves[event.key][1]; redraw(); }
    else if (event.key === "+" || event.key === "=") zoomAt(canvas.width / 2, canvas.height / 2, 1.4);
    else if (event.key === "-") zoomAt(canvas.width / 2, canvas.height / 2, 1 / 1.4);
    else return;
    event.preventDefault();
  });

  function legend() {
    const names = byColour.value === "reason" ? data.reasons : data.labels;
    const colours = colourOf[byColour.value];
    const codes = byColour.value === "reason" ? reasons : labels;
    const counts = new Uint32Array(names.length);
    for (const code of codes) counts[code] += 1;
    const order = [...names.keys()].sort((a, b) => counts[b] - counts[a]).slice(0, 16);
    const entries = order.map((i) => {
      const swatch = document.createElement("i");
      swatch.style.background = `rgb(${colours[i].join(" ")})`;
      const entry = document.createElement("li");
      entry.append(swatch, `${names[i]} ${counts[i].toLocaleString("en")}`);
      return entry;
    });
    if (names.length > order.length) entries.push(Object.assign(document.createElement("li"), { textContent: `and ${names.length - order.length} more` }));
    card.querySelector(".map-legend").replaceChildren(...entries);
  }
  byColour.addEventListener("change", () => { legend(); redraw(); });
  only.addEventListener("change", redraw);
  new ResizeObserver(resize).observe(canvas);
  legend();
  resize();
})();
