"""Correlation filters: what they learn, how they answer, and a target that changes until nothing of it is left."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Float
from scenes import texture
from searches import BY_FEATURES, CLOSE

import mfst_jax
from mfst_jax import correlation_filter
from mfst_jax.config import ALEXNET, AUTHORS, SIAMFC, Config
from mfst_jax.correlation_filter import (
    GEOMETRIES,
    RATE,
    Spectrum,
    filter_maps,
    filter_response,
    first_templates,
    learn,
    mix_in,
)
from mfst_jax.errors import InputError
from mfst_jax.params import Params

LEARNING = replace(BY_FEATURES, filter_share=0.5, recent_share=0.5, alexnet_layers=("conv5",))
TARGET = jnp.array([64.0, 48.0])
"""Width and height of the target, in samples of the search region."""


def random_maps(seed: int = 0, channels: int = 6) -> dict[str, jax.Array]:
    """Features at random, as smooth as those of a network are."""
    rng, maps = np.random.default_rng(seed), {}
    for layer, geometry in GEOMETRIES.items():
        coarse = rng.standard_normal((geometry.cells // 2 + 2, geometry.cells // 2 + 2, channels))
        fine = jax.image.resize(jnp.asarray(coarse, jnp.float32), (geometry.cells, geometry.cells, channels), "cubic")
        maps[layer] = jnp.abs(fine)
    return maps


def moved(maps: jax.Array, rows: int, columns: int) -> jax.Array:
    """Map whose content moved by whole cells, and around its edges."""
    return jnp.roll(maps, (rows, columns), axis=(0, 1))


def as_parts(spectrum: np.ndarray) -> Spectrum:
    return Spectrum(*(jnp.asarray(part, jnp.float32) for part in (spectrum.real, spectrum.imag)))


def as_complex(spectrum: Spectrum) -> np.ndarray:
    return np.asarray(spectrum.real) + 1j * np.asarray(spectrum.imag)


def peak(response: Float[np.ndarray, "272 272"]) -> tuple[float, float]:
    """Place (x, y) of the peak, in samples of the search region from its centre."""
    row, column = np.unravel_index(np.argmax(response), response.shape)
    return (column - 135.5) / 2, (row - 135.5) / 2


@pytest.mark.parametrize("layer", GEOMETRIES)
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, -5), (-6, 2)])
def test_a_filter_answers_where_the_target_has_moved(layer: str, rows: int, columns: int):
    geometry, maps = GEOMETRIES[layer], filter_maps(random_maps())
    template = first_templates(maps)[layer]
    response = np.asarray(filter_response(template, moved(maps[layer], rows, columns), TARGET, geometry))
    x, y = peak(response)
    assert x == pytest.approx(columns * geometry.stride, abs=1)
    assert y == pytest.approx(rows * geometry.stride, abs=1)


def test_a_filter_tells_the_target_from_what_lay_around_it_in_the_first_frame():
    geometry = GEOMETRIES["conv5"]
    maps = filter_maps(random_maps(1))["conv5"]
    response = np.asarray(filter_response(maps * correlation_filter.hann_window(22), maps, TARGET, geometry))
    far = np.hypot(*np.meshgrid(*[np.arange(272) - 135.5] * 2)) > 2 * 40  # 40 samples from the target
    assert response[far].max() < 0.3 * response.max()


def test_the_filter_solves_the_ridge_regression_where_it_may_have_coefficients_everywhere():
    # Without a restriction, equation 3 of the source is least squares: at each frequency x^H y / (n + x^H x).
    rng = np.random.default_rng(3)
    x = np.fft.rfft2(rng.standard_normal((5, 8, 8)))
    label = np.fft.rfft2(rng.standard_normal((8, 8)))
    found = as_complex(correlation_filter._solve(as_parts(x), as_parts(label[None]), jnp.ones((8, 8))))
    energy = (np.abs(x) ** 2).sum(0)
    start = np.conj(x) * label / (64 + energy)
    # One more iteration, whose restricted filter is the first one: min |x f - y|^2 / n + 10 |f - start|^2.
    expected = np.empty_like(x)
    for row in range(8):
        for column in range(5):
            at = x[:, row, column]
            matrix = np.outer(np.conj(at), at) / 64 + 10 * np.eye(5)
            expected[:, row, column] = np.linalg.solve(
                matrix, np.conj(at) * label[row, column] / 64 + 10 * start[:, row, column]
            )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_after_the_first_iteration_coefficients_beyond_the_target_fade():
    geometry = GEOMETRIES["conv5"]
    template = first_templates(filter_maps(random_maps(2)))["conv5"]
    spectrum = correlation_filter._spectrum(template, geometry.padded)
    label = correlation_filter._transform(jnp.zeros((1, 32, 32)).at[0, 10, 10].set(1))
    support = jnp.zeros((32, 32)).at[:4, :4].set(1)

    def share_outside(support_: jax.Array) -> float:
        spatial = np.fft.irfft2(as_complex(correlation_filter._solve(spectrum, label, support_)), (32, 32))
        return float(np.sum(np.square(spatial * (1 - np.asarray(support)))) / np.sum(np.square(spatial)))

    assert share_outside(support) < 0.5 * share_outside(jnp.ones((32, 32)))


def test_a_template_is_a_running_mean_of_maps_with_the_target_at_their_centre():
    first, second = filter_maps(random_maps(4)), filter_maps(random_maps(5))
    templates = first_templates(first)
    learned = learn(templates, second, jnp.array([16.0, -8.0]))
    for layer, geometry in GEOMETRIES.items():
        rows, columns = -8 // geometry.stride, 16 // geometry.stride
        window = correlation_filter.hann_window(geometry.cells)
        centred = np.zeros_like(second[layer])  # what lies beyond the map is zero
        size = geometry.cells
        for row in range(size):
            for column in range(size):
                if 0 <= row + rows < size and 0 <= column + columns < size:
                    centred[row, column] = second[layer][row + rows, column + columns]
        expected = (1 - RATE) * templates[layer] + RATE * centred * window
        np.testing.assert_allclose(learned[layer], expected, atol=1e-5)
    np.testing.assert_allclose(
        first_templates(first)["conv5"], first["conv5"] * correlation_filter.hann_window(22), rtol=1e-6
    )


def test_maps_have_cells_of_one_norm_and_channels_of_mean_zero_and_zero_maps_stay():
    features = {layer: 1e3 * maps for layer, maps in random_maps(6).items()}
    maps = filter_maps(features)
    for layer in GEOMETRIES:
        np.testing.assert_allclose(jnp.mean(maps[layer], axis=(0, 1)), 0, atol=1e-5)
        np.testing.assert_allclose(maps[layer], filter_maps(random_maps(6))[layer], atol=1e-4)
    blank = filter_maps({layer: jnp.zeros_like(maps) for layer, maps in features.items()})
    assert all(float(jnp.abs(each).max()) == 0 for each in blank.values())
    nothing = mix_in(jnp.ones((272, 272)), first_templates(blank), blank, TARGET, 0.5)
    np.testing.assert_allclose(nothing, 0.5)


def test_the_share_of_the_filters_by_hand():
    maps = filter_maps(random_maps(7))
    templates, response = first_templates(maps), jnp.asarray(np.random.default_rng(0).random((272, 272)), jnp.float32)
    both = [filter_response(templates[layer], maps[layer], TARGET, GEOMETRIES[layer]) for layer in GEOMETRIES]
    expected = 0.7 * response / response.max() + sum(0.15 * each / each.max() for each in both)
    np.testing.assert_allclose(mix_in(response, templates, maps, TARGET, 0.3), expected, atol=1e-5)
    np.testing.assert_allclose(mix_in(response, templates, maps, TARGET, 0.0), response / response.max(), atol=1e-6)


SIDE, PLACES = 32, [(70, 60), (74, 62), (78, 64), (82, 66), (86, 68), (90, 70), (94, 72), (98, 74)]


def clip() -> tuple[np.ndarray, np.ndarray]:
    """Frames with a patch that moves over a background."""
    rng = np.random.default_rng(8)
    background, patch = texture(rng, 180, 240, grain=16), texture(rng, SIDE, SIDE, grain=6)
    frames = np.repeat(background[None], len(PLACES), axis=0)
    for frame, (x, y) in zip(frames, PLACES, strict=True):
        frame[y : y + SIDE, x : x + SIDE] = patch
    return frames, np.array([*PLACES[0], SIDE, SIDE], np.float32)


@pytest.fixture(scope="module")
def followed(params: Params) -> mfst_jax.Result:
    """Track of the clip, frame by frame."""
    frames, box = clip()
    return mfst_jax.track(params, frames, box, config=LEARNING)


def test_a_target_is_followed_with_filters(followed: mfst_jax.Result):
    assert np.abs(np.asarray(followed.box)[:, :2] - PLACES).max() < 4
    assert {layer: maps.shape for layer, maps in followed.state.templates.items()} == {
        "pool1": (61, 61, 64),
        "conv5": (22, 22, 256),
    }


def test_prepared_weights_a_scan_and_a_batch_find_the_same(params: Params, followed: mfst_jax.Result):
    frames, box = clip()
    prepared = mfst_jax.prepare(params, LEARNING)
    track = partial(mfst_jax.track, config=LEARNING)
    np.testing.assert_allclose(track(prepared, frames, box).box, followed.box, **CLOSE)
    videos, boxes = np.stack([frames, frames[::-1]]), np.stack([box, box + np.array([28, 14, 0, 0], np.float32)])
    batch = jax.jit(jax.vmap(track, in_axes=(None, 0, 0)))(prepared, videos, boxes)
    np.testing.assert_allclose(batch.box[0], followed.box, **CLOSE)
    assert np.abs(np.asarray(batch.box)[1, :, :2] - PLACES[::-1]).max() < 4


def test_a_blank_frame_teaches_nothing(params: Params, followed: mfst_jax.Result):
    frames, _ = clip()
    after, output = mfst_jax.step(params, followed.state, np.full_like(frames[0], 90))
    assert float(output.score) == 0
    np.testing.assert_array_equal(output.box, followed.box[-1])
    for layer in GEOMETRIES:
        np.testing.assert_array_equal(after.templates[layer], followed.state.templates[layer])
    np.testing.assert_array_equal(after.recent["alexnet"]["conv5"], followed.state.recent["alexnet"]["conv5"])


def test_recent_features_are_learned_from_frame_to_frame(params: Params, followed: mfst_jax.Result):
    """They change, and with features that are alike everywhere in their place the scale becomes another."""
    frames, _ = clip()
    state = followed.state
    change = state.recent["alexnet"]["conv5"] - state.exemplar.features["alexnet"]["conv5"]
    assert 0.01 < float(jnp.linalg.norm(change) / jnp.linalg.norm(state.recent["alexnet"]["conv5"])) < 0.5
    by_recent = replace(LEARNING, scale_step=1.5, scale_penalty=1.0, scale_damping=1.0, recent_share=1.0)
    blurred = jax.tree.map(lambda x: jnp.broadcast_to(x.mean(axis=(0, 1)), x.shape), state.recent)
    scales = [
        float(mfst_jax.step(params, replace(state, recent=recent), frames[-1], config=by_recent)[0].scale / state.scale)
        for recent in (state.recent, blurred)
    ]
    assert scales[0] == pytest.approx(1)
    assert scales[1] != pytest.approx(1)


def test_the_filters_decide_where_they_have_the_whole_share(params: Params, followed: mfst_jax.Result):
    """With a share of 1 the exemplar does not count: a target whose template is another place's goes there."""
    frames, _ = clip()
    alone = replace(LEARNING, filter_share=1.0)
    state = followed.state
    elsewhere = {layer: moved(maps, 0, 16 // GEOMETRIES[layer].stride) for layer, maps in state.templates.items()}
    ways = [
        mfst_jax.step(params, replace(state, templates=t), frames[-1], config=alone)[1].box
        for t in (state.templates, elsewhere)
    ]
    side = float(mfst_jax.boxes.context_side(state.size, LEARNING.context) * state.scale) * 255 / 127
    assert float(ways[1][0] - ways[0][0]) == pytest.approx(-16 / 255 * side, abs=3)


def test_a_place_has_gradients_in_what_the_filters_learned(params: Params, followed: mfst_jax.Result):
    frames, _ = clip()
    config = replace(LEARNING, peak_temperature=0.05)

    def place(templates: dict[str, jax.Array], params: Params, state: mfst_jax.State) -> jax.Array:
        return mfst_jax.step(params, replace(state, templates=templates), frames[-1], config=config)[1].box[0]

    state, compute = followed.state, jax.jit(jax.value_and_grad(place))
    _, gradients = compute(state.templates, params, state)
    for layer, gradient in gradients.items():
        assert np.isfinite(gradient).all()
        # The derivative along the gradient itself, against differences.
        template = state.templates[layer]
        direction = gradient * (0.1 * jnp.abs(template).max() / jnp.abs(gradient).max())
        low, high = (
            compute(state.templates | {layer: template + step * direction}, params, state)[0] for step in (-0.5, 0.5)
        )
        slope = float(jnp.sum(gradient * direction))
        assert slope > 1e-3
        assert float(high - low) == pytest.approx(slope, rel=0.1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (partial(replace, ALEXNET, filter_share=1.5), r"config\.filter_share: expected in \[0, 1\], found 1\.5"),
        (
            partial(replace, SIAMFC, filter_share=0.5),
            r"config\.alexnet_layers: expected conv5 of A in use, or filter_share=0",
        ),
        (partial(Config, alexnet_layers=("conv3",), filter_share=0.5), r"config\.alexnet_layers: expected conv5"),
        (partial(replace, AUTHORS, filter_share=0.5), r"config\.upsampling: expected half_pixel, or filter_share=0"),
    ],
)
def test_what_filters_cannot_do_is_refused(config: partial, message: str):
    with pytest.raises(InputError, match=message):
        config()
