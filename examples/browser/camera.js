// The webcam: opened where the browser lets a page have it, and one sentence for people where it does not.

const REFUSALS = {
  NotFoundError: "No camera was found: connect one and press Webcam again, or choose a video.",
  NotAllowedError: "The camera was not allowed: allow it for this page in the browser, then press Webcam again.",
  NotReadableError: "The camera does not answer: close whatever else uses it, then press Webcam again.",
};
const INSECURE =
  "Browsers give the camera to secure pages alone: open this page by https://, or on its own computer at http://127.0.0.1.";

/** A stream of the camera's pictures: on a phone, of the camera on its back. Throws an error with a sentence. */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(INSECURE);
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}

/** Ends a stream, if there is one, and so turns the camera off. */
export function closeCamera(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
