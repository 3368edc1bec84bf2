// The tracker from an exported model: a session of ONNX Runtime, and the state between frames.

import * as ort from "onnxruntime-web/wasm";

export const FORMAT = 2; // of the models that this program was written for
const ARRAYS = { bool: Uint8Array, float32: Float32Array, int32: Int32Array }; // zeros of each type of a state's arrays
const NEXT = "next.";
const STATE = "state.";
const KEY = "mfst_jax";
const METADATA_FIELD = 14; // metadata_props of ONNX's ModelProto

/** What a model says of itself: an object, or null where it says nothing of mfst_jax. */
export function readMetadata(bytes) {
  for (const [field, value] of fieldsOf(bytes)) {
    if (field !== METADATA_FIELD) continue;
    const [key, text] = [...fieldsOf(value)].map(([, part]) => new TextDecoder().decode(part));
    if (key === KEY) return JSON.parse(text);
  }
  return null;
}

/** Fields of a protocol buffer as [number, bytes]; bytes is null for numbers. */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("expected an ONNX model, found another file");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [field, kind] = [Math.floor(tag / 8), tag & 7];
    if (kind === 2) {
      const size = varint();
      yield [field, bytes.subarray(at, at + size)];
      at += size;
    } else if (kind === 0) {
      varint();
      yield [field, null];
    } else {
      throw new Error("expected an ONNX model, found another file");
    }
  }
}

export class Tracker {
  /** The tracker of a model's bytes. The folder holds the runtime's files. */
  static async load(bytes, folder) {
    const found = readMetadata(bytes);
    if (found?.format !== FORMAT) {
      throw new Error(`expected a tracker of format ${FORMAT}, found ${found?.format ?? "none"}`);
    }
    ort.env.wasm.wasmPaths = folder;
    ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
    return new Tracker(await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }), found);
  }

  constructor(session, metadata) {
    this.session = session;
    this.metadata = metadata;
    this.state = {};
    for (const { name, type, shape } of session.inputMetadata) {
      if (!name.startsWith(STATE)) continue;
      const size = shape.reduce((product, side) => product * side, 1);
      this.state[name] = new ort.Tensor(type, new ARRAYS[type](size), shape);
    }
  }

  /** Takes the object in a box [x, y, width, height] of a frame (ImageData) as the target. */
  init(frame, box) {
    return this.run(frame, true, box);
  }

  /** The target in the next frame: its box [x, y, width, height] in pixels, and its score in [0, 1]. */
  update(frame) {
    return this.run(frame, false, [0, 0, 0, 0]);
  }

  async run({ data, width, height }, first, box) {
    const colours = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      colours[to++] = data[from];
      colours[to++] = data[from + 1];
      colours[to++] = data[from + 2];
    }
    const found = await this.session.run({
      frame: new ort.Tensor("uint8", colours, [height, width, 3]),
      first: new ort.Tensor("bool", [first], []),
      first_box: new ort.Tensor("float32", box, [4]),
      ...this.state,
    });
    for (const name of Object.keys(this.state)) {
      this.state[name] = found[NEXT + name.slice(STATE.length)];
    }
    return { box: [...found.box.data], score: found.score.data[0] };
  }
}
