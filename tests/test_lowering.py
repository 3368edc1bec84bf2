"""Accelerators without one at hand: all programs lower for GPUs and TPUs, without what would be slow or wrong there."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from lowered import abstract, convolutions, lower, problems
from one_layer import SMALL

import mfst_jax
from mfst_jax.bench.random_inputs import preset_params
from mfst_jax.config import Config
from mfst_jax.evaluation import tracking
from mfst_jax.params import Contents, resolve_config
from mfst_jax.presets import PRESETS, Preset

pytest.importorskip("flatbuffers")

FRAME, BOX = jax.ShapeDtypeStruct((96, 128, 3), jnp.uint8), jax.ShapeDtypeStruct((4,), jnp.float32)
SIZE = jax.ShapeDtypeStruct((2,), jnp.int32)


@pytest.fixture(autouse=True)
def on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that asks which backend there is hears of a GPU; trees may hold shapes for arrays."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@cache
def weights_for(preset: Preset, kind: str) -> tuple[Any, Config]:
    """Shapes of the weights for a preset, plain or prepared, and its configuration."""
    params = preset_params(preset)
    config = resolve_config(params.contents, PRESETS[preset])
    return abstract(mfst_jax.prepare(params, config) if kind == "prepared" else params), config


def init(weights: Any, frame: jax.Array, box: jax.Array, *, config: Config) -> mfst_jax.State:
    return mfst_jax.init(weights, frame, box, config=config)


def step(weights: Any, state: mfst_jax.State, frame: jax.Array) -> tuple[mfst_jax.State, jax.Array]:
    state, output = mfst_jax.step(weights, state, frame)
    return state, output.box


def allowed(config: Config) -> set[str]:
    """What programs may have beside what is free of problems: correlation filters take a Fourier transform."""
    return {"values of complex<f32>"} if config.filter_share else set()


def several(tree: Any, count: int = 4) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), tree)


@pytest.mark.parametrize(
    ("preset", "kind"),
    [
        *(("adaptive", "prepared"), ("authors", "plain")),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("adaptive", "plain"), ("authors", "prepared"))),
    ],
)
def test_init_step_and_track_lower(preset: Preset, kind: str):
    weights, config = weights_for(preset, kind)
    begin = partial(init, config=config)
    state = jax.eval_shape(begin, weights, FRAME, BOX)
    for text in (
        lower(begin, weights, FRAME, BOX),
        lower(step, weights, state, FRAME),
        lower(partial(mfst_jax.track, config=config), weights, several(FRAME), BOX),
    ):
        assert convolutions(text) >= 10
        assert set(problems(text)) <= allowed(config)


@pytest.mark.parametrize("preset", ["adaptive", "siamfc"])
def test_a_batch_of_tracks_shares_its_weights(preset: Preset):
    weights, config = weights_for(preset, "prepared")
    state = jax.eval_shape(partial(init, config=config), weights, FRAME, BOX)
    mapped = jax.vmap(step, in_axes=(None, 0, 0))
    text = lower(mapped, weights, several(state), several(FRAME))
    assert convolutions(text) >= 5
    assert set(problems(text)) == allowed(config)


def test_a_batch_of_videos_shares_its_weights():
    weights, config = weights_for("realtime", "prepared")
    mapped = jax.vmap(partial(mfst_jax.track, config=config), in_axes=(None, 0, 0))
    text = lower(mapped, weights, several(several(FRAME, 3)), several(BOX))
    assert problems(text) == []


def test_the_batched_evaluator_lowers_for_several_devices():
    weights, config = weights_for("realtime", "prepared")
    mesh = tracking._mesh(4)
    assert mesh.size == 2
    frames, boxes, sizes = several(FRAME), several(BOX), several(SIZE)
    begin = partial(tracking._init_all, config=config, mesh=mesh)
    states = jax.eval_shape(begin, weights, frames, boxes, sizes)
    for text in (
        lower(begin, weights, frames, boxes, sizes),
        lower(partial(tracking._step_all, mesh=mesh), weights, states, frames),
    ):
        assert convolutions(text) >= 10
        assert problems(text) == []


@pytest.mark.parametrize("trains", ["se", "backbone"])
def test_the_training_step_lowers(trains: str, random_params: Callable[[Contents], mfst_jax.Params]):
    pytest.importorskip("optax")
    from mfst_jax.train import steps
    from mfst_jax.train.data.pairs import Crops
    from mfst_jax.train.recipe import Recipe

    if trains == "se":
        changes: dict[str, Any] = {"model": "alexnet", "cached_pairs": 0, "factors": (1e-3, 1e-3, 1e-3)}
    else:
        changes = {"model": "siamfc", "trains": "backbone", "loss_weights": (0.0, 0.0, 1.0)}
    recipe = Recipe(epochs=1, pairs_per_epoch=4, batch_size=4, accumulation=2, validation_pairs=2, **changes)
    params = random_params(Contents(siamfc=trains == "backbone", alexnet="torchvision" if trains == "se" else None))
    crop = jax.ShapeDtypeStruct((2, 2, 287, 287, 3), jnp.uint8)
    batch = Crops(crop, crop, jax.ShapeDtypeStruct((2, 2), jnp.int32))
    state, frozen = steps.init(recipe, params), steps.frozen_part(recipe, params)
    text = lower(partial(steps.train_step, recipe=recipe), state, frozen, batch, jax.random.key(0))
    assert convolutions(text) >= 10
    assert problems(text, inference=False) == []


def convolve(images: jax.Array, kernel: jax.Array, layout: str = "NHWC") -> jax.Array:
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=(layout, "HWIO", layout))


IMAGES, KERNEL = np.zeros((2, 6, 6, 3), np.float32), np.zeros((3, 3, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (convolve, (IMAGES, KERNEL), None),
        (partial(convolve, layout="NCHW"), (IMAGES.transpose(0, 3, 1, 2), KERNEL), "a convolution in the layout"),
        (lambda x, k: convolve(x.transpose(0, 3, 2, 1), k), (IMAGES.transpose(0, 3, 2, 1), KERNEL), "before"),
        (lambda x, k: convolve(x, k).transpose(0, 3, 1, 2), (IMAGES, KERNEL), "a transposition after"),
        (jax.vmap(convolve), (np.stack([IMAGES] * 3), np.stack([KERNEL] * 3)), "a convolution in groups"),
        (lambda x: jax.pure_callback(lambda y: y, x, x), (np.zeros(3, np.float32),), "custom call xla"),
        (lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y + 1, x), (np.zeros(3, np.complex64),), "complex<f32>"),
    ],
    ids=["none", "layout", "before", "after", "groups", "callback", "complex"],
)
def test_what_must_not_be_there_is_seen(function: Any, arguments: tuple[Any, ...], expected: str | None):
    # Not by `jax.export`, which refuses callbacks itself.
    found = problems(jax.jit(function).lower(*arguments).as_text())
    assert found == [] if expected is None else expected in found[0]


def test_doubles_and_unknown_shapes_are_seen():
    with jax.enable_x64(True):
        text = lower(lambda x: jnp.sin(x) * 2, np.zeros(3, np.float64))
    assert "values of f64" in problems(text)
    shape = jax.export.symbolic_shape("n")
    text = jax.export.export(jax.jit(jnp.sin), platforms=["tpu"])(
        jax.ShapeDtypeStruct(shape, jnp.float32)
    ).mlir_module()
    assert "a shape that is not known" in problems(text)


def test_a_choice_that_vmap_maps_is_the_same_as_each_alone():
    """Of tracks taken together, one searches the centre and the other the whole region, as each does by itself."""
    params = preset_params("alexnet")
    config = dataclasses.replace(SMALL, centre_search=30.0)
    config = resolve_config(params.contents, config)
    rng = np.random.default_rng(0)
    frames = jnp.asarray(rng.integers(0, 256, (2, 64, 80, 3), np.uint8))
    states = [mfst_jax.init(params, frame, (20, 16, 20, 18), config=config) for frame in frames]
    states[0] = dataclasses.replace(states[0], searches_centre=jnp.array(True))
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    found, output = jax.jit(jax.vmap(mfst_jax.step, in_axes=(None, 0, 0)))(params, together, frames[::-1])
    for number, state in enumerate(states):
        expected, alone = mfst_jax.step(params, state, frames[1 - number])
        np.testing.assert_allclose(output.box[number], alone.box, rtol=0, atol=2e-3)
        np.testing.assert_allclose(output.score[number], alone.score, rtol=0, atol=1e-4)
        assert bool(found.searches_centre[number]) == bool(expected.searches_centre)
