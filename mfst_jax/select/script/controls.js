"use strict";
// Keys and buttons, the start and the end.

const OPEN_EVERY = 5000; // milliseconds between two signs of life
const pageId = String(Math.random()).slice(2); // tells this page from others of the same address

async function start() {
  if (over) return;
  if (!boxes.length) return say("Draw a box around an object first.");
  if (wanted !== null) return say(`Frame ${wanted} is still being read. Press Enter when it is shown.`);
  try {
    if (source.live && !frozen) await freeze();
    await post("start", {frame, targets: boxes.map(({name, x, y, w, h}) => ({name, box: [x, y, w, h]}))});
    say("");
    end("Tracking has started. This page can be closed.");
  } catch (error) { complain(error); }
}

async function cancel() {
  if (over) return;
  try { await post("cancel"); } catch (error) { return complain(error); }
  end("Cancelled. This page can be closed.");
}

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

addEventListener("keydown", (event) => {
  if (over || event.isComposing) return;
  const on = event.target, key = event.key, writing = on.matches?.("#targets input");
  if (key === "Escape") {
    if (on.matches?.("input")) on.blur();
    else if (!giveUp()) cancel();
    return event.preventDefault();
  }
  if (key === "Enter" && !on.matches?.("button, summary")) {
    if (on.matches?.("#number") && Number(on.value) !== frame) on.blur(); // which shows that frame
    else start();
    return event.preventDefault();
  }
  if (writing || on.matches?.("#slider, #number")) return;
  if (key in ARROWS && chosen && !event.metaKey) {
    const step = event.shiftKey ? 10 : 1, [dx, dy] = ARROWS[key].map((each) => each * step);
    (event.altKey || event.ctrlKey ? resize : move)(chosen, dx, dy);
    render();
    return event.preventDefault();
  }
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if ((key === "Delete" || key === "Backspace") && chosen) remove(chosen);
  else if (key === "n") addInMiddle();
  else if (key === "+" || key === "=") zoomBy(1.5);
  else if (key === "-") zoomBy(1 / 1.5);
  else if (key === " " && source.live && !on.matches?.("button, summary")) freeze().catch(complain);
  else return;
  event.preventDefault();
});

function addInMiddle() {
  const {width, height} = source;
  const box = add(between({x: width * 3 / 8, y: height * 3 / 8}, {x: width * 5 / 8, y: height * 5 / 8}));
  svg.children[boxes.indexOf(box)].focus();
}

byId("slider").addEventListener("input", (event) => show(Number(event.target.value)));
byId("number").addEventListener("change", (event) => {
  const number = Math.round(event.target.valueAsNumber);
  show(Number.isFinite(number) ? clamp(number, 0, (source.count ?? 1e9) - 1) : frame);
});
byId("freeze").addEventListener("click", () => freeze().catch(complain));
byId("add").addEventListener("click", addInMiddle);
byId("in").addEventListener("click", () => zoomBy(1.5));
byId("out").addEventListener("click", () => zoomBy(1 / 1.5));
byId("start").addEventListener("click", start);
byId("cancel").addEventListener("click", cancel);
addEventListener("resize", () => source && render());

(async () => {
  source = await (await fetch("source.json")).json();
  document.title = byId("title").textContent = `Choose targets in ${source.name}`;
  root.style.setProperty("--ratio", source.width / source.height);
  svg.setAttribute("viewBox", `0 0 ${source.width} ${source.height}`);
  byId("freeze").hidden = !source.live;
  byId("stored").hidden = source.live || source.count === 1;
  byId("slider").max = (source.count ?? SOME) - 1;
  const tell = () => over || post("open", pageId).catch(() => end("mfst has ended. This page can be closed."));
  tell();
  setInterval(tell, OPEN_EVERY);
  addEventListener("pagehide", () => over || navigator.sendBeacon("closed", pageId));
  addEventListener("pageshow", (event) => event.persisted && tell());
  if (source.live) live();
  else await show(0);
  root.dataset.state = "ready";
})().catch(complain);
