"use strict";
// Shows one frame at a time, with boxes, curves and maps that all belong to it. Frames count from 0 here, and from
// `track.first` wherever somebody reads or writes a number. Only those in `track.pictures` can be shown.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const track = JSON.parse($("track").textContent);
const pictures = track.pictures;
const blocks = [...document.querySelectorAll("script.frame")];
const last = track.frames - 1;
const SVG = "http://www.w3.org/2000/svg";
const REGION = 255; // pixels of the two square canvases
const KEPT = 24; // decoded pictures
const FEW = 8; // targets that are named one by one beside the list of all

let place = -1; // of the frame on show, among the pictures
let wanted = 0; // the place that was asked for last
let chosen = 0; // the target whose search is shown
let image = null; // of the frame on show
let maps = null;
let playing = 0; // the timer, while it plays
const decoded = new Map(); // place -> promise of a picture and its maps

// Frames and pictures

function nearest(frame) {
  let low = 0;
  let high = pictures.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pictures[middle] <= frame) low = middle;
    else high = middle - 1;
  }
  if (low < pictures.length - 1 && pictures[low + 1] - frame < frame - pictures[low]) low++;
  return low;
}

function decode(at) {
  let coming = decoded.get(at);
  if (coming) decoded.delete(at);
  else {
    coming = (async () => {
      const block = JSON.parse(blocks[at].textContent);
      const picture = new Image();
      picture.src = `data:image/jpeg;base64,${block.picture}`;
      await picture.decode();
      return [picture, block.maps || null];
    })();
  }
  decoded.set(at, coming); // the latest ones come last
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  return coming;
}

async function show(at) {
  wanted = Math.min(Math.max(at, 0), pictures.length - 1);
  const mine = wanted;
  let found;
  try {
    found = await decode(mine);
  } catch {
    found = [null, null];
  }
  if (mine !== wanted) return; // another one has been asked for meanwhile
  [image, maps] = found;
  place = mine;
  draw();
  for (let ahead = 1; ahead <= 3 && mine + ahead < pictures.length; ahead++) decode(mine + ahead).catch(() => {});
}

const seek = (frame) => show(nearest(Math.min(Math.max(frame, 0), last)));
const current = () => pictures[place];

// Drawing

const element = (name, attributes, parent) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
};
const html = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const swatch = (target) => {
  const made = html("span", { className: "swatch" });
  made.style.background = `var(--box-${target.colour})`;
  return made;
};
const isLost = (target, frame) => target.lost.some(([first, end]) => first <= frame && frame <= end);
const percent = (value) => `${(100 * value).toFixed(3)}%`;
const two = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
const named = (frame) => frame + track.first;
const range = ([first, end]) => (first === end ? `${named(first)}` : `${named(first)}–${end === last ? "end" : named(end)}`);
// Where a stretch lies in the chart, whose frames are one apart: half a frame more on either side.
const extent = ([first, end]) => [Math.max(first - 0.5, 0), Math.min(end + 0.5, Math.max(last, 1))];
const frames = (count) => `${count} frame${count === 1 ? "" : "s"}`;

function draw() {
  const frame = current();
  const canvas = $("picture");
  const brush = canvas.getContext("2d");
  if (image) {
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    brush.drawImage(image, 0, 0);
  } else {
    brush.clearRect(0, 0, canvas.width, canvas.height);
  }
  drawBoxes(frame);
  drawTargets(frame);
  drawSearch(frame);
  const seconds = named(frame) / track.fps;
  $("position").replaceChildren(html("b", { textContent: named(frame) }), ` / ${named(last)} · ${seconds.toFixed(2)} s`);
  $("playhead").style.left = percent(last ? frame / last : 0);
  const words = track.targets.map((target) => {
    const lost = isLost(target, frame) ? ", lost" : "";
    return `${target.name}: score ${two(target.scores[frame])}${lost}`;
  });
  $("chart").setAttribute("aria-valuenow", named(frame));
  $("chart").setAttribute("aria-valuetext", `Frame ${named(frame)} of ${named(last)}; ${words.join("; ")}`);
  canvas.setAttribute("aria-label", `Frame ${named(frame)}${image ? "" : ", which cannot be decoded"}; ${words.join("; ")}`);
  for (const button of document.querySelectorAll("[data-first]")) {
    const within = button.dataset.first <= frame && frame <= button.dataset.last;
    if (within) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  $("back").disabled = place === 0;
  $("forward").disabled = place === pictures.length - 1;
  $("previous-lost").disabled = before(frame) === undefined;
  $("next-lost").disabled = after(frame) === undefined;
  root.dataset.frame = named(frame);
}

function rectangle([x, y, w, h], className, parent, colour) {
  const made = element("rect", { x, y, width: Math.max(w, 0), height: Math.max(h, 0), class: className }, parent);
  if (colour) made.style.stroke = colour;
  return made;
}

function drawBoxes(frame) {
  const overlay = $("boxes");
  const labels = $("labels");
  overlay.replaceChildren();
  labels.replaceChildren();
  for (const target of track.targets) {
    const truth = target.truth && target.truth[frame];
    if (truth && $("show-truth").checked) rectangle(truth, "truth", overlay).dataset.target = target.name;
  }
  track.targets.forEach((target, number) => {
    const region = target.regions && target.regions[frame];
    if (region && number === chosen && $("show-region").checked) rectangle(corners(region), "region", overlay);
    const box = target.boxes[frame];
    if (!box) return;
    const lost = isLost(target, frame) ? "lost" : "";
    const colour = `var(--box-${target.colour})`;
    rectangle(box, `rim ${lost}`, overlay);
    rectangle(box, `box ${lost}`, overlay, colour).dataset.target = target.name;
    const label = html("span", {}, `${two(target.scores[frame])} ${lost}`.trim());
    if (track.targets.length > 1) label.prepend(html("b", { textContent: target.name }));
    label.style.background = colour;
    labels.append(label);
    // It stands on the box, and within the picture.
    const stage = $("stage").getBoundingClientRect();
    const left = (box[0] / track.width) * stage.width;
    const top = (box[1] / track.height) * stage.height;
    label.style.left = `${Math.max(0, Math.min(left, stage.width - label.offsetWidth))}px`;
    label.style.top = `${Math.max(label.offsetHeight, Math.min(top, stage.height))}px`;
  });
}

// A square of `side` pixels around a centre pixel (x, y), as its corner and its size: pixels lie around whole numbers.
const corners = ([x, y, side]) => [x - (side - 1) / 2, y - (side - 1) / 2, side, side];

function drawTargets(frame) {
  const several = track.targets.length > 1;
  const rows = track.targets.map((target, number) => {
    const box = target.boxes[frame];
    const name = html("span", { className: "name" }, target.name);
    if (isLost(target, frame)) name.append(html("span", { className: "badge", textContent: "lost" }));
    const overlap = target.overlaps && target.overlaps[frame];
    const more = [box ? box.map((value) => value.toFixed(1)).join(", ") : "no box"];
    if (target.overlaps) more.push(overlap === null ? "no ground truth here" : `IoU ${two(overlap)}`);
    const row = html(
      several ? "button" : "div",
      { className: "target" },
      swatch(target),
      name,
      html("span", { className: "score", textContent: two(target.scores[frame]), title: "score" }),
      html("span", { className: "more", textContent: more.join(" · ") }),
    );
    if (several) {
      row.type = "button";
      row.setAttribute("aria-pressed", number === chosen);
      row.dataset.choose = number;
    }
    return row;
  });
  const focused = document.activeElement && document.activeElement.dataset.choose;
  $("targets").replaceChildren(...rows);
  if (focused !== undefined && focused !== null) rows[focused].focus();
}

function drawSearch(frame) {
  const target = track.targets[chosen];
  const region = target.regions && target.regions[frame];
  const map = maps && maps[chosen];
  const brush = $("region").getContext("2d");
  brush.clearRect(0, 0, REGION, REGION);
  if (region && image) {
    const [left, top, side] = corners(region);
    const zoom = REGION / side;
    const shrunk = image.naturalWidth / track.width;
    // What lies outside the frame stays empty.
    const x0 = Math.max(left, 0);
    const y0 = Math.max(top, 0);
    const x1 = Math.min(left + side, track.width);
    const y1 = Math.min(top + side, track.height);
    if (x1 > x0 && y1 > y0) {
      const from = [x0, y0, x1 - x0, y1 - y0].map((value) => value * shrunk);
      brush.drawImage(image, ...from, (x0 - left) * zoom, (y0 - top) * zoom, (x1 - x0) * zoom, (y1 - y0) * zoom);
    }
    const stroke = (x, y, w, h, colour, width, dash) => {
      brush.setLineDash(dash);
      brush.lineWidth = width;
      brush.strokeStyle = colour;
      brush.strokeRect(x, y, w, h);
    };
    const reach = REGION * track.mapShare;
    const square = [(REGION - reach) / 2, (REGION - reach) / 2, reach, reach];
    stroke(...square, "#101010", 1.5, []);
    stroke(...square, "#ffffff", 1.5, [3, 3]);
    const box = target.boxes[frame];
    if (box) {
      const placed = [(box[0] - left) * zoom, (box[1] - top) * zoom, box[2] * zoom, box[3] * zoom];
      const dash = isLost(target, frame) ? [9, 7] : [];
      stroke(...placed, "#101010aa", 5, dash);
      stroke(...placed, getComputedStyle(root).getPropertyValue(`--box-${target.colour}`), 2.5, dash);
    }
  }
  drawMap(map, region, target.boxes[frame]);
  const notes = [];
  if (frame === 0) notes.push("In the first frame the box is given, not searched.");
  else {
    if (!region) notes.push("The search region is not known.");
    if (!track.hasMaps) notes.push(`Response maps were not kept; mfst track --page keeps them, of up to ${track.mostMaps} targets.`);
  }
  $("search-note").textContent = notes.join(" ");
}

const RAMP = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"].map((colour) =>
  [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)),
); // viridis

function drawMap(map, region, box) {
  const brush = $("response").getContext("2d");
  brush.clearRect(0, 0, REGION, REGION);
  if (!map) return;
  const cells = Uint8Array.from(atob(map), (letter) => letter.charCodeAt(0));
  const side = track.mapSide;
  const small = new ImageData(side, side);
  cells.forEach((level, at) => {
    const step = (level / 255) * (RAMP.length - 1);
    const low = Math.min(Math.floor(step), RAMP.length - 2);
    for (let channel = 0; channel < 3; channel++) {
      const [from, to] = [RAMP[low][channel], RAMP[low + 1][channel]];
      small.data[4 * at + channel] = from + (to - from) * (step - low);
    }
    small.data[4 * at + 3] = 255;
  });
  const canvas = html("canvas", { width: side, height: side });
  canvas.getContext("2d").putImageData(small, 0, 0);
  brush.imageSmoothingEnabled = true;
  brush.drawImage(canvas, 0, 0, REGION, REGION);
  if (!region || !box) return;
  // A cross where the box's centre came to lie.
  const [x, y] = [0, 1].map((axis) => {
    const centre = box[axis] + (box[axis + 2] - 1) / 2;
    return REGION * (0.5 + (centre - region[axis]) / (region[2] * track.mapShare));
  });
  for (const [colour, width] of [
    ["#101010", 5],
    ["#ffffff", 2],
  ]) {
    brush.beginPath();
    brush.moveTo(x - 9, y);
    brush.lineTo(x + 9, y);
    brush.moveTo(x, y - 9);
    brush.lineTo(x, y + 9);
    brush.lineWidth = width;
    brush.strokeStyle = colour;
    brush.stroke();
  }
}

// What is drawn once

function drawChart() {
  const curves = $("curves");
  const width = Math.max(last, 1);
  curves.setAttribute("viewBox", `0 0 ${width} 100`);
  const height = (value) => (100 * (1 - value)).toFixed(2);
  element("g", { id: "shades" }, curves);
  element("path", { class: "grid", d: `M0 0H${width}` }, curves);
  element("path", { class: "threshold", d: `M0 ${height(track.lostBelow)}H${width}` }, curves);
  const path = (values) => {
    let down = false;
    return values
      .map((value, frame) => {
        const step = value === null ? "" : `${down ? "L" : "M"}${frame} ${height(value)}`;
        down = value !== null;
        return step;
      })
      .join("");
  };
  for (const target of track.targets) {
    if (target.overlaps) element("path", { class: "overlap", d: path(target.overlaps) }, curves);
  }
  track.targets.forEach((target, number) => {
    const line = element("path", { class: "score", d: path(target.scores), id: `curve-${number}` }, curves);
    line.style.stroke = `var(--line-${target.colour})`;
  });
}

// The curve of the chosen target lies above the others, which are paler.
function drawChosenCurve() {
  for (const line of document.querySelectorAll("#curves .score")) line.classList.toggle("other", line.id !== `curve-${chosen}`);
  $("curves").append($(`curve-${chosen}`));
}

// The lost stretches of the chosen target; the lanes below the chart have those of all.
function drawShades() {
  $("shades").replaceChildren();
  for (const stretch of track.targets[chosen].lost) {
    const [x, end] = extent(stretch);
    element("rect", { class: "shade", x, width: end - x, y: 0, height: 100 }, $("shades"));
  }
}

function drawStretches() {
  const several = track.targets.length > 1;
  const list = [];
  for (const target of track.targets) {
    const lane = html("div", { className: "lane" });
    if (several) lane.append(Object.assign(swatch(target), { title: target.name }));
    for (const stretch of target.lost) {
      const [first, end] = stretch;
      const name = `${several ? `${target.name}: l` : "L"}ost in ${first === end ? "frame" : "frames"} ${range(stretch)}`;
      const [from, to] = extent(stretch).map((x) => x / Math.max(last, 1));
      const bar = html("button", { type: "button", title: name, tabIndex: -1 }); // the list below has the same for keys
      bar.setAttribute("aria-label", name);
      bar.style.left = `min(${percent(from)}, calc(100% - 8px))`;
      bar.style.width = percent(to - from);
      const entry = html("button", { type: "button", title: frames(end - first + 1) });
      if (several) entry.append(swatch(target));
      entry.append(range(stretch));
      entry.setAttribute("aria-label", `${name}, ${frames(end - first + 1)}`);
      for (const button of [bar, entry]) Object.assign(button.dataset, { first, last: end });
      lane.append(bar);
      list.push([first, html("li", {}, entry)]);
    }
    if (target.lost.length) $("lanes").append(lane);
  }
  list.sort(([a], [b]) => a - b);
  $("stretches").append(...list.map(([, entry]) => entry));
  const below = "A target counts as lost where its score is below ½.";
  $("lost-note").textContent = list.length ? below : `Never. ${below}`;
}

function drawWords() {
  const lost = track.targets.map((target) => target.lost.reduce((sum, [first, end]) => sum + end - first + 1, 0));
  const words = [frames(track.frames), `${track.width} × ${track.height}`, `${Number(track.fps.toFixed(2))} frames/s`];
  const several = track.targets.length > 1;
  const many = track.targets.length > FEW;
  const parts = many
    ? [`${track.targets.length} targets, ${lost.filter(Boolean).length} of them lost for some time`]
    : track.targets.map((target, at) => `${several ? target.name : ""} ${lost[at] ? `lost in ${frames(lost[at])}` : "never lost"}`);
  $("summary").textContent = [...words, ...parts].map((part) => part.trim()).join(" · ");
  const legend = [];
  const entry = (text, colour, className) => {
    const mark = html("i", { className: className || "" });
    if (colour) mark.style.borderColor = colour;
    legend.push(html("span", {}, mark, text));
  };
  if (many) entry("score of the chosen target, and paler of the others", "var(--ink)");
  else for (const target of track.targets) entry(several ? target.name : "score", `var(--line-${target.colour})`);
  if (track.targets.some((target) => target.overlaps)) entry("overlap (IoU) with the ground truth", "var(--true-line)");
  if (lost.some(Boolean)) entry("lost", null, "stretch");
  $("legend").append(...legend);
  if (pictures.length < track.frames) {
    legend[legend.length - 1].after(html("span", { textContent: `${pictures.length} of ${frames(track.frames)} can be shown` }));
  }
  const row = ([name, value]) => html("div", {}, html("dt", { textContent: name }), html("dd", { textContent: value }));
  $("facts").append(...[...Object.entries(track.facts), ...Object.entries(track.config)].map(row));
  $("truth-switch").hidden = !track.targets.some((target) => target.truth);
  $("region-switch").hidden = !track.targets.some((target) => target.regions);
  $("search").hidden = !track.hasMaps && $("region-switch").hidden;
}

// Playing and going there

function play(on) {
  cancelAnimationFrame(playing);
  playing = 0;
  document.body.classList.toggle("playing", on);
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  $("play").title = on ? "Pause (space)" : "Play (space)";
  if (!on) return;
  if (wanted === pictures.length - 1) show(0);
  const from = pictures[wanted];
  let start;
  let next = wanted;
  const tick = (now) => {
    start ??= now;
    const frame = from + ((now - start) / 1000) * track.fps * Number($("speed").value);
    while (next < pictures.length - 1 && pictures[next + 1] <= frame) next++;
    if (next !== wanted) show(next);
    if (next < pictures.length - 1) playing = requestAnimationFrame(tick);
    else play(false);
  };
  playing = requestAnimationFrame(tick);
}

const starts = [...new Set(track.targets.flatMap((target) => target.lost.map(([first]) => first)))].sort((a, b) => a - b);
const after = (frame) => starts.find((first) => nearest(first) > nearest(frame));
const before = (frame) => starts.findLast((first) => nearest(first) < nearest(frame));

function jump(frame) {
  if (frame === undefined) return;
  play(false);
  seek(frame);
}

function step(count) {
  play(false);
  show(wanted + count);
}

function choose(number) {
  if (!(number in track.targets)) return;
  chosen = number;
  $("search-name").textContent = track.targets.length > 1 ? track.targets[chosen].name : "";
  drawShades();
  drawChosenCurve();
  if (place >= 0) draw();
  const list = $("targets");
  const row = list.children[chosen];
  if (row) list.scrollTop = Math.max(Math.min(list.scrollTop, row.offsetTop), row.offsetTop + row.offsetHeight - list.clientHeight);
}

function toggle(id) {
  $(id).checked = !$(id).checked;
  changed();
}

function changed() {
  for (const line of document.querySelectorAll(".overlap")) line.toggleAttribute("hidden", !$("show-truth").checked);
  draw();
}

const KEYS = {
  ArrowLeft: (event) => step(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
  Home: () => jump(0),
  End: () => jump(last),
  " ": () => play(!playing),
  n: () => jump(after(current())),
  p: () => jump(before(current())),
  t: () => toggle("show-truth"),
  r: () => toggle("show-region"),
  d: () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (event.key === " " && event.target.matches("button, summary, input")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (/^[1-9]$/.test(key)) choose(Number(key) - 1);
  else if (key in KEYS) {
    event.preventDefault();
    KEYS[key](event);
  }
});

// A click leaves the focus where it is, so that the space bar still plays.
document.addEventListener("mousedown", (event) => {
  if (event.target.closest("button")) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.first !== undefined) jump(Number(button.dataset.first));
  else if (button.dataset.choose !== undefined) choose(Number(button.dataset.choose));
});
$("play").addEventListener("click", () => play(!playing));
$("back").addEventListener("click", () => step(-1));
$("forward").addEventListener("click", () => step(1));
$("previous-lost").addEventListener("click", () => KEYS.p());
$("next-lost").addEventListener("click", () => KEYS.n());
$("speed").addEventListener("change", () => playing && play(true));
$("show-truth").addEventListener("change", changed);
$("show-region").addEventListener("change", changed);

const chart = $("chart");
const scrub = (event) => {
  const box = chart.getBoundingClientRect();
  seek(Math.round(((event.clientX - box.left) / box.width) * last));
};
chart.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  play(false);
  chart.setPointerCapture(event.pointerId);
  scrub(event);
});
chart.addEventListener("pointermove", (event) => {
  if (chart.hasPointerCapture(event.pointerId)) scrub(event);
});

// Light and dark: as the system has it, until somebody chooses

const system = matchMedia("(prefers-color-scheme: dark)");
function setTheme(theme) {
  root.dataset.theme = theme;
}
const follow = () => setTheme(system.matches ? "dark" : "light");
follow();
system.addEventListener("change", follow);
$("theme").addEventListener("click", () => KEYS.d());

$("boxes").setAttribute("viewBox", `0 0 ${track.width} ${track.height}`);
$("boxes").setAttribute("preserveAspectRatio", "none");
chart.setAttribute("aria-valuemin", named(0));
chart.setAttribute("aria-valuemax", named(last));
$("stage").style.setProperty("--ratio", track.width / track.height);
drawChart();
drawStretches();
drawWords();
choose(0);
addEventListener("resize", () => place >= 0 && draw());
const asked = () => (/^#[0-9]+$/.test(location.hash) ? Number(location.hash.slice(1)) - track.first : 0); // page.html#96
addEventListener("hashchange", () => jump(asked()));
seek(asked());
