"""Replayed tracks against real ones."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import write_sequence

import mfst_jax
from mfst_jax import boxes, evaluation, fusion, localisation
from mfst_jax.config import LAYERS, MODELS
from mfst_jax.errors import InputError
from mfst_jax.media.images import read_image
from mfst_jax.params import Contents
from mfst_jax.presets import PAPER
from mfst_jax.train.fusion_search import response_volumes
from mfst_jax.train.fusion_search.random_search import from_config
from mfst_jax.train.fusion_search.replay import follow, localise, replay, responses_at, step_from_truth
from mfst_jax.train.fusion_search.response_volumes import SCALES, SLACK, ResponseVolumes

FACTORS = jnp.ones(1)
FUSIONS = {
    "paper": PAPER,
    "hard": dataclasses.replace(PAPER, alexnet_fusion="hard", alexnet_factors=(2e-3, 1e-3, 1e-3), model_fusion="hard"),
    "means": dataclasses.replace(
        PAPER, siamfc_fusion="soft_mean", alexnet_fusion="soft_mean", model_fusion="soft_mean"
    ),
}


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    shape = (6, len(SCALES), response_volumes.WIDE, response_volumes.WIDE)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("scale", range(len(SCALES)))
@pytest.mark.parametrize("cells", [(0, 0), (3, -2)])
def test_at_kept_cells_and_scales_responses_are_what_was_kept(volume, scale, cells):
    side = 120.0
    offset = jnp.array(cells, jnp.float32) * side * SCALES[scale]  # of cells at that scale
    seen = responses_at(jnp.asarray(volume), offset, jnp.float32(side * SCALES[scale]), jnp.float32(side), FACTORS)
    x, y = cells
    expected = volume[:, scale, SLACK + y : SLACK + y + 17, SLACK + x : SLACK + x + 17]
    np.testing.assert_allclose(seen[:, 0], expected, atol=2e-3)


def test_between_cells_and_scales_a_smooth_response_is_met():
    """A bump at a fixed place in the frame, wider at smaller scales."""
    grid = np.arange(response_volumes.WIDE) - (response_volumes.WIDE - 1) / 2

    def bump(x, y, scale):
        return np.exp(-((x * scale - 1.3) ** 2 + (y * scale + 0.4) ** 2) / 30) * (1 + 0.3 * np.log(scale))

    maps = np.stack([bump(grid[None, :], grid[:, None], scale) for scale in SCALES])
    maps = np.broadcast_to(maps, (6, *maps.shape)).astype(np.float32)
    side, scale, offset = 90.0, 1.06, np.array([0.7, -1.6])
    seen = responses_at(
        jnp.asarray(maps), jnp.asarray(offset * side), jnp.float32(side * scale), jnp.float32(side), FACTORS
    )
    cells = np.arange(17) - 8
    expected = bump(cells[None, :] + offset[0] / scale, cells[:, None] + offset[1] / scale, scale)
    np.testing.assert_allclose(seen[2, 0], expected, atol=5e-3)


@pytest.mark.parametrize("name", FUSIONS)
def test_the_peak_is_where_the_tracker_finds_it(name):
    config, draws = FUSIONS[name], np.random.default_rng(1)
    for _ in range(4):
        small = draws.standard_normal((6, 3, 6, 6)).astype(np.float32)
        maps = jax.image.resize(jnp.asarray(small), (6, 3, 17, 17), "cubic") + 2
        by_model = maps.reshape(2, 3, 3, 17, 17)
        upsampled = {
            model: localisation.upsample(each, "half_pixel") for model, each in zip(MODELS, by_model, strict=True)
        }
        units = {model: jnp.array(config.factors(model)).reshape(-1, 1, 1, 1) * 1e3 for model in MODELS}
        fused = fusion.fuse_hierarchy({model: units[model] * each for model, each in upsampled.items()}, config)
        expected = localisation.choose_region(fused, config)
        windowed = localisation.add_window(fused[expected], config.window_influence)
        cells, best = localise(maps, jax.tree.map(jnp.asarray, from_config(config)))
        assert int(best) == int(expected)
        np.testing.assert_allclose(cells * 8, localisation.displacement(windowed, "half_pixel"), atol=2.01)


@pytest.fixture(scope="module")
def seen(random_params, tmp_path_factory) -> tuple[Path, ResponseVolumes, mfst_jax.Params, np.ndarray]:
    root = tmp_path_factory.mktemp("data")
    truth = write_sequence(root / "a", 0, frames=3)
    params = random_params(Contents(siamfc=True, alexnet="torchvision"))
    found = response_volumes.gather(root.parent / "kept", evaluation.load(root, "folder").sequences, params)
    return root, found, params, truth


@pytest.mark.slow
def test_a_replayed_track_is_the_real_one_but_for_interpolation(seen):
    root, found, params, truth = seen
    frames = np.stack([read_image(path) for path in sorted((root / "a").glob("*.png"))])
    real = mfst_jax.track(params, frames, truth[0].astype(np.float32), config=PAPER).boxes
    one = jax.tree.map(lambda each: each[0], found)
    replayed = follow(jax.tree.map(jnp.asarray, from_config(PAPER)), one)
    np.testing.assert_allclose(replayed[0], real[0], atol=1e-3)
    moved = np.linalg.norm(np.asarray(boxes.to_centre(real)[0] - boxes.to_centre(real[:1])[0]), axis=1)
    assert moved[-1] > 4
    np.testing.assert_allclose(replayed[1:], real[1:], atol=1.5)
    candidates = jax.tree.map(lambda each: np.stack([each, each]), from_config(PAPER))
    expected = evaluation.success_auc(np.asarray(replayed), truth)
    both = replay(candidates, found)
    np.testing.assert_allclose(both[..., 0], [[expected], [expected]], atol=1e-5)
    np.testing.assert_array_equal(both[0], both[1])


def test_a_single_step_ends_at_the_truth_where_responses_peak_there_and_elsewhere_where_not():
    grid = np.arange(response_volumes.WIDE) - (response_volumes.WIDE - 1) / 2

    def seen(x: float) -> ResponseVolumes:
        bump = np.exp(-((grid[None, :] - x) ** 2 + grid[:, None] ** 2) / 4)
        of_scales = np.stack([bump * (1 - abs(np.log(scale))) for scale in SCALES])
        responses = np.broadcast_to(of_scales, (5, 6, *of_scales.shape)).astype(np.float32)
        return ResponseVolumes(responses, np.tile(np.array([50, 60, 40, 40], np.float32), (5, 1)), np.ones(5, bool))

    candidate = jax.tree.map(jnp.asarray, from_config(PAPER))
    assert (step_from_truth(candidate, seen(0)) > 0.85).all()
    assert (step_from_truth(candidate, seen(4)) < 0.6).all()


def test_response_volumes_are_kept_and_padded(seen, monkeypatch):
    root, found, params, _ = seen
    write_sequence(root / "b", 1, frames=1)
    sequences = evaluation.load(root, "folder").sequences
    computed = []
    plain = response_volumes._compute
    monkeypatch.setattr(
        response_volumes,
        "_compute",
        lambda sequence, prepared: computed.append(sequence.name) or plain(sequence, prepared),
    )
    both = response_volumes.gather(root.parent / "kept", sequences, params)
    assert computed == ["b"]
    np.testing.assert_array_equal(both.responses[0], found.responses[0])
    assert both.counted.tolist() == [[True] * 3, [True, False, False]]


def test_a_backbone_alone_is_refused(params, tmp_path):
    with pytest.raises(InputError, match="expected both backbones, found AlexNet"):
        response_volumes.gather(tmp_path, (), params)


def test_layers_are_in_the_order_of_the_configuration():
    candidate = from_config(dataclasses.replace(PAPER, siamfc_weights=(1.0, 2.0, 3.0), alexnet_weights=(4.0, 5.0, 6.0)))
    assert candidate.layers.tolist() == [1, 2, 3, 4, 5, 6]
    assert len(LAYERS) * len(MODELS) == 6
