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
from mfst_jax.config import Config
from mfst_jax.correlation_filter import GEOMETRIES, Geometry
from mfst_jax.errors import InputError
from mfst_jax.params import Params
from mfst_jax.presets import ALEXNET, AUTHORS, SIAMFC

# Each of them is one compilation.
filter_maps, first_templates, learn, mix_in = (
    jax.jit(getattr(correlation_filter, name)) for name in ("filter_maps", "first_templates", "learn", "mix_in")
)
filter_response = jax.jit(correlation_filter.filter_response, static_argnums=3)

LEARNING = replace(BY_FEATURES, filter_share=0.5, recent_share=0.5, alexnet_layers=("conv5",))
TARGET = jnp.array([64.0, 48.0])
"""Width and height of the target, in samples of the search region."""


def random_maps(seed: int = 0, channels: int = 6) -> dict[str, np.ndarray]:
    """Features at random, as smooth as those of a network are."""
    rng, maps = np.random.default_rng(seed), {}
    for layer, geometry in GEOMETRIES.items():
        coarse = rng.standard_normal((geometry.cells // 2 + 1, geometry.cells // 2 + 1, channels), np.float32)
        doubled = coarse.repeat(2, axis=0).repeat(2, axis=1)[: geometry.cells + 1, : geometry.cells + 1]
        maps[layer] = np.abs(doubled[1:, 1:] + doubled[:-1, 1:] + doubled[1:, :-1] + doubled[:-1, :-1]) / 4
    return maps


def moved(maps: jax.Array, rows: int, columns: int) -> jax.Array:
    """Map whose content moved by whole cells, and around its edges."""
    return jnp.roll(maps, (rows, columns), axis=(0, 1))


def peak(response: Float[np.ndarray, "272 272"]) -> tuple[float, float]:
    """Place (x, y) of the peak, in samples of the search region from its centre."""
    row, column = np.unravel_index(np.argmax(response), response.shape)
    return (column - 135.5) / 2, (row - 135.5) / 2


def test_layers_are_alexnets_and_are_padded_to_sides_with_small_factors():
    assert {layer: (each.stride, each.cells) for layer, each in GEOMETRIES.items()} == {
        "pool1": (4, 61),
        "conv5": (8, 22),
    }
    for geometry in GEOMETRIES.values():
        assert geometry.padded >= geometry.cells + geometry.cells // 8
        assert 2**5 * 3**5 % geometry.padded == 0


@pytest.mark.parametrize("layer", GEOMETRIES)
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, -5), (-6, 2)])
def test_a_filter_answers_where_the_target_has_moved(layer: str, rows: int, columns: int):
    geometry, maps = GEOMETRIES[layer], filter_maps(random_maps())
    template = first_templates(maps)[layer]
    x, y = peak(np.asarray(filter_response(template, moved(maps[layer], rows, columns), TARGET, geometry)))
    assert x == pytest.approx(columns * geometry.stride, abs=1)
    assert y == pytest.approx(rows * geometry.stride, abs=1)


def test_a_filter_tells_the_target_from_what_lay_around_it_in_the_first_frame():
    geometry = GEOMETRIES["conv5"]
    maps = filter_maps(random_maps())["conv5"]
    response = np.asarray(filter_response(maps * correlation_filter.cell_window(22), maps, TARGET, geometry))
    far = np.hypot(*np.meshgrid(*[np.arange(272) - 135.5] * 2)) > 2 * 40  # 40 samples from the target
    assert response[far].max() < 0.3 * response.max()


def test_cells_without_any_feature_have_a_gradient():
    maps = random_maps()
    for each in maps.values():
        each[3:7, 5] = 0  # as ReLU leaves them
    found = jax.jit(jax.grad(lambda maps: sum(jnp.sum(jnp.square(each)) for each in filter_maps(maps).values())))(maps)
    for layer, gradient in found.items():
        assert np.isfinite(gradient).all(), layer
        assert gradient.any(), layer


def convolution(maps: np.ndarray) -> np.ndarray:
    """Matrix [n n, c n n] of the sum over the channels of circular convolutions with a map [n, n, c]."""
    shifts = [(row, column) for row in range(len(maps)) for column in range(len(maps))]
    channels = np.moveaxis(maps, -1, 0)
    return np.stack([np.roll(each, shift, axis=(0, 1)).ravel() for each in channels for shift in shifts], axis=1)


def cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel of cubic interpolation with a = -1/2."""
    d = np.abs(distance)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


@pytest.mark.parametrize(
    ("target", "sigma", "reach"),
    [((12.0, 40.0), 0.5, (2, 1)), ((56.0, 50.0), 0.1 * 2800**0.5 / 8, (3, 3)), ((16.0, 32.0), 0.5, (2, 1))],
    ids=["narrow", "large", "of whole cells"],
)
def test_a_filters_response_is_that_of_a_dense_solution(
    target: tuple[float, float], sigma: float, reach: tuple[int, int]
):
    """Two iterations of ADMM in space, by matrices, of a filter with coefficients up to `reach` (rows, columns)."""
    geometry = Geometry(8, 6, 9)
    rng = np.random.default_rng(3)
    template, maps = (rng.standard_normal((6, 6, 2)) for _ in range(2))
    padded, padded_maps = (np.pad(each, ((0, 3), (0, 3), (0, 0))) for each in (template, maps))
    gaussian = np.exp(-0.5 * ((np.arange(9) - 2.5) / sigma) ** 2)
    label = np.outer(gaussian, gaussian).ravel()
    distance = np.array([0, 1, 2, 3, 4, 4, 3, 2, 1])
    support = np.tile(np.outer(distance <= reach[0], distance <= reach[1]).ravel(), 2)

    x = convolution(padded)
    square, matched, one = x.T @ x / 81, x.T @ label / 81, np.eye(162)
    # min |x f - y|^2 / 2n + |f|^2 / 2, then with a penalty of 10 on the difference to the part in the support.
    anywhere = np.linalg.solve(square + one, matched)
    multiplier = anywhere - support * anywhere
    learned = np.linalg.solve(square + 10 * one, matched + 10 * support * anywhere - multiplier)
    response, to_template = ((convolution(each) @ learned).reshape(9, 9) for each in (padded_maps, padded))
    places = 2.5 + (np.arange(272) - 135.5) / 2 / 8  # two samples for each of the region
    matrix = cubic(places[:, None] - np.arange(9))

    arrays = (jnp.asarray(each, jnp.float32) for each in (template, maps, target))
    found = filter_response(*arrays, geometry)
    expected = matrix @ response @ matrix.T / to_template.max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_template_is_a_running_mean_of_maps_with_the_target_at_their_centre():
    first, second = filter_maps(random_maps(4)), filter_maps(random_maps(5))
    templates = first_templates(first)
    learned = learn(templates, second, jnp.array([16.0, -8.0]))
    for layer, geometry in GEOMETRIES.items():
        rows, columns, size = 8 // geometry.stride, 16 // geometry.stride, geometry.cells
        window = np.outer(*[np.sin(np.pi * np.arange(1, size + 1) / (size + 1)) ** 2] * 2)[..., None]
        centred = np.zeros_like(second[layer])  # what lies beyond the map is zero
        centred[rows:, :-columns] = second[layer][:-rows, columns:]
        np.testing.assert_allclose(templates[layer], first[layer] * window, atol=1e-6)
        np.testing.assert_allclose(learned[layer], 0.987 * templates[layer] + 0.013 * centred * window, atol=1e-6)


def test_between_cells_a_map_is_met_as_cubic_interpolation_has_it():
    cells = np.arange(8) - 3.5
    maps = np.stack([np.add.outer(cells**2, cells), np.multiply.outer(cells, cells**2)], axis=-1)
    found = jax.jit(correlation_filter._recentred)(jnp.asarray(maps, jnp.float32), jnp.array([0.5, -0.75]))
    rows, columns = cells - 0.75, cells + 0.5  # where there are cells on all sides, a quadratic is met exactly
    expected = np.stack([np.add.outer(rows**2, columns), np.multiply.outer(rows, columns**2)], axis=-1)
    np.testing.assert_allclose(found[2:6, 2:6], expected[2:6, 2:6], atol=1e-5)


def test_cells_have_about_one_norm_by_hand():
    cells = np.array([[(3, 4), (0, 0)], [(0, 5), (10, 0)]], np.float32)  # norms 5, 0, 5, 10, of which a tenth is 1/2
    expected = np.array([[(3 / 5.5, 4 / 5.5), (0, 0)], [(0, 5 / 5.5), (10 / 10.5, 0)]])
    expected -= expected.mean(axis=(0, 1))
    for found in filter_maps({layer: jnp.asarray(cells) for layer in GEOMETRIES}).values():
        np.testing.assert_allclose(found, expected, atol=1e-6)


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
    peaks = [float(each.max()) for each in both]
    assert min(peaks) > 1  # without the window that the templates are under
    expected = 0.7 * response / response.max() + sum(0.15 * each / peak for each, peak in zip(both, peaks, strict=True))
    np.testing.assert_allclose(mix_in(response, templates, maps, TARGET, 0.3), expected, atol=1e-5)
    np.testing.assert_allclose(mix_in(response, templates, maps, TARGET, 0.0), response / response.max(), atol=1e-6)
    # This one has no peak above 0.
    np.testing.assert_array_equal(mix_in(-response, templates, maps, TARGET, 0.0), -response)


def test_a_filter_that_finds_less_than_it_has_learned_counts_less():
    templates = first_templates(filter_maps(random_maps(7)))
    response, halved = jnp.zeros((272, 272)), {layer: each / 2 for layer, each in templates.items()}
    whole, half = (mix_in(response, templates, maps, TARGET, 0.4) for maps in (templates, halved))
    assert float(whole.max()) == pytest.approx(0.4, abs=0.01)  # what the filters learned from
    assert float(half.max()) == pytest.approx(0.2, abs=0.02)
    for layer, geometry in GEOMETRIES.items():
        to_all, to_half = (
            filter_response(templates[layer], each[layer], TARGET, geometry) for each in (templates, halved)
        )
        assert 0.99 < float(to_all.max()) < 1.2  # between cells it may be higher than in any
        np.testing.assert_allclose(to_half, to_all / 2, atol=1e-5)


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
