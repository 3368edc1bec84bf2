"""Augmentation: each kind by itself does what it says, and none of them does nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import video

from mfst_jax.errors import InputError
from mfst_jax.train.data.augmentation import Augmentation, augment, resample
from mfst_jax.train.data.curation import CROP_SIZE, MARGIN


@pytest.fixture(scope="module")
def crops() -> tuple[np.ndarray, np.ndarray]:
    read = video("a", range(8)).read
    return np.stack([read(0), read(1), read(2)]), np.stack([read(3), read(4), read(5)])


def run(crops, **settings):
    by = Augmentation(**settings)
    return [np.asarray(each) for each in jax.jit(augment, static_argnames="by")(jax.random.key(1), *crops, by=by)]


def test_with_all_of_them_off_images_are_the_exact_middle_of_their_crops(crops):
    exemplars, searches = run(crops)
    np.testing.assert_array_equal(searches, crops[1][:, 16:271, 16:271])
    np.testing.assert_array_equal(exemplars, crops[0][:, 80:207, 80:207])


def test_images_are_resampled_and_coloured_by_the_draws_of_their_keys(crops):
    by = Augmentation(flip=True, stretch=0.05, shift=3.0, grey=0.25, colour=0.2, blur=1.5)
    keys = dict(zip(vars(by), jax.random.split(jax.random.key(1), 6), strict=True))
    draw = lambda name, *shape: jax.random.uniform(keys[name], (6, *shape), minval=-1.0)  # noqa: E731
    scale, shift, colours = 1 + 0.05 * draw("stretch", 2), 3 * draw("shift", 2), 1 + 0.2 * draw("colour", 1, 1, 3)
    deviations = 1.5 * jax.random.uniform(keys["blur"], (6,))
    flipped, grey = (jax.random.bernoulli(keys[name], share, (3,)) for name, share in (("flip", 0.5), ("grey", 0.25)))
    assert 0 < flipped.sum() < 3
    assert 0 < grey.sum() < 3
    # the first three draws are of the exemplars, the others of the search images
    for found, of, side, images in zip(run(crops, **vars(by)), (slice(3), slice(3, 6)), (127, 255), crops, strict=True):
        moved = resample(
            jnp.asarray(images, jnp.float32),
            scale[of],
            shift[of],
            side=side,
            flipped=flipped,
            deviations=deviations[of],
        )
        expected = np.array(moved)
        expected[np.asarray(grey)] = (expected[np.asarray(grey)] @ np.array([0.2989, 0.587, 0.114]))[..., None]
        np.testing.assert_allclose(found, np.clip(expected * colours[of], 0, 255), atol=0.05)


@pytest.mark.parametrize(
    ("field", "value"),
    [("flip", True), ("stretch", 0.1), ("shift", 4.0), ("grey", 0.5), ("colour", 0.1), ("blur", 2.0)],
)
def test_each_kind_alone_changes_images_alike_within_a_pair_or_each_by_itself(crops, field, value):
    (_, plain), (exemplars, searches) = (run((crops[1], crops[1]), **each) for each in ({}, {field: value}))
    assert np.abs(searches - plain).max() > 1
    difference = np.abs(searches[:, 64:191, 64:191] - exemplars).max(axis=(1, 2, 3))
    assert (difference == 0).all() if field in ("flip", "grey") else (difference > 1).all()


def test_resampling_by_nothing_changes_nothing_and_whole_shifts_move_pixels(crops):
    images = jnp.asarray(crops[0], jnp.float32)
    nothing = resample(images, jnp.ones((3, 2)), jnp.zeros((3, 2)), side=255)
    np.testing.assert_array_equal(nothing, images[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
    moved = resample(images, jnp.ones((3, 2)), jnp.tile(jnp.array([[3.0, -2.0]]), (3, 1)), side=255)
    # 3 to the right, 2 up: what is at (y, x) was at (y + 2, x - 3).
    np.testing.assert_allclose(moved, images[:, MARGIN + 2 : 2 - MARGIN, MARGIN - 3 : -3 - MARGIN], atol=1e-3)


def test_a_stretched_ramp_keeps_its_centre_and_is_less_steep():
    ramp = np.broadcast_to(np.arange(CROP_SIZE, dtype=np.float32)[None, None, :, None], (1, CROP_SIZE, CROP_SIZE, 3))
    wide = np.asarray(resample(jnp.asarray(ramp), jnp.array([[1.05, 0.95]]), jnp.zeros((1, 2)), side=255))[0, 0, :, 0]
    np.testing.assert_allclose(wide, 143 + (np.arange(255) - 127) / 1.05, atol=1e-3)


def test_flip_is_of_both_images_of_a_pair_or_of_none(crops):
    plain, flipped = run(crops), run(crops, flip=True)
    kinds = set()
    for row in range(3):
        of_row = [
            "same" if (new[row] == old[row]).all() else "flipped" if (new[row] == old[row][:, ::-1]).all() else "other"
            for new, old in zip(flipped, plain, strict=True)
        ]
        assert of_row[0] == of_row[1] != "other"
        kinds.add(of_row[0])
    assert kinds == {"same", "flipped"}


def test_grey_has_equal_channels_and_keeps_the_luminance(crops):
    (exemplars, _), (plain, _) = run(crops, grey=1.0), run(crops)
    np.testing.assert_array_equal(exemplars[..., 0], exemplars[..., 2])
    np.testing.assert_allclose(exemplars[..., 1], plain @ np.array([0.2989, 0.587, 0.114]), rtol=1e-4)


def test_colour_scales_channels_within_bounds(crops):
    (_, found), (_, plain) = run(crops, colour=0.1), run(crops)
    ratio = np.median(found / np.maximum(plain, 1), axis=(1, 2))
    assert (np.abs(ratio - 1) <= 0.1 + 1e-3).all()
    assert ratio.std() > 0.01
    assert found.max() <= 255


def test_an_exemplar_is_the_middle_of_what_a_search_image_would_be(monkeypatch):
    """Fewer of its pixels are computed, but as many as its blur sees."""
    crops = np.random.default_rng(0).integers(0, 256, (2, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    draw = lambda key, shape, **_: jnp.full(shape, 0.7)  # noqa: E731
    monkeypatch.setattr(jax.random, "uniform", draw)
    by = Augmentation(flip=True, stretch=0.08, shift=3.0, grey=0.5, colour=0.2, blur=2.0)
    exemplars, searches = augment(jax.random.key(4), crops, crops, by)
    np.testing.assert_allclose(exemplars, searches[:, 64:191, 64:191], atol=1e-3)


def test_a_flip_comes_before_a_shift():
    crops = np.random.default_rng(0).uniform(0, 255, (2, CROP_SIZE, CROP_SIZE, 3)).astype(np.float32)
    scale, shift = jnp.array([[1.05, 0.97], [1.0, 1.0]]), jnp.array([[2.0, -1.0], [3.0, 0.5]])
    found = resample(jnp.asarray(crops), scale, shift, side=127, flipped=jnp.array([True, False]))
    crops[0] = crops[0, :, ::-1]
    np.testing.assert_allclose(found, resample(jnp.asarray(crops), scale, shift, side=127), atol=1e-3)


def test_a_blur_keeps_a_flat_image_and_by_nothing_keeps_any(crops):
    nowhere = {"scale": jnp.ones((2, 2)), "shift": jnp.zeros((2, 2)), "side": 255}
    flat = resample(jnp.full((2, CROP_SIZE, CROP_SIZE, 3), 7.0), deviations=jnp.array([0.5, 2.0]), **nowhere)
    np.testing.assert_allclose(flat, 7.0, rtol=1e-5)
    images = jnp.asarray(crops[0][:2], jnp.float32)
    found = resample(images, deviations=jnp.zeros(2), **nowhere)
    np.testing.assert_array_equal(found, images[:, MARGIN:-MARGIN, MARGIN:-MARGIN])


def test_a_blur_spreads_a_dot_as_a_gaussian_and_sees_beyond_the_middle():
    dots = jnp.zeros((1, CROP_SIZE, CROP_SIZE, 3)).at[0, 143, 143].set(1.0).at[0, MARGIN - 1, 143].set(1.0)
    found = resample(dots, jnp.ones((1, 2)), jnp.zeros((1, 2)), side=255, deviations=jnp.ones(1))[0, ..., 0]
    weights = np.exp(-np.square(np.arange(-3, 4)) / 2)
    weights /= weights.sum()
    np.testing.assert_allclose(found[124:131, 124:131], np.outer(weights, weights), atol=1e-6)
    np.testing.assert_allclose(found[:4, 124:131], np.outer([*weights[4:], 0], weights), atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"stretch": 0.2}, {"shift": 17.0}, {"grey": 1.5}, {"blur": -1.0}, {"colour": 2.0}]
)
def test_what_has_no_room_is_refused(settings):
    with pytest.raises(InputError, match="expected"):
        Augmentation(**settings)
