// What belongs to the whole track, drawn once: the chart of scores, its lost stretches, facts and words.

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
