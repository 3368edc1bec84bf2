// What belongs to the frame on show: its picture, boxes, targets, search region and response map.

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
