// The page: a video or a webcam, a box drawn around an object, and the box that follows it.

import { closeCamera, openCamera } from "./camera.js";

const LOST_BELOW = 0.5;
const INVITATION = "Draw a box around the object.";
const LEAST_SIDE = 4; // pixels of a box that is worth drawing
const [status, controls, file, rate, webcam, stop, picture, boxes] = [
  ...["status", "controls", "file", "rate", "webcam", "stop", "picture", "boxes"],
].map((id) => document.getElementById(id));
const brush = picture.getContext("2d");
const lens = document.createElement("canvas"); // where frames are taken from the video
const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
const worker = new Worker("worker.js", { type: "module" });
const waiting = []; // for answers of the worker
let source = null; // "file" or "webcam", once there is a frame of it
let shown = null; // the frame in the picture, without a box
let start = null; // where the mouse went down
let turn = 0; // goes up whenever another activity begins to paint the picture; the last one then ends

/** What the page is doing, in words, and in one word for programs. */
function say(state, words) {
  document.documentElement.dataset.state = state;
  status.textContent = words;
}

function fail(error) {
  end();
  say("failed", error.message);
}

/** The worker's answer to a message. It answers in the order in which it is asked. */
function ask(message) {
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    worker.postMessage(message);
  });
}

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.shift();
  if (data.error) reject(new Error(data.error));
  else resolve(data);
};
worker.onerror = (event) => fail(event);

function once(target, event) {
  return new Promise((resolve, reject) => {
    target.addEventListener(event, resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("expected a video that this browser plays")), { once: true });
  });
}

/** The video's frame of this moment. */
function grab() {
  const pen = lens.getContext("2d", { willReadFrequently: true });
  pen.drawImage(video, 0, 0, lens.width, lens.height);
  return pen.getImageData(0, 0, lens.width, lens.height);
}

/** Shows a frame, and in it a box [x, y, width, height] with its score. */
function paint(frame, box, score) {
  shown = frame;
  brush.putImageData(frame, 0, 0);
  if (!box) return;
  const [x, y, width, height] = box;
  const thickness = Math.max(2, picture.width / 320);
  brush.lineWidth = thickness;
  brush.strokeStyle = brush.fillStyle = "#ff3b30";
  brush.setLineDash(score < LOST_BELOW ? [8, 6] : []);
  brush.strokeRect(x, y, width, height);
  if (score === undefined) return;
  brush.font = `${7 * thickness}px system-ui, sans-serif`;
  brush.fillText(score.toFixed(2), x, y > 9 * thickness ? y - 2 * thickness : y + height + 8 * thickness);
}

/** Ends what the page is doing, and turns the webcam off. */
function end() {
  turn++;
  start = null;
  closeCamera(video.srcObject);
  if (source === "webcam") source = null;
  stop.disabled = true;
}

async function open(kind, content) {
  end();
  const mine = turn;
  source = null;
  boxes.textContent = "";
  try {
    URL.revokeObjectURL(video.src);
    if (kind === "file") {
      video.srcObject = null;
      video.src = URL.createObjectURL(content);
    } else {
      video.removeAttribute("src");
      video.srcObject = content;
      content.getVideoTracks()[0].addEventListener("ended", () => fail(new Error("The camera has gone.")));
    }
    await once(video, "loadeddata");
    await (kind === "file" ? seek(0.5 / Number(rate.value)) : video.play()); // the middle of a frame is surely in it
    if (mine !== turn) return;
    for (const canvas of [picture, lens]) Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
    source = kind;
    paint(grab());
    invite();
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

/** Waits for a box to be drawn, and until then shows the webcam's frames. */
async function invite() {
  const mine = ++turn;
  say("ready", INVITATION);
  stop.disabled = source !== "webcam";
  while (source === "webcam") {
    await nextFrame();
    if (mine !== turn) return;
    paint(grab());
  }
}

/** Waits for the next frame: of a webcam the newest, so that those that came meanwhile are dropped. Returns whether
 * there is one, and how many frames the webcam has given so far. */
async function nextFrame() {
  if (source === "webcam") {
    const given = await new Promise((resolve) => video.requestVideoFrameCallback((_, about) => resolve(about)));
    return { more: true, count: given.presentedFrames };
  }
  const next = video.currentTime + 1 / Number(rate.value);
  if (next >= video.duration) return { more: false };
  await seek(next);
  return { more: true };
}

async function seek(seconds) {
  video.currentTime = seconds;
  await once(video, "seeked");
}

/** Follows what is in a box of the frame that is shown. */
async function track(box) {
  const mine = ++turn;
  stop.disabled = false;
  boxes.textContent = "";
  say("tracking", "The tracker looks at the object.");
  let frame = shown;
  let last = null; // how many frames the webcam had given at the last one that was tracked
  let dropped = 0;
  try {
    let found = await ask({ kind: "init", frame, box });
    for (let number = 0; mine === turn; number++) {
      paint(frame, found.box, found.score);
      boxes.textContent += `${[number, ...found.box.map((value) => value.toFixed(3)), found.score.toFixed(4)].join(",")}\n`;
      const began = performance.now();
      const { more, count } = await nextFrame();
      if (mine !== turn) return;
      if (!more) break;
      if (last !== null) dropped += count - last - 1 || 0;
      last = count ?? null;
      frame = grab();
      found = await ask({ kind: "update", frame });
      if (mine !== turn) return;
      const speed = `${(1000 / (performance.now() - began)).toFixed(1)} frames/s`;
      const drops = source === "webcam" ? `, ${dropped} of the webcam's frames dropped` : "";
      say("tracking", `Frame ${number + 1}, score ${found.score.toFixed(2)}, ${speed}${drops}.`);
    }
    if (mine !== turn) return;
    end();
    say("done", INVITATION);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

/** Where an event is, in pixels of the picture. */
function placeOf(event) {
  const bounds = picture.getBoundingClientRect();
  const x = ((event.clientX - bounds.left) * picture.width) / bounds.width;
  const y = ((event.clientY - bounds.top) * picture.height) / bounds.height;
  return [x, y];
}

function boxTo(event) {
  const [x, y] = placeOf(event);
  return [Math.min(start[0], x), Math.min(start[1], y), Math.abs(x - start[0]), Math.abs(y - start[1])];
}

file.addEventListener("change", () => file.files.length && open("file", file.files[0]));
webcam.addEventListener("click", async () => {
  webcam.disabled = true;
  try {
    await open("webcam", await openCamera());
  } catch (error) {
    fail(error);
  } finally {
    webcam.disabled = false;
  }
});
stop.addEventListener("click", () => {
  const words = source === "webcam" ? "The camera is off." : INVITATION;
  end();
  say("done", words);
});
picture.addEventListener("pointerdown", (event) => {
  if (!source) return;
  turn++; // the picture stands still while a box is drawn in it
  start = placeOf(event);
  picture.setPointerCapture(event.pointerId);
});
picture.addEventListener("pointermove", (event) => {
  if (start) paint(shown, boxTo(event));
});
picture.addEventListener("pointerup", (event) => {
  if (!start) return;
  const box = boxTo(event);
  start = null;
  if (Math.min(box[2], box[3]) >= LEAST_SIDE) track(box);
  else invite();
});
picture.addEventListener("pointercancel", () => {
  if (!start) return;
  start = null;
  invite();
});

try {
  const { about } = await ask({ kind: "load" });
  controls.disabled = false;
  say("loaded", `Choose a video or the webcam. The tracker is ${about.weights}.`);
} catch (error) {
  fail(error);
}
