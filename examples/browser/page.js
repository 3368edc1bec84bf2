// The page: a video or a webcam, a box drawn around an object, and the box that follows it.

const LOST_BELOW = 0.5;
const INVITATION = "Draw a box around the object.";
const LEAST_SIDE = 4; // pixels of a box that is worth drawing
const [status, file, rate, webcam, stop, picture, boxes] = ["status", "file", "rate", "webcam", "stop", "picture", "boxes"].map(
  (id) => document.getElementById(id),
);
const brush = picture.getContext("2d", { willReadFrequently: true });
const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
const worker = new Worker("worker.js", { type: "module" });
const waiting = []; // for answers of the worker
let live = false; // whether the frames come from a webcam
let start = null; // where the mouse went down
let drawnIn = null; // the frame that a box is drawn in, without the box
let tracking = false;

/** What the page is doing, in words, and in one word for programs. */
function say(state, words) {
  document.documentElement.dataset.state = state;
  status.textContent = words;
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
worker.onerror = (event) => say("failed", event.message);

function once(target, event) {
  return new Promise((resolve, reject) => {
    target.addEventListener(event, resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("expected a video that this browser plays")), { once: true });
  });
}

function show() {
  brush.drawImage(video, 0, 0, picture.width, picture.height);
  return brush.getImageData(0, 0, picture.width, picture.height);
}

function draw([x, y, width, height], dashed) {
  brush.lineWidth = Math.max(2, picture.width / 320);
  brush.strokeStyle = "#ff3b30";
  brush.setLineDash(dashed ? [8, 6] : []);
  brush.strokeRect(x, y, width, height);
}

async function open(source, isLive) {
  tracking = false;
  live = isLive;
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  boxes.textContent = "";
  try {
    video.srcObject = isLive ? source : null;
    if (!isLive) video.src = URL.createObjectURL(source);
    await once(video, "loadeddata");
    await (isLive ? video.play() : seek(0.5 / Number(rate.value))); // the middle of a frame is surely in that frame
    Object.assign(picture, { width: video.videoWidth, height: video.videoHeight });
    say("ready", INVITATION);
    await preview();
  } catch (error) {
    say("failed", error.message);
  }
}

/** Shows what is there until tracking begins: of a webcam, each frame. */
async function preview() {
  const source = video.srcObject;
  show();
  while (live && !tracking && video.srcObject === source) {
    await nextFrame();
    if (!start && !tracking) show(); // a box that is being drawn keeps its frame
  }
}

/** Waits for the next frame. Returns whether there is one. */
async function nextFrame() {
  if (live) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    return true;
  }
  const next = video.currentTime + 1 / Number(rate.value);
  if (next >= video.duration) return false;
  await seek(next);
  return true;
}

async function seek(seconds) {
  video.currentTime = seconds;
  await once(video, "seeked");
}

async function track(box, first) {
  tracking = true;
  stop.disabled = false;
  boxes.textContent = "";
  try {
    let found = await ask({ kind: "init", frame: first, box });
    for (let number = 0; tracking; number++) {
      draw(found.box, found.score < LOST_BELOW);
      boxes.textContent += `${[number, ...found.box.map((value) => value.toFixed(3)), found.score.toFixed(4)].join(",")}\n`;
      const began = performance.now();
      if (!(await nextFrame())) break;
      const frame = show();
      found = await ask({ kind: "update", frame });
      const seconds = (performance.now() - began) / 1000;
      say("tracking", `Frame ${number + 1}, score ${found.score.toFixed(2)}, ${(1 / seconds).toFixed(1)} frames/s.`);
    }
    say("done", INVITATION);
  } catch (error) {
    say("failed", error.message);
  }
  tracking = false;
  stop.disabled = true;
  if (live) preview();
}

/** Where an event is, in pixels of the picture. */
function placeOf(event) {
  const shown = picture.getBoundingClientRect();
  const x = ((event.clientX - shown.left) * picture.width) / shown.width;
  const y = ((event.clientY - shown.top) * picture.height) / shown.height;
  return [x, y];
}

function boxTo(event) {
  const [x, y] = placeOf(event);
  return [Math.min(start[0], x), Math.min(start[1], y), Math.abs(x - start[0]), Math.abs(y - start[1])];
}

file.addEventListener("change", () => file.files.length && open(file.files[0], false));
webcam.addEventListener("click", async () => {
  try {
    open(await navigator.mediaDevices.getUserMedia({ video: true }), true);
  } catch (error) {
    say("failed", `expected a webcam, found ${error.message}`);
  }
});
stop.addEventListener("click", () => (tracking = false));
picture.addEventListener("pointerdown", (event) => {
  if (tracking || !video.videoWidth) return;
  start = placeOf(event);
  drawnIn = show();
  picture.setPointerCapture(event.pointerId);
});
picture.addEventListener("pointermove", (event) => {
  if (!start || tracking) return;
  brush.putImageData(drawnIn, 0, 0);
  draw(boxTo(event), false);
});
picture.addEventListener("pointerup", (event) => {
  if (!start || tracking) return;
  const box = boxTo(event);
  start = null;
  if (Math.min(box[2], box[3]) >= LEAST_SIDE) track(box, drawnIn);
});

try {
  const { about } = await ask({ kind: "load" });
  say("loaded", `Choose a video or the webcam. The tracker is ${about.weights}.`);
} catch (error) {
  say("failed", error.message);
}
