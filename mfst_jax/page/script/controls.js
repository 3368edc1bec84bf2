// Playing, and going to a frame or a target: keys, buttons, the chart, the address, light and dark.

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
