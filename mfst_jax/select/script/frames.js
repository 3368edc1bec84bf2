"use strict";
// The frames to draw in: any one by its number, or those of a webcam until one is frozen. Before them comes what all
// files use. They run in the order of page.html, and all names are known in all of them.

const LIVE_EVERY = 150; // milliseconds between two frames of a webcam
const SOME = 1000; // frames to choose from, where nobody knows how many there are
const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const view = byId("view");
const stage = byId("stage");
const svg = byId("boxes");
const picture = byId("picture");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

let source; // what the server says of the frames
let frame = 0; // the number of the one on show
let wanted = null; // the number of the one that is asked for
let frozen = false;
let over = false; // whether targets were chosen or the choice was cancelled

async function post(path, value) {
  const body = typeof value === "string" ? value : JSON.stringify(value ?? null);
  const answer = await fetch(path, {method: "POST", body});
  if (!answer.ok) throw new Error((await answer.json()).error);
}

const say = (text) => { byId("message").textContent = text; };
const complain = (error) => say(error.message);

function end(text) {
  over = true;
  root.dataset.state = "over";
  byId("hint").textContent = text;
  for (const each of document.querySelectorAll("button, input")) each.disabled = true;
}

let loads = 0;
function load(path) {
  const mine = ++loads;
  return new Promise((good, bad) => {
    const image = new Image();
    image.onload = () => { if (mine === loads) picture.src = image.src; good(); }; // or a newer one is asked for
    image.onerror = () => fetch(path).then(async (answer) => bad(new Error((await answer.json()).error))).catch(bad);
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
  root.dataset.busy = "";
  while (true) {
    const asked = wanted;
    try {
      await load(`frame/${asked}.jpg`);
      frame = asked;
      root.dataset.frame = frame;
      say("");
    } catch (error) {
      complain(error);
      if (wanted === asked) showNumber(wanted = frame);
    }
    if (wanted === frame) break;
  }
  wanted = null;
  delete root.dataset.busy;
  render();
}

let ticks = 0;
async function live() {
  while (!over && !frozen) {
    try { await load(`frame/${ticks = (ticks + 1) % 1e9}.jpg`); } catch (error) { return complain(error); }
    root.dataset.live = ticks;
    await new Promise((done) => setTimeout(done, LIVE_EVERY));
  }
}

async function freeze() {
  await post(frozen ? "thaw" : "freeze");
  frozen = !frozen;
  byId("freeze").textContent = frozen ? "Back to live" : "Freeze";
  if (frozen) await load(`frame/${ticks = (ticks + 1) % 1e9}.jpg`);
  else live();
  root.dataset.frozen = frozen;
}
