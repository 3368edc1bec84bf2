"use strict";

const GRIP = 12, TOUCH_GRIP = 22, SMALLEST = 1, DRAWN = 4, LARGEST_ZOOM = 16, LIVE_EVERY = 150, OPEN_EVERY = 5000;
const SOME = 1000;  // frames to choose from, where nobody knows how many there are
const pageId = String(Math.random()).slice(2);  // tells this page from others of the same address
const byId = id => document.getElementById(id);
const view = byId("view"), stage = byId("stage"), svg = byId("boxes"), picture = byId("picture");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const round = value => Math.round(value * 10) / 10;

let source, frame = 0, zoom = 1, chosen = null, drag = null, frozen = false, over = false, wanted = null;
const boxes = [];  // {x, y, w, h, name, place} in pixels of the frame
const pointers = new Map();

async function post(path, value) {
  const answer = await fetch(path, {method: "POST", body: typeof value === "string" ? value : JSON.stringify(value ?? null)});
  if (!answer.ok) throw new Error((await answer.json()).error);
}

const say = text => { byId("message").textContent = text; };

function end(text) {
  over = true;
  document.documentElement.dataset.state = "over";
  byId("hint").textContent = text;
  for (const each of document.querySelectorAll("button, input")) each.disabled = true;
}

async function start() {
  if (over) return;
  if (!boxes.length) return say("Draw a box around an object first.");
  if (wanted !== null) return say(`Frame ${wanted} is still being read. Press Enter when it is shown.`);
  try {
    if (source.live && !frozen) await freeze();
    await post("start", {frame, targets: boxes.map(({name, x, y, w, h}) => ({name, box: [x, y, w, h]}))});
    say("");
    end("Tracking has started. This page can be closed.");
  } catch (error) { say(error.message); }
}

async function cancel() {
  if (over) return;
  try { await post("cancel"); } catch (error) { return say(error.message); }
  end("Cancelled. This page can be closed.");
}

// Frames

let loads = 0;
function load(path) {
  const mine = ++loads;
  return new Promise((good, bad) => {
    const image = new Image();
    image.onload = () => { if (mine === loads) picture.src = image.src; good(); };  // or a newer one is asked for
    image.onerror = () => fetch(path).then(async answer => bad(new Error((await answer.json()).error))).catch(bad);
    image.src = path;
  });
}

function showNumber(number) {
  const slider = byId("slider");
  if (source.count === null && number > slider.max / 2) slider.max = 2 * number;
  byId("number").value = slider.value = number;
}

async function show(number) {
  showNumber(number);
  const busy = wanted !== null;
  wanted = number;
  if (busy) return;
  document.documentElement.dataset.busy = "";
  while (true) {
    const asked = wanted;
    try {
      await load(`frame/${asked}.jpg`);
      frame = asked;
      document.documentElement.dataset.frame = frame;
      say("");
    } catch (error) {
      say(error.message);
      if (wanted === asked) showNumber(wanted = frame);
    }
    if (wanted === frame) break;
  }
  wanted = null;
  delete document.documentElement.dataset.busy;
  render();
}

let ticks = 0;
async function live() {
  while (!over && !frozen) {
    try { await load(`frame/${ticks = (ticks + 1) % 1e9}.jpg`); } catch (error) { return say(error.message); }
    document.documentElement.dataset.live = ticks;
    await new Promise(done => setTimeout(done, LIVE_EVERY));
  }
}

async function freeze() {
  await post(frozen ? "thaw" : "freeze");
  frozen = !frozen;
  byId("freeze").textContent = frozen ? "Back to live" : "Freeze";
  if (frozen) await load(`frame/${ticks = (ticks + 1) % 1e9}.jpg`);
  else live();
  document.documentElement.dataset.frozen = frozen;
}

// Boxes

function add(box) {
  const used = new Set(boxes.map(each => each.place));
  let place = 0;
  while (used.has(place)) place += 1;
  const added = {...box, name: "", place};
  boxes.push(added);
  chosen = added;
  render(true);
  return added;
}

function remove(box) {
  const at = boxes.indexOf(box);
  boxes.splice(at, 1);
  chosen = boxes[Math.min(at, boxes.length - 1)] ?? null;
  render(true);
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
  const [left, right] = [a.x, b.x].sort((p, q) => p - q).map(v => round(clamp(v, 0, source.width)));
  const [top, bottom] = [a.y, b.y].sort((p, q) => p - q).map(v => round(clamp(v, 0, source.height)));
  return {x: left, y: top, w: round(right - left), h: round(bottom - top)};
}

function make(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

const title = box => box.name || (boxes.length === 1 ? "target" : String(boxes.indexOf(box) + 1));
const sides = box => `${box.x}, ${box.y}, ${box.w} × ${box.h}`;

function render(rebuild) {
  if (rebuild) {
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
  }
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
  if (item) list.scrollTop = clamp(list.scrollTop, item.offsetTop + item.offsetHeight - list.clientHeight, item.offsetTop);
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

// Mouse and touch

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
  const within = boxes.filter(b => at.x >= b.x && at.x <= b.x + b.w && at.y >= b.y && at.y <= b.y + b.h);
  const box = within.includes(chosen) ? chosen : within.sort((a, b) => a.w * a.h - b.w * b.h)[0];
  return box ? {kind: "move", box, last: at} : {kind: "draw", box: null, from: at};
}

stage.addEventListener("pointerdown", event => {
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

stage.addEventListener("pointermove", event => {
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
  stage.addEventListener(kind, event => {
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
  const other = [...pointers.values()].find(each => each.pointerId !== event.pointerId);
  const span = each => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
  zoomTo(zoom * span(event) / Math.max(span(last), 1), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
  view.scrollLeft -= (event.clientX - last.clientX) / 2;
  view.scrollTop -= (event.clientY - last.clientY) / 2;
}

function zoomBy(factor) {
  const area = view.getBoundingClientRect();
  zoomTo(zoom * factor, area.left + area.width / 2, area.top + area.height / 2);
}

view.addEventListener("wheel", event => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoomTo(zoom * Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
}, {passive: false});

// Keys

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

addEventListener("keydown", event => {
  if (over || event.isComposing) return;
  const on = event.target, key = event.key, writing = on.matches?.("#targets input");
  if (key === "Escape") {
    if (on.matches?.("input")) on.blur();
    else if (!giveUp()) cancel();
    return event.preventDefault();
  }
  if (key === "Enter" && !on.matches?.("button, summary")) {
    if (on.matches?.("#number") && Number(on.value) !== frame) on.blur();  // which shows that frame
    else start();
    return event.preventDefault();
  }
  if (writing || on.matches?.("#slider, #number")) return;
  if (key in ARROWS && chosen && !event.metaKey) {
    const step = event.shiftKey ? 10 : 1, [dx, dy] = ARROWS[key].map(each => each * step);
    (event.altKey || event.ctrlKey ? resize : move)(chosen, dx, dy);
    render();
    return event.preventDefault();
  }
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if ((key === "Delete" || key === "Backspace") && chosen) remove(chosen);
  else if (key === "n") addInMiddle();
  else if (key === "+" || key === "=") zoomBy(1.5);
  else if (key === "-") zoomBy(1 / 1.5);
  else if (key === " " && source.live && !on.matches?.("button, summary")) freeze().catch(error => say(error.message));
  else return;
  event.preventDefault();
});

function addInMiddle() {
  const {width, height} = source;
  const box = add(between({x: width * 3 / 8, y: height * 3 / 8}, {x: width * 5 / 8, y: height * 5 / 8}));
  svg.children[boxes.indexOf(box)].focus();
}

byId("slider").addEventListener("input", event => show(Number(event.target.value)));
byId("number").addEventListener("change", event => {
  const number = Math.round(event.target.valueAsNumber);
  show(Number.isFinite(number) ? clamp(number, 0, (source.count ?? 1e9) - 1) : frame);
});
byId("freeze").addEventListener("click", () => freeze().catch(error => say(error.message)));
byId("add").addEventListener("click", addInMiddle);
byId("in").addEventListener("click", () => zoomBy(1.5));
byId("out").addEventListener("click", () => zoomBy(1 / 1.5));
byId("start").addEventListener("click", start);
byId("cancel").addEventListener("click", cancel);
addEventListener("resize", () => source && render());

(async () => {
  source = await (await fetch("source.json")).json();
  document.title = byId("title").textContent = `Choose targets in ${source.name}`;
  document.documentElement.style.setProperty("--ratio", source.width / source.height);
  svg.setAttribute("viewBox", `0 0 ${source.width} ${source.height}`);
  byId("freeze").hidden = !source.live;
  byId("stored").hidden = source.live || source.count === 1;
  byId("slider").max = (source.count ?? SOME) - 1;
  const tell = () => over || post("open", pageId).catch(() => end("mfst has ended. This page can be closed."));
  tell();
  setInterval(tell, OPEN_EVERY);
  addEventListener("pagehide", () => over || navigator.sendBeacon("closed", pageId));
  addEventListener("pageshow", event => event.persisted && tell());
  if (source.live) live();
  else await show(0);
  document.documentElement.dataset.state = "ready";
})().catch(error => say(error.message));
