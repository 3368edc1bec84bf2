"use strict";
// Mouse and touch: boxes are drawn, moved and resized by one pointer; two, the wheel or a button zoom.

const GRIP = 12; // pixels of the screen around a corner in which the mouse takes it
const TOUCH_GRIP = 22;
const DRAWN = 4; // pixels of the screen from which on a box is meant
const LARGEST_ZOOM = 16;
const pointers = new Map();
let zoom = 1;
let drag = null; // what the pointer does: {kind: "draw" | "move" | "resize", box, ...}

function place(event) {
  const area = stage.getBoundingClientRect();
  return {
    x: (event.clientX - area.left) / area.width * source.width,
    y: (event.clientY - area.top) / area.height * source.height,
    near: (event.pointerType === "mouse" ? GRIP : TOUCH_GRIP) / area.width * source.width,
  };
}

function grab(at) {
  if (chosen) {
    const {x, y, w, h} = chosen, corners = [[x, y], [x + w, y], [x, y + h], [x + w, y + h]];
    const reach = Math.max(Math.min(at.near, Math.min(w, h) / 3), at.near / 3);
    const corner = corners.findIndex(([cx, cy]) => Math.hypot(cx - at.x, cy - at.y) <= reach);
    if (corner >= 0) return {kind: "resize", box: chosen, from: {x: corners[3 - corner][0], y: corners[3 - corner][1]}};
  }
  const within = boxes.filter((b) => at.x >= b.x && at.x <= b.x + b.w && at.y >= b.y && at.y <= b.y + b.h);
  const box = within.includes(chosen) ? chosen : within.sort((a, b) => a.w * a.h - b.w * b.h)[0];
  return box ? {kind: "move", box, last: at} : {kind: "draw", box: null, from: at};
}

stage.addEventListener("pointerdown", (event) => {
  if (over || event.button) return;
  event.preventDefault();
  document.activeElement?.blur();
  pointers.set(event.pointerId, event);
  stage.setPointerCapture(event.pointerId);
  if (pointers.size > 1) return giveUp();
  const at = place(event);
  drag = event.shiftKey ? {kind: "draw", box: null, from: at} : grab(at);
  drag.before = drag.box && {...drag.box};
  if (drag.box && drag.box !== chosen) { chosen = drag.box; render(); }
});

stage.addEventListener("pointermove", (event) => {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  pointers.set(event.pointerId, event);
  if (pointers.size === 2) return pinch(event, last);
  if (!drag) return;
  const at = place(event);
  if (drag.kind === "move") {
    const {before, last: from} = drag;
    Object.assign(drag.box, before);
    move(drag.box, at.x - from.x, at.y - from.y);
  } else {
    const box = between(drag.from, at), enough = DRAWN * source.width / stage.clientWidth;
    if (!drag.box && Math.max(box.w, box.h) < enough) return;
    box.w = Math.max(box.w, SMALLEST);
    box.h = Math.max(box.h, SMALLEST);
    box.x = Math.min(box.x, source.width - box.w);
    box.y = Math.min(box.y, source.height - box.h);
    if (drag.box) Object.assign(drag.box, box);
    else drag.box = add(box);
  }
  render();
});

for (const kind of ["pointerup", "pointercancel"])
  stage.addEventListener(kind, (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (kind === "pointercancel") giveUp();
    if (drag?.box) svg.children[boxes.indexOf(drag.box)]?.focus({preventScroll: true});
    drag = null;
  });

function giveUp() {
  if (!drag) return false;
  if (drag.before) { Object.assign(drag.box, drag.before); render(); } else if (drag.box) remove(drag.box);
  drag = null;
  return true;
}

function zoomTo(value, x, y) {
  const area = stage.getBoundingClientRect(), window = view.getBoundingClientRect();
  const before = zoom, [px, py] = [(x - area.left) / area.width, (y - area.top) / area.height];
  zoom = clamp(value, 1, LARGEST_ZOOM);
  if (zoom === before) return;
  stage.style.setProperty("--zoom", zoom);
  view.scrollLeft = px * stage.clientWidth - (x - window.left);
  view.scrollTop = py * stage.clientHeight - (y - window.top);
  render();
}

function pinch(event, last) {
  const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
  const span = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
  const x = (event.clientX + other.clientX) / 2, y = (event.clientY + other.clientY) / 2;
  zoomTo(zoom * span(event) / Math.max(span(last), 1), x, y);
  view.scrollLeft -= (event.clientX - last.clientX) / 2;
  view.scrollTop -= (event.clientY - last.clientY) / 2;
}

function zoomBy(factor) {
  const area = view.getBoundingClientRect();
  zoomTo(zoom * factor, area.left + area.width / 2, area.top + area.height / 2);
}

view.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoomTo(zoom * Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
}, {passive: false});
