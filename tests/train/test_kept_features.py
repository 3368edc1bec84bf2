"""Kept features of conv3: what is kept, which views a step draws, and a step on them beside the plain modules'."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import video
from small_runs import Killed, kill_at, numbers

import mfst_jax
from mfst_jax.backbones import AlexNet
from mfst_jax.correlation import cross_correlate
from mfst_jax.crops import central_exemplar
from mfst_jax.errors import InputError
from mfst_jax.params import Contents
from mfst_jax.train import kept_features
from mfst_jax.train.data import pairs
from mfst_jax.train.data.augmentation import Augmentation, augment
from mfst_jax.train.data.split import Data
from mfst_jax.train.kept_features import KeptFeatures, draw_views, thinned
from mfst_jax.train.loop import train
from mfst_jax.train.losses import balanced_logistic, labels, nothing_there
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.steps import frozen_part, init, train_step

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    network="alexnet",
    frozen_convolutions=3,
    kept_views=2,
    kept_crops=3,
    loss_weights=(0.0, 0.5, 1.0),
    other_videos=0.25,
    beside_alexnet=2.0,
    factors=(1.0, 1e-2, 1e-3),
    batch_size=2,
    pairs_per_epoch=2,
    epochs=1,
    learning_rate=1e-3,
    validation_pairs=2,
    flip=True,
)
PAIRS = np.array([[0, 0, 1], [1, 0, 2]])


@pytest.fixture(scope="module")
def start(random_params):
    return random_params(Contents(siamfc=False, alexnet="torchvision"))


@pytest.fixture(scope="module")
def videos():
    return [video("a", [0, 5, 6, 9], seed=1), video("b", range(3), seed=2)]


@pytest.fixture(scope="module")
def kept(start, videos, tmp_path_factory) -> KeptFeatures:
    return kept_features.make(tmp_path_factory.mktemp("kept"), start, RECIPE, videos)


def test_a_thinned_video_has_crops_from_its_whole_length(videos):
    found = thinned(videos[0], 3)
    assert found.frames.tolist() == [0, 6, 9]
    assert (found.read(1) == videos[0].read(2)).all()
    assert thinned(videos[0], 0) is thinned(videos[0], 4) is videos[0]


def test_what_is_kept_are_the_features_of_the_crops_and_of_the_crops_flipped(start, kept):
    variables = {"params": start.variables["params"]["alexnet"]}
    apply = jax.jit(AlexNet("torchvision").apply)
    for view, step in ((0, 1), (1, -1)):
        batch = kept.batch(PAIRS, np.full((2, 2), view))
        assert batch.video.tolist() == [0, 1]
        for found, column in ((batch.exemplar, 1), (batch.search, 2)):
            crops = np.stack([kept.videos[row[0]].read(row[column]) for row in PAIRS])
            images = jnp.asarray(crops[:, 16:-16, 16:-16][:, :, ::step], jnp.float32)
            images = central_exemplar(images) if column == 1 else images
            expected = np.asarray(apply(variables, images)["conv3"])
            assert found.dtype == np.float16
            np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_views_after_the_first_are_augmented_by_keys_of_their_own(start, videos, tmp_path):
    recipe = dataclasses.replace(RECIPE, kept_crops=0, shift=4.0)
    kept = kept_features.make(tmp_path, start, recipe, videos[:1])
    last = kept.batch(np.array([[0, 3, 3]]), np.ones((1, 2), int))  # in the second part, which begins with crop 3
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(kept_features.VIEWS_SEED), 1), 3)
    crops = np.stack([videos[0].read(3)[:, ::-1]] * kept_features.CROPS_AT_ONCE)
    apply = jax.jit(AlexNet("torchvision").apply)
    for found, images in zip(last[:2], augment(key, crops, crops, Augmentation(shift=4.0)), strict=True):
        expected = np.asarray(apply({"params": start.variables["params"]["alexnet"]}, images[:1])["conv3"])
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_what_is_kept_is_found_again_and_computed_anew_where_anything_differs(start, kept, videos, tmp_path):
    class Computed(Exception):  # noqa: N818 (it says what happened)
        pass

    def computed(done: int, total: int) -> None:
        raise Computed

    def change(**changes) -> Recipe:
        return dataclasses.replace(RECIPE, **changes)

    make = partial(kept_features.make, tmp_path, advance=computed)
    small = change(kept_views=1, kept_crops=2)
    whole = kept_features.make(tmp_path, start, small, videos)
    assert [len(each.frames) for each in whole.videos] == [2, 2]
    make(start, change(kept_views=1, kept_crops=2, seed=5, learning_rate=1.0), videos)
    other = dataclasses.replace(start, variables=jax.tree.map(lambda each: 2 * each, start.variables))
    shifted = change(kept_views=1, kept_crops=2, shift=2.0)
    for by, changed, of in (
        (start, change(kept_views=1), videos),
        (start, change(kept_crops=2), videos),
        (start, shifted, videos),
        (start, small, videos[1:]),
        (other, small, videos),
    ):
        with pytest.raises(Computed):
            make(by, changed, of)
    assert len([*Path(tmp_path).glob("conv3-*")]) == 1


def test_views_are_drawn_alike_often_and_flipped_ones_go_together():
    drawn = draw_views(20_000, 5, True, seed=3, step=7)
    assert (drawn[:, 0] % 2 == drawn[:, 1] % 2).all()
    for column in drawn.T:
        assert np.bincount(column, minlength=5) == pytest.approx(4000, rel=0.1)
    free = draw_views(20_000, 3, False, seed=3, step=7)
    assert np.bincount(free[:, 0] * 3 + free[:, 1]) == pytest.approx(20_000 / 9, rel=0.1)
    assert (draw_views(5, 4, True, seed=3, step=7) == draw_views(5, 4, True, seed=3, step=7)).all()
    assert (draw_views(9, 4, True, seed=3, step=8) != draw_views(9, 4, True, seed=3, step=7)).any()


def test_a_step_is_that_of_the_plain_modules(start, kept):
    batch = kept.batch(PAIRS, np.zeros((2, 2), int))
    state = init(RECIPE, start, {"conv4": -0.5, "conv5": 0.25})
    step = jax.jit(partial(train_step, recipe=RECIPE))
    done = step(state, frozen_part(RECIPE, start), jax.tree.map(lambda each: each[None], batch), jax.random.key(0))

    crops = pairs.load(kept.videos, PAIRS)
    images = [jnp.asarray(each[:, 16:-16, 16:-16], jnp.float32) for each in (crops.exemplar, crops.search)]
    first = start.variables["params"]["alexnet"]
    positive, different = jnp.asarray(labels()), ~jnp.eye(2, dtype=bool)

    def maps_of(variables, images, last_relu):
        network = AlexNet("torchvision", last_relu=last_relu)
        z, x = network.apply(variables, central_exemplar(images[0])), network.apply(variables, images[1])
        return {layer: jnp.stack([cross_correlate(each, x[layer]) for each in z[layer]]) for layer in z}

    def loss(trained, biases, beside, first, images):
        of_a = jax.lax.stop_gradient(maps_of({"params": first}, images, last_relu=True))
        of_s = maps_of({"params": {**first, **trained}}, images, last_relu=False)
        total, found = 0.0, {}
        for layer, weight, factor in (("conv4", 0.5, 1e-2), ("conv5", 1.0, 1e-3)):
            maps = factor * of_s[layer] + biases[layer]
            found[layer] = jnp.mean(jnp.stack([balanced_logistic(maps[i, i], positive) for i in (0, 1)]))
            total += weight * (found[layer] + 0.25 * nothing_there(maps, different))
        for i in (0, 1):
            scaled = [(m[i, i] - m[i, i].min()) / (m[i, i].max() - m[i, i].min()) for m in of_a.values()]
            both = 1e-3 * of_s["conv5"][i, i] + jnp.exp(beside["log_factor"]) * sum(scaled) / 3 + beside["bias"]
            total += 2.0 / 2 * balanced_logistic(both, positive)
        return total, found

    before = state.trainable
    gradients, losses = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(
        {name: first[name] for name in ("conv4", "conv5")}, before.biases, before.beside, first, images
    )
    assert sorted(done.trainable.weights) == ["conv4", "conv5"]
    for layer, expected in losses.items():
        assert float(done.losses[layer]) == pytest.approx(float(expected), rel=1e-3)  # features are kept in float16
    moved = jax.tree.map(lambda now, then: (now - then) / -1e-3, done.trainable, before)
    for found, expected in zip((moved.weights, moved.biases, moved.beside), gradients, strict=True):
        for name in expected:
            for one, other in zip(jax.tree.leaves(found[name]), jax.tree.leaves(expected[name]), strict=True):
                assert np.abs(other).max() > 0
                np.testing.assert_allclose(one, other, atol=1e-2 * np.abs(other).max())


@pytest.mark.slow
def test_a_run_that_is_stopped_and_resumed_agrees_to_the_last_bit(start, videos, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=2, pairs_per_epoch=4, average=0.9, best="centre_error")
    data = Data(videos, [video("c", range(2), seed=3)])
    run = partial(train, recipe, start, data, cache=tmp_path / "cache", quiet=True)
    metrics = run(tmp_path / "whole")
    assert [sorted(line["centre_errors"]) for line in metrics] == [["conv5", "fused", "with_alexnet"]] * 3
    with pytest.raises(Killed):
        run(tmp_path / "stopped", after_step=kill_at(3))
    steps = []
    run(tmp_path / "stopped", after_step=steps.append)
    assert steps == [3, 4]
    (weights, lines), (others, other_lines) = numbers(tmp_path / "whole"), numbers(tmp_path / "stopped")
    assert lines == other_lines
    assert all((weights[name] == others[name]).all() for name in weights)
    assert mfst_jax.prepare(mfst_jax.load(tmp_path / "whole" / "last.safetensors")).shared == (
        "conv1",
        "conv2",
        "conv3",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen_convolutions": 2}, "frozen_convolutions: expected 3 with kept_views, found 2"),
        ({"loss_weights": (0.1, 0.5, 1.0)}, r"loss_weights: expected 0 for conv3 with kept_views, found \(0.1"),
        ({"loss_weights": (0.0, 1.0, 0.0)}, "loss_weights: expected above 0 for conv5 with beside_alexnet"),
        ({"grey": 0.1}, "grey: expected 0 with kept_views"),
        ({"kept_crops": 1}, "kept_crops: expected 0, or 2 for a pair, found 1"),
        ({"kept_views": 0}, "beside_alexnet: expected 0 without kept_views, found 2.0"),
        ({"kept_views": -1}, "kept_views: expected 0 or more, found -1"),
        ({"bias_rate": 0.0}, "bias_rate: expected above 0, found 0.0"),
    ],
)
def test_recipes_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(RECIPE, **changes)


def test_biases_learn_at_a_rate_of_their_own(start, kept):
    batch = jax.tree.map(lambda each: each[None], kept.batch(PAIRS, np.zeros((2, 2), int)))

    def moved(recipe: Recipe):
        state = init(recipe, start)
        step = jax.jit(partial(train_step, recipe=recipe))
        done = step(state, frozen_part(recipe, start), batch, jax.random.key(0))
        return jax.tree.map(lambda now, then: np.asarray(now - then), done.trainable, state.trainable)

    slow, quick = moved(RECIPE), moved(dataclasses.replace(RECIPE, bias_rate=30.0))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), quick.weights, slow.weights)
    for part in ("biases", "beside"):
        for name, change in getattr(slow, part).items():
            assert getattr(quick, part)[name] == pytest.approx(30 * change, rel=1e-3)
