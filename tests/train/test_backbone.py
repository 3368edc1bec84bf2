"""SiamFC as what is trained: one step by PyTorch, BN's statistics, what is kept beside it, resumption, learning."""

import dataclasses
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import video
from small_runs import Killed, kill_at

import mfst_jax
from mfst_jax import checkpoints
from mfst_jax.backbones import BATCH_NORM_MOMENTUM, SiamFC
from mfst_jax.checkpoints import weight_names
from mfst_jax.config import LAYERS
from mfst_jax.crops import central_exemplar
from mfst_jax.errors import InputError
from mfst_jax.params import Contents
from mfst_jax.presets import SIAMFC
from mfst_jax.train import backbone, correlation_pools, epoch_validation
from mfst_jax.train.data import pairs
from mfst_jax.train.data.pairs import Crops
from mfst_jax.train.loop import train
from mfst_jax.train.losses import balanced_logistic, labels
from mfst_jax.train.measures import Measures
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.steps import init, train_step

RECIPE = Recipe(
    model="siamfc",
    trains="backbone",
    loss_weights=(0.0, 0.0, 1.0),
    batch_size=2,
    pairs_per_epoch=2,
    epochs=2,
    validation_pairs=2,
)
NOTHING_FROZEN = backbone.Frozen(None, {})


@pytest.fixture(scope="module")
def crops() -> Crops:
    return pairs.load([video("a", range(6), seed=1)], np.array([[0, 0, 1], [0, 2, 3]]))


@pytest.fixture(scope="module")
def beside(random_params):
    """Weights with an AlexNet, another SiamFC and its SE-blocks."""
    return random_params(Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True))


DECAYING = dataclasses.replace(RECIPE, weight_decay=0.1, average=0.6)


@cache
def compiled(recipe: Recipe) -> Any:
    return jax.jit(partial(train_step, recipe=recipe))


def advance(recipe: Recipe, state, crops: Crops, step: Any = None):
    step = step or compiled(recipe)
    return step(state, NOTHING_FROZEN, jax.tree.map(lambda each: each[None], crops), jax.random.key(0))


@pytest.fixture(scope="module")
def done(beside, crops):
    """The state after a step."""
    return advance(DECAYING, init(DECAYING, beside), crops)


def images(crops: Crops) -> tuple[Any, Any]:
    z, x = (jnp.asarray(each[:, 16:-16, 16:-16], jnp.float32) for each in (crops.exemplar, crops.search))
    return central_exemplar(z), x


@pytest.mark.parametrize(
    "gradients", ["the library's", pytest.param("Toom-Cook", marks=[pytest.mark.toom_cook, pytest.mark.slow])]
)
def test_a_step_is_that_of_pytorch(beside, crops, done, gradients):
    torch = pytest.importorskip("torch")
    import torch_reference
    from torch.nn import functional as F

    start = init(DECAYING, beside)
    if gradients == "Toom-Cook":
        done = advance(DECAYING, start, crops, compiled.__wrapped__(DECAYING))  # traced anew

    alone = backbone.alone(beside, start.trainable, start.statistics, DECAYING)
    network = torch_reference.MFST(alone.contents, SIAMFC, alone).backbones["siamfc"]
    network.train()
    bias, loss = torch.zeros((), requires_grad=True), torch.zeros(())
    z, x = (network(torch.from_numpy(np.array(each)).permute(0, 3, 1, 2))["conv5"] for each in images(crops))
    positive = torch.from_numpy(np.array(labels()))
    for one, other in zip(z, x, strict=True):
        response = 1e-3 * F.conv2d(other[None], one[None])[0, 0] + bias
        loss = loss + torch_reference.balanced_logistic(response, positive) / 2
    loss.backward()
    assert float(done.losses["conv5"]) == pytest.approx(float(loss.detach()), rel=1e-4)
    kernel = network.conv4.weight
    gradient = (kernel.grad + 0.1 * kernel.detach()).permute(2, 3, 1, 0).numpy()
    moved = np.asarray(done.trainable.weights["conv4"]["kernel"] - start.trainable.weights["conv4"]["kernel"])
    # by norms: where an activation is within rounding of 0, either may count it as off
    assert np.linalg.norm(moved + 0.01 * gradient) < 2e-3 * np.linalg.norm(0.01 * gradient)
    scale = np.asarray(done.trainable.weights["bn2"]["scale"] - start.trainable.weights["bn2"]["scale"])
    expected = -0.01 * network.bn2.weight.grad.numpy()  # no decay
    assert np.linalg.norm(scale - expected) < 1e-2 * np.linalg.norm(expected)


def test_running_statistics_move_towards_those_of_exemplars_then_of_search_images(beside, crops, done):
    kernel = init(RECIPE, beside).trainable.weights["conv1"]["kernel"]
    mean = np.zeros(96)
    for each in images(crops):
        seen = jax.lax.conv_general_dilated(each, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        mean = BATCH_NORM_MOMENTUM * mean + (1 - BATCH_NORM_MOMENTUM) * np.asarray(seen).mean((0, 1, 2))
    np.testing.assert_allclose(done.statistics["bn1"]["mean"], mean, rtol=1e-3, atol=1e-3 * np.abs(mean).max())


def test_statistics_are_averaged_as_the_weights_are(beside, crops, done):
    again = advance(DECAYING, done, crops)
    scales = [each["bn1"]["scale"] for each in (done.trainable.weights, again.trainable.weights, again.result.weights)]
    variances = [each["bn4"]["var"] for each in (done.statistics, again.statistics, again.result_statistics)]
    for first, second, mean in (scales, variances):
        assert np.abs(second - first).max() > 0
        np.testing.assert_allclose(mean, (first + second) / 2, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, done.result_statistics, done.statistics)
    without = init(RECIPE, beside)
    assert without.averaged_statistics is None
    assert without.result_statistics is without.statistics


def test_what_is_validated_and_written_are_averages(beside, done, monkeypatch):
    measured = []

    def measure(params, trainable, running, *_):
        measured.append((trainable, running))
        return Measures({"conv5": np.float32(0)}, {"conv5": np.float32(0)})

    monkeypatch.setattr(epoch_validation, "_measure", measure)
    average = jax.tree.map(lambda each: each + 1, jax.device_get((done.trainable, done.statistics)))
    state = dataclasses.replace(done, averaged=average[0], averaged_statistics=average[1])
    held_out = pairs.Chosen([video("a", range(6), seed=1)], np.array([[0, 0, 1]]))
    validator = epoch_validation.Validator(DECAYING, beside, held_out, ())
    validator.line(state, 1.0)
    written = alone_variables(validator.weights(state))
    for weights, statistics in ((measured[0][0].weights, measured[0][1]), (written["params"], written["batch_stats"])):
        np.testing.assert_array_equal(weights["bn1"]["scale"], average[0].weights["bn1"]["scale"])
        np.testing.assert_array_equal(statistics["bn1"]["mean"], average[1]["bn1"]["mean"])


def test_the_loss_of_an_epoch_is_weighted_as_the_one_that_is_trained(beside, done, monkeypatch):
    found = Measures(dict.fromkeys(LAYERS, np.float32(1)), {"conv5": np.float32(0)})
    monkeypatch.setattr(epoch_validation, "_measure", lambda *_: found)
    recipe = dataclasses.replace(RECIPE, loss_weights=(0.25, 0.5, 1.0))
    held_out = pairs.Chosen([video("a", range(6), seed=1)], np.array([[0, 0, 1]]))
    summed = {layer: jnp.float32(loss) for layer, loss in zip(LAYERS, (4, 2, 1), strict=True)}
    state = dataclasses.replace(done, losses=summed)
    line = epoch_validation.Validator(recipe, beside, held_out, ()).line(state, 1.0)
    assert (line["loss"], line["train_loss"]) == (1.75, 3.0)
    assert line["losses"] == dict.fromkeys(LAYERS, 1.0)


def test_what_is_measured_goes_by_running_statistics(beside, crops, done):
    alone = backbone.alone(beside, done.trainable, done.statistics, RECIPE)
    apply: Any = jax.jit(SiamFC().apply)
    z, x = (apply(alone_variables(alone), each)["conv5"] for each in images(crops))
    kept = correlation_pools.see(alone, crops, recipe=RECIPE)
    for row in range(2):
        response = jax.lax.conv_general_dilated(
            x[row][None], z[row][..., None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ).ravel()
        found = 36 * np.asarray(kept.maps["conv5"][row]).sum(-1)
        np.testing.assert_allclose(found, response, rtol=1e-3, atol=1e-4 * float(jnp.abs(response).max()))


def alone_variables(params) -> dict[str, Any]:
    return {kind: branches["siamfc"] for kind, branches in params.variables.items()}


def test_the_new_backbone_takes_the_place_of_another_and_of_its_se_blocks(beside):
    state = init(RECIPE, beside)
    found = backbone.with_backbone(beside, state.trainable, state.statistics, RECIPE)
    assert found.contents == Contents(siamfc=True, alexnet="torchvision", alexnet_se=True)
    flat = weight_names.flatten(found.variables)
    assert {name: each.shape for name, each in flat.items()} == weight_names.expected(found.contents)
    assert (flat["params/alexnet/conv2/kernel"] == beside.variables["params"]["alexnet"]["conv2"]["kernel"]).all()
    assert "siamfc_se" in beside.variables["params"]


@pytest.mark.slow
def test_a_run_resumes_to_the_last_bit_and_its_result_tracks(params, data, cache, tmp_path: Path):
    changes = {"flip": True, "shift": 2.0, "weight_decay": 5e-4}
    recipe = dataclasses.replace(RECIPE, **changes, batch_size=1, pairs_per_epoch=1, validation_pairs=1)
    run = partial(train, recipe, params, data, cache=cache / "pools", devices=jax.devices()[:1], quiet=True)
    whole, steps = run(tmp_path / "whole"), []
    with pytest.raises(Killed):
        run(tmp_path / "run", after_step=kill_at(2))
    resumed = run(tmp_path / "run", after_step=steps.append)
    assert steps == [2]
    for one, other in zip(whole, resumed, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    assert set(whole[-1]["losses"]) == {"conv5"}
    assert set(whole[-1]["centre_errors"]) == {"conv5", "fused"}
    one, other = (checkpoints.load(tmp_path / name / "last.safetensors") for name in ("whole", "run"))
    for a, b in zip(jax.tree.leaves(one.variables), jax.tree.leaves(other.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.contents.describe() == "SiamFC, AlexNet (torchvision)"
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    still = mfst_jax.track(one, np.stack([frame, frame]), (40, 30, 20, 20), config=SIAMFC)
    np.testing.assert_allclose(still.box[1], (40, 30, 20, 20), atol=0.5)


@pytest.mark.slow
def test_it_overfits_one_batch(beside, crops):
    recipe = dataclasses.replace(RECIPE, learning_rate=0.05, pairs_per_epoch=200)
    state, step = init(recipe, beside), jax.jit(partial(train_step, recipe=recipe))
    batch = jax.tree.map(lambda each: each[None], crops)
    losses = []
    for _ in range(40):
        before = float(state.losses["conv5"])
        state = step(state, NOTHING_FROZEN, batch, jax.random.key(0))
        losses.append(float(state.losses["conv5"]) - before)
    assert losses[0] > 0.5
    assert losses[-1] < 0.05
    kept = correlation_pools.see(
        backbone.alone(beside, state.trainable, state.statistics, recipe), crops, recipe=recipe
    )
    response = 1e-3 * 36 * np.asarray(kept.maps["conv5"]).sum(-1).reshape(2, 17, 17) + state.trainable.biases["conv5"]
    assert float(jnp.mean(balanced_logistic(jnp.asarray(response), jnp.asarray(labels())))) < 0.3  # in inference mode


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "alexnet"}, "model: expected siamfc where the backbone itself is trained, found 'alexnet'"),
        ({"cached_pairs": 8}, "cached_pairs: expected 0 where the backbone itself is trained, found 8"),
        ({"calibration_pairs": 8}, "calibration_pairs: expected 0 for SiamFC's network, which begins random, found 8"),
        ({"frozen_convolutions": 2}, "frozen_convolutions: expected 0 to 0 for this network, found 2"),
        ({"loss_weights": (0.0, 0.0, 0.0)}, "loss_weights: expected finite numbers of at least 0, one of them above"),
        ({"trains": "se_blocks"}, "loss_weights: expected 1,1,1 for SE-blocks"),
        ({"weight_decay": -1.0}, r"weight_decay: expected in \[0, 1\)"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(RECIPE, **changes)
