// The tracker on a thread of its own, so that the page stays alive while it computes.

import { Tracker } from "./tracker.js";

let tracker = null;

async function answer({ kind, frame, box }) {
  if (kind === "load") {
    const response = await fetch("mfst.onnx");
    if (!response.ok) throw new Error(`mfst.onnx: expected a model, found status ${response.status}`);
    tracker = await Tracker.load(new Uint8Array(await response.arrayBuffer()), new URL("./", self.location.href).href);
    return { about: tracker.metadata };
  }
  return kind === "init" ? tracker.init(frame, box) : tracker.update(frame);
}

let last = Promise.resolve(); // the answer to the last message: one after the other

self.onmessage = ({ data }) => {
  last = last
    .then(() => answer(data))
    .catch((error) => ({ error: String(error.message ?? error) }))
    .then((found) => self.postMessage(found));
};
