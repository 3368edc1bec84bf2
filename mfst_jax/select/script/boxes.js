"use strict";
// The boxes, as they are drawn on the frame and listed beside it.

const SMALLEST = 1; // pixels of a side
const boxes = []; // {x, y, w, h, name, place} in pixels of the frame; place decides on the colour
let chosen = null;
const round = (value) => Math.round(value * 10) / 10;

function add(box) {
  const used = new Set(boxes.map((each) => each.place));
  let place = 0;
  while (used.has(place)) place += 1;
  const added = {...box, name: "", place};
  boxes.push(added);
  chosen = added;
  rebuild();
  return added;
}

function remove(box) {
  const at = boxes.indexOf(box);
  boxes.splice(at, 1);
  chosen = boxes[Math.min(at, boxes.length - 1)] ?? null;
  rebuild();
  if (chosen) svg.children[boxes.indexOf(chosen)].focus();
}

function move(box, dx, dy) {
  box.x = round(clamp(box.x + dx, 0, source.width - box.w));
  box.y = round(clamp(box.y + dy, 0, source.height - box.h));
}

function resize(box, dx, dy) {
  box.w = round(clamp(box.w + dx, SMALLEST, source.width - box.x));
  box.h = round(clamp(box.h + dy, SMALLEST, source.height - box.y));
}

function between(a, b) {
  const [left, right] = [a.x, b.x].sort((p, q) => p - q).map((v) => round(clamp(v, 0, source.width)));
  const [top, bottom] = [a.y, b.y].sort((p, q) => p - q).map((v) => round(clamp(v, 0, source.height)));
  return {x: left, y: top, w: round(right - left), h: round(bottom - top)};
}

function make(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

const title = (box) => box.name || (boxes.length === 1 ? "target" : String(boxes.indexOf(box) + 1));
const sides = (box) => `${box.x}, ${box.y}, ${box.w} × ${box.h}`;

function rebuild() {
  svg.replaceChildren();
  byId("targets").replaceChildren(...boxes.map(entry));
  for (const box of boxes) {
    const group = make("g", {tabindex: 0, role: "button"}, svg);
    group.style.color = source.colours[box.place];
    group.addEventListener("focus", () => { if (chosen !== box) { chosen = box; render(); } });
    make("rect", {class: "rim"}, group);
    make("rect", {class: "box"}, group);
    for (let corner = 0; corner < 4; corner += 1) make("rect", {class: "grip"}, group);
  }
  render();
}

function render() {
  const scale = source.width / stage.clientWidth, side = 9 * scale;
  boxes.forEach((box, at) => {
    const group = svg.children[at], item = byId("targets").children[at];
    group.setAttribute("aria-label", `Box of ${title(box)}: ${sides(box)}`);
    [...group.children].forEach((each, part) => {
      if (part < 2) {
        for (const [name, value] of [["x", box.x], ["y", box.y], ["width", box.w], ["height", box.h]])
          each.setAttribute(name, value);
      } else {
        each.setAttribute("x", box.x + (part % 2 ? box.w : 0) - side / 2);
        each.setAttribute("y", box.y + (part > 3 ? box.h : 0) - side / 2);
        each.setAttribute("width", side);
        each.setAttribute("height", side);
        each.style.display = box === chosen ? "" : "none";
      }
    });
    item.classList.toggle("chosen", box === chosen);
    item.querySelector("input").placeholder = title(box);
    item.querySelector("small").textContent = sides(box);
  });
  const list = byId("targets"), item = list.children[boxes.indexOf(chosen)];
  if (item) {
    const lowest = item.offsetTop + item.offsetHeight - list.clientHeight;
    list.scrollTop = clamp(list.scrollTop, lowest, item.offsetTop);
  }
  byId("none").hidden = boxes.length > 0;
  byId("start").disabled = !boxes.length || over;
  byId("start").textContent = source.live ? "Start tracking" : `Start in frame ${frame}`;
}

function entry(box) {
  const item = document.createElement("li"), swatch = document.createElement("span");
  const name = document.createElement("input"), gone = document.createElement("button");
  swatch.className = "swatch";
  swatch.style.background = source.colours[box.place];
  Object.assign(name, {value: box.name, maxLength: 60, autocomplete: "off", ariaLabel: "Name"});
  name.addEventListener("input", () => { box.name = name.value; render(); });
  name.addEventListener("focus", () => { chosen = box; render(); });
  Object.assign(gone, {type: "button", textContent: "×", ariaLabel: "Remove the box"});
  gone.addEventListener("click", () => remove(box));
  item.append(swatch, name, gone, document.createElement("small"));
  return item;
}
