"""Laws of the tracker on every device, and how far its responses are from the CPU's; each gives a `LawFinding`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mfst_jax import tracker
from mfst_jax.bench.random_inputs import Size, preset_params
from mfst_jax.config import Config
from mfst_jax.errors import reason
from mfst_jax.fast import PreparedParams, prepare
from mfst_jax.padding import pad
from mfst_jax.params import Params, resolve_config
from mfst_jax.presets import PRESETS, Preset
from mfst_jax.program.jax_health import computes_rightly
from mfst_jax.state import Result

PIXELS = 0.05
"""Greatest deviation of a side of a box that passes for rounding, in pixels."""
RELATIVE = 1e-3
"""Greatest deviation of a response from the CPU's, relative to the largest response."""


@dataclass(frozen=True)
class Case:
    """Material of the laws: a textured target that moves over a textured background.

    Attributes:
      params: Weights on the accelerator.
      config: How to track.
      frames: [T, H, W, 3] uint8.
      box: True box in the first frame, [4] float32.
      device: The accelerator.
    """

    params: Params
    config: Config
    frames: np.ndarray
    box: np.ndarray
    device: Any

    @cached_property
    def weights(self) -> PreparedParams:
        """Prepared weights."""
        return prepare(self.params, self.config)

    def track(self, frames: Any, **options: Any) -> Result:
        """Track by prepared weights."""
        return tracker.track(self.weights, frames, self.box, config=self.config, **options)


def make_case(params: Params, config: Config, device: Any, size: Size = (120, 168), count: int = 5) -> Case:
    """Case of `count` frames of a size, the target a quarter as high as they are."""
    rng, (height, width) = np.random.default_rng(0), size
    side, grain = height // 4, 4
    coarse = [
        rng.integers(0, 256, (-(-rows // grain), -(-columns // grain), 3), np.uint8)
        for rows, columns in (size, (side, side))
    ]
    background, patch = (np.kron(each, np.ones((grain, grain, 1), np.uint8)) for each in coarse)
    frames = np.repeat(background[None, :height, :width], count, axis=0)
    for number, frame in enumerate(frames):
        x, y = width // 3 + 3 * number, height // 3 + 2 * number
        frame[y : y + side, x : x + side] = patch[:side, :side]
    return Case(params, config, frames, np.array([width // 3, height // 3, side, side], np.float32), device)


def arithmetic(case: Case) -> float:
    """0 where the device computes rightly what a release of JAX got wrong, else infinity."""
    return 0.0 if computes_rightly() else np.inf


def blank_frames(case: Case) -> float:
    """By how much a box moves in black frames."""
    found = case.track(np.zeros_like(case.frames))
    return _deviation(found.box, np.tile(case.box, (len(case.frames), 1)))


def repetition(case: Case) -> float:
    """By how much the same call differs from itself; 0 is asked for."""
    return np.inf if _deviation(case.track(case.frames).box, case.track(case.frames).box) else 0.0


def one_program(case: Case) -> float:
    """By how much a whole track in one compiled program differs from one frame by frame."""
    frames, box = jnp.asarray(case.frames), jnp.asarray(case.box)
    found = jax.jit(tracker.track)(case.weights, frames, box, config=case.config)
    return _deviation(found.box, case.track(case.frames).box)


def batches(case: Case) -> float:
    """By how much tracks taken together differ from each alone."""
    videos = np.stack([case.frames, case.frames[::-1]])
    boxes = np.tile(case.box, (2, 1))

    def track(weights: Any, frames: jax.Array, box: jax.Array) -> jax.Array:
        return tracker.track(weights, frames, box, config=case.config).box

    found = jax.jit(jax.vmap(track, in_axes=(None, 0, 0)))(case.weights, videos, boxes)
    return max(_deviation(found[number], case.track(video).box) for number, video in enumerate(videos))


def padded_frames(case: Case) -> float:
    """By how much a track in padded frames differs from one in the frames themselves."""
    padded = np.stack([np.asarray(pad(frame)) for frame in case.frames])
    return _deviation(case.track(padded, frame_size=case.frames.shape[1:3]).box, case.track(case.frames).box)


def boxes_of_the_cpu(case: Case) -> float:
    """By how much boxes differ from those of the plain modules on a CPU."""
    cpu = jax.devices("cpu")[-1]
    with jax.default_device(cpu):
        expected = tracker.track(jax.device_put(case.params, cpu), case.frames, case.box, config=case.config)
        expected = np.asarray(expected.box)
    return _deviation(case.track(case.frames).box, expected)


LAWS: dict[str, Callable[[Case], float]] = {
    "a small example is computed rightly": arithmetic,
    "black frames move nothing": blank_frames,
    "the same call gives the same bits": repetition,
    "one program tracks as frame by frame": one_program,
    "a batch tracks as each alone": batches,
    "padding changes nothing": padded_frames,
    "boxes are the CPU's": boxes_of_the_cpu,
}
"""Laws, each with the function that gives its greatest deviation in pixels."""


class LawFinding(NamedTuple):
    """What was found of a law, or of the parity with the CPU.

    Attributes:
      name: Name of the law.
      found: What was found, in words.
      holds: Whether the law holds.
    """

    name: str
    found: str
    holds: bool


def examine(name: str, law: Callable[[], float], most: float, words: str) -> LawFinding:
    """Finding of a law, which gives its deviation. One that fails to run does not hold.

    Args:
      name: of the law.
      law: takes no argument.
      most: greatest deviation at which it holds.
      words: format of the deviation.
    """
    try:
        found = law()
    except Exception as error:
        return LawFinding(name, f"{type(error).__name__}: {reason(error):.200}", False)
    return LawFinding(name, words.format(found), found <= most)  # which NaN is not


def check_laws(case: Case, laws: dict[str, Callable[[Case], float]]) -> Iterator[LawFinding]:
    """Findings of these laws, on the device of the case."""
    for name, law in laws.items():
        with jax.default_device(case.device):
            yield examine(name, partial(law, case), PIXELS, "{:.4f} px")


def check_presets(presets: Sequence[Preset], device: Any) -> Iterator[LawFinding]:
    """Findings of whether each preset's responses are the CPU's, with random weights."""

    def deviation(preset: Preset) -> float:
        params = preset_params(preset)
        return check_responses(params, resolve_config(params.contents, PRESETS[preset]), device)

    for preset in presets:
        name = f"responses of {preset} are the CPU's"
        yield examine(name, partial(deviation, preset), RELATIVE, "{:.1e} of the largest")


def check_responses(params: Params, config: Config, device: Any) -> float:
    """Deviation of a step's fused responses from the CPU's, relative to the largest: prepared against plain weights."""
    case = make_case(params, config, device)

    def respond(weights: Any) -> np.ndarray:
        state = tracker.init(weights, case.frames[0], case.box, config=config)
        return np.asarray(tracker.step(weights, state, case.frames[1])[1].response)

    cpu = jax.devices("cpu")[-1]
    with jax.default_device(cpu):
        expected = respond(jax.device_put(params, cpu))
    with jax.default_device(device):
        found = respond(prepare(jax.device_put(params, device), config))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _deviation(found: Any, expected: Any) -> float:
    """Greatest difference of two arrays of boxes, in pixels; NaN where a box is."""
    return float(np.max(np.abs(np.asarray(found) - np.asarray(expected))))
