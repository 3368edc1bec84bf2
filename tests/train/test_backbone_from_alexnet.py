"""AlexNet trained on as S: where it starts, what stays, one step beside the plain modules', what tracks afterwards."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import video

from mfst_jax.backbones import IMAGENET_MEAN, IMAGENET_STD, AlexNet
from mfst_jax.checkpoints import weight_names
from mfst_jax.correlation import cross_correlate
from mfst_jax.crops import central_exemplar
from mfst_jax.errors import InputError
from mfst_jax.params import Contents, implied_config
from mfst_jax.presets import ADAPTIVE
from mfst_jax.train import backbone, hosts
from mfst_jax.train.data import pairs
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.losses import balanced_logistic, labels, nothing_there
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.steps import frozen_part, init, train_step

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    network="alexnet",
    frozen_convolutions=2,
    loss_weights=(0.0, 0.5, 1.0),
    other_videos=0.25,
    factors=(1.0, 1e-2, 1e-3),
    batch_size=2,
    pairs_per_epoch=2,
    epochs=1,
    learning_rate=1e-3,
    validation_pairs=2,
)


@pytest.fixture(scope="module")
def crops() -> Crops:
    return pairs.load([video("a", range(3), seed=1), video("b", range(3), seed=2)], np.array([[0, 0, 1], [1, 0, 2]]))


@pytest.fixture(scope="module")
def start(random_params):
    return random_params(Contents(siamfc=False, alexnet="torchvision"))


@pytest.fixture(scope="module")
def done(start, crops):
    step = jax.jit(partial(train_step, recipe=RECIPE))
    batch = jax.tree.map(lambda each: each[None], crops)
    return step(
        init(RECIPE, start, {"conv4": -0.5, "conv5": 0.25}), frozen_part(RECIPE, start), batch, jax.random.key(0)
    )


def test_a_step_is_that_of_the_plain_modules(start, crops, done):
    images = [jnp.asarray(each[:, 16:-16, 16:-16], jnp.float32) for each in (crops.exemplar, crops.search)]
    first = start.variables["params"]["alexnet"]
    different = jnp.array([[False, True], [True, False]])

    def loss(trained, first, images):
        network, total, found = AlexNet("torchvision", last_relu=False), 0.0, {}
        variables = {"params": {**first, **trained}}
        z, x = network.apply(variables, central_exemplar(images[0])), network.apply(variables, images[1])
        for layer, weight, factor, bias in (("conv4", 0.5, 1e-2, -0.5), ("conv5", 1.0, 1e-3, 0.25)):
            maps = jnp.stack([factor * cross_correlate(each, x[layer]) + bias for each in z[layer]])
            found[layer] = jnp.mean(jnp.stack([balanced_logistic(maps[i, i], jnp.asarray(labels())) for i in (0, 1)]))
            total += weight * (found[layer] + 0.25 * nothing_there(maps, different))
        return total, found

    trained = {name: first[name] for name in ("conv3", "conv4", "conv5")}
    # All are arguments: what is constant, XLA computes as it compiles, in a minute.
    gradients, losses = jax.jit(jax.grad(loss, has_aux=True))(trained, first, images)
    for layer, expected in losses.items():
        assert float(done.losses[layer]) == pytest.approx(float(expected), rel=1e-5)
    for layer, before in trained.items():
        moved = np.asarray(done.trainable.weights[layer]["kernel"] - before["kernel"])
        expected = -1e-3 * np.asarray(gradients[layer]["kernel"])
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(moved, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.toom_cook
@pytest.mark.parametrize(("count", "devices"), [(1, 1), (2, 1), (3, 1), (2, 2)])
def test_features_are_the_networks_however_many_convolutions_are_frozen(count, devices, start, crops):
    recipe = dataclasses.replace(RECIPE, frozen_convolutions=count)
    with hosts.batches_on(devices):
        frozen = frozen_part(recipe, start)
    # By Toom-Cook and in one piece from conv2 on, where it can go image by image.
    assert (frozen.below is None) == (count == 1 or devices > 1)
    trained = init(recipe, start).trainable
    kept = set(frozen.weights) | ({*frozen.below.convolutions["alexnet"]} if frozen.below is not None else set())
    assert sorted([*kept, *trained.weights]) == list(backbone.CONVOLUTIONS)
    images = [jnp.asarray(each[:, 16:-16, 16:-16], jnp.float32) for each in (crops.exemplar, crops.search)]
    batches = [central_exemplar(images[0]), images[1]]
    with hosts.batches_on(devices):
        found, _ = jax.jit(partial(backbone.features, recipe=recipe))(trained, frozen, {}, batches)
    variables = {"params": start.variables["params"]["alexnet"]}
    for features, batch in zip(found, batches, strict=True):
        for layer, expected in jax.jit(AlexNet("torchvision", last_relu=False).apply)(variables, batch).items():
            np.testing.assert_allclose(features[layer], expected, atol=1e-4 * np.abs(expected).max())


def test_only_what_is_not_frozen_is_trained_and_the_result_is_s_beside_a(start, done):
    assert sorted(done.trainable.weights) == ["conv3", "conv4", "conv5"]
    found = backbone.with_backbone(start, done.trainable, done.statistics, RECIPE)
    assert found.contents == Contents(siamfc=True, alexnet="torchvision", siamfc_variant="alexnet")
    flat = weight_names.flatten(found.variables)
    assert {name: each.shape for name, each in flat.items()} == weight_names.expected(found.contents)
    assert weight_names.identify({name: each.shape for name, each in flat.items()}) == found.contents
    for layer in ("conv1", "conv2"):
        np.testing.assert_array_equal(flat[f"params/siamfc/{layer}/kernel"], flat[f"params/alexnet/{layer}/kernel"])
    assert (flat["params/siamfc/conv3/kernel"] != flat["params/alexnet/conv3/kernel"]).any()


def test_it_starts_from_torchvisions_alexnet_alone(random_params):
    caffe = random_params(Contents(siamfc=False, alexnet="caffe"))
    with pytest.raises(
        InputError, match=r"weights: expected torchvision's AlexNet to start from, found AlexNet \(caffe"
    ):
        init(RECIPE, caffe)


def test_conv1_of_siamfcs_network_begins_with_alexnets_filters(start):
    recipe = dataclasses.replace(RECIPE, network="siamfc", frozen_convolutions=0)
    plain, _ = backbone.fresh(recipe, start, {})
    lent, _ = backbone.fresh(dataclasses.replace(recipe, conv1_from_alexnet=True), start, {})
    same = jax.tree.map(np.array_equal, plain.weights, lent.weights)
    assert [name for name, each in same.items() if not all(jax.tree.leaves(each))] == ["conv1"]
    before, after = (np.asarray(each.weights["conv1"]["kernel"]) for each in (plain, lent))
    np.testing.assert_array_equal(after[..., 64:], before[..., 64:])
    norms = [np.linalg.norm(each.reshape(-1, 96), axis=0) for each in (before, after)]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
    # On images that are not normalised, each answers as AlexNet's own, but for a factor and a bias, which are BN's.
    image = jax.random.uniform(jax.random.key(0), (1, 31, 31, 3), maxval=255)
    answer = partial(jax.lax.conv_general_dilated, window_strides=(2, 2), padding="VALID")
    answer = partial(answer, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    own = start.variables["params"]["alexnet"]["conv1"]["kernel"]
    expected = np.asarray(answer((image / 255 - IMAGENET_MEAN) / IMAGENET_STD, own)).reshape(-1, 64)
    found = np.asarray(answer(image, after[..., :64])).reshape(-1, 64)
    expected, found = ((each - each.mean(0)) / each.std(0) for each in (expected, found))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_loss_on_other_videos_counts_the_highest_cells_of_their_maps_alone():
    maps = np.full((2, 2, 17, 17), -50.0, np.float32)
    maps[0, 1].ravel()[:16] = 3.0  # of 289 cells
    maps[0, 0] = 99.0  # a pair of its own
    different = np.array([[False, True], [True, False]])
    expected = (np.log1p(np.exp(3.0)) + np.log1p(np.exp(-50.0))) / 2
    assert float(nothing_there(jnp.asarray(maps), jnp.asarray(different))) == pytest.approx(expected, rel=1e-6)
    assert float(nothing_there(jnp.asarray(maps), jnp.zeros((2, 2), bool))) == 0


def test_targets_of_one_video_are_not_others_to_each_other():
    videos = [video(name, range(3), seed=1) for name in ("street_id01", "street_id02", "dog")]
    found = pairs.load(videos, np.array([[0, 0, 1], [1, 0, 1], [2, 0, 1]]))
    assert (found.video[:, None] == found.video[None]).tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]


def test_the_schedules_begin_and_end_where_they_should():
    from mfst_jax.train.steps import learning_rate

    recipe = dataclasses.replace(
        RECIPE, schedule="cosine", warmup_steps=3, epochs=10, pairs_per_epoch=20, final_learning_rate=1e-5
    )
    rates = [float(learning_rate(recipe, step)) for step in range(101)]
    assert rates[0] == pytest.approx(1e-3 / 4, rel=1e-3)
    assert max(rates) == pytest.approx(1e-3, rel=5e-3)
    assert rates[50] == pytest.approx((1e-3 + 1e-5) / 2, rel=1e-3)
    assert rates[100] == pytest.approx(1e-5, rel=1e-3)


def test_weights_with_a_recommend_conv5_alone_of_this_s(start):
    trained, running = backbone.fresh(RECIPE, start, {})
    both = backbone.with_backbone(start, trained, running, RECIPE)
    config = implied_config(both.contents)
    assert config.layers("siamfc") == ("conv5",)
    assert config.model_weights[0] > config.model_weights[1]
    assert config.filter_share == ADAPTIVE.filter_share
    assert backbone.alone(start, trained, running, RECIPE).contents.config is None
    assert implied_config(dataclasses.replace(both.contents, alexnet_se=True)) == config
