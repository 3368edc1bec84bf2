"""The training loop: reproducible, resumed at any step, what it writes and what it refuses."""

import dataclasses
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from small_runs import Killed, kill_at, make_recipe, numbers

import mfst_jax
from mfst_jax import checkpoints, evaluation
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.params import Params, implied_config
from mfst_jax.presets import ADAPTIVE_ALEXNET, SIAMFC
from mfst_jax.train import correlation_pools, epoch_validation, loop
from mfst_jax.train.command import main
from mfst_jax.train.data.split import Data
from mfst_jax.train.epoch_validation import success_aucs
from mfst_jax.train.loop import DivergedError, train
from mfst_jax.train.steps import init
from mfst_jax.train.trained_weights import with_se


def same(a, b) -> bool:
    return a[1] == b[1] and a[0].keys() == b[0].keys() and all((a[0][name] == b[0][name]).all() for name in a[0])


@pytest.fixture(scope="module")
def reference(params: Params, data: Data, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "reference"
    train(make_recipe(), params, data, out, cache=cache / "pools", quiet=True)
    return out


def test_two_runs_agree_to_the_last_bit(reference: Path, params, data, cache, tmp_path):
    metrics = train(make_recipe(), params, data, tmp_path / "run", cache=cache / "pools", quiet=True)
    assert [line["epoch"] for line in metrics] == [0, 1, 2, 3]
    assert same(numbers(reference), numbers(tmp_path / "run"))
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (reference / name).read_bytes()

    stop = kill_at(5)  # the first epoch is complete
    with pytest.raises(Killed):
        train(make_recipe(seed=1), params, data, tmp_path / "other", cache=cache / "pools", quiet=True, after_step=stop)
    other = [json.loads(line) for line in (tmp_path / "other" / "metrics.jsonl").read_text().splitlines()]
    assert other[1]["train_loss"] != metrics[1]["train_loss"]


@pytest.mark.parametrize(("step", "saved"), [(2, 0), (7, 4)])
def test_a_run_that_is_stopped_and_resumed_agrees_to_the_last_bit(
    step, saved, reference, params, data, cache, tmp_path
):
    out, steps = tmp_path / "run", []
    run = partial(train, make_recipe(), params, data, out, cache=cache / "pools", quiet=True)
    with pytest.raises(Killed):
        run(after_step=kill_at(step))
    run(after_step=steps.append)
    assert steps == [*range(saved + 1, 13)]
    assert same(numbers(reference), numbers(out))
    assert (out / "best.safetensors").read_bytes() == (reference / "best.safetensors").read_bytes()


def test_a_checkpoint_within_an_epoch_has_the_losses_of_its_first_steps(
    reference, params, data, cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "CHECK_STEPS", 1)
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    out, steps = tmp_path / "run", []
    run = partial(train, make_recipe(), params, data, out, cache=cache / "pools", quiet=True)
    with pytest.raises(Killed):
        run(after_step=kill_at(7))
    run(after_step=steps.append)
    assert steps == [*range(7, 13)]
    assert same(numbers(reference), numbers(out))  # `train_losses` of the second epoch, steps 5 to 8, among them


@pytest.mark.slow  # calibration alone is in test_calibration.py
def test_calibration_and_tracking_are_in_the_metrics_and_tracking_chooses(
    reference, params, data, sequences, cache, tmp_path
):
    names = {video.name for video in data.held_out}
    held_out = tuple(each for each in evaluation.load(sequences, "folder").sequences if each.name in names)
    data = dataclasses.replace(data, sequences=held_out)
    recipe = make_recipe(calibration_pairs=8, tracking_epochs=2, best="tracking")
    metrics = train(recipe, params, data, tmp_path / "run", cache=cache / "pools", quiet=True)
    factors, biases = metrics[0]["calibration"]["factors"], metrics[0]["calibration"]["biases"]
    assert all(0 < factor < np.inf for factor in factors)
    without = metrics[0]["without_se"]
    assert without["loss"] < 3 * np.log(2)  # better than knowing nothing, as the factors and biases are fitted
    assert set(without["tracking"]["sequences"]) == names
    assert ["tracking" in line for line in metrics[1:]] == [False, True, False]
    best = checkpoints.provenance(tmp_path / "run" / "best.safetensors")
    assert best["metrics"]["epoch"] == 2
    config = Config(models=("alexnet",), se=True)
    again = success_aucs(mfst_jax.load(tmp_path / "run" / "best.safetensors"), held_out, config)
    assert again == pytest.approx(metrics[2]["tracking"]["sequences"], abs=1e-6)
    assert numbers(reference)[1][1]["train_loss"] != metrics[1]["train_loss"]  # of the same recipe but for these
    assert any(biases.values())


def test_tracking_needs_sequences(params, data, cache, tmp_path):
    with pytest.raises(InputError, match="no held-out sequences to track"):
        train(make_recipe(tracking_epochs=1), params, data, tmp_path / "run", cache=cache / "pools", quiet=True)
    with pytest.raises(InputError, match="to find the best by"):
        make_recipe(best="tracking")


def test_a_run_that_tracks_goes_on_with_the_same_sequences_alone(params, data, sequences, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(epoch_validation, "success_aucs", lambda *_: {"videoa": 0.5})
    found = evaluation.load(sequences, "folder").sequences
    out, recipe = tmp_path / "run", make_recipe(tracking_epochs=1)

    def begin(*sequences: evaluation.Sequence) -> None:
        chosen = dataclasses.replace(data, sequences=sequences)
        with pytest.raises(Killed):
            train(recipe, params, chosen, out, cache=cache / "pools", quiet=True, after_step=kill_at(1))

    begin(found[0])
    moved = dataclasses.replace(found[0], ground_truth=found[0].ground_truth + 1)
    for others in ((found[1],), found[:2], (moved,)):
        with pytest.raises(InputError, match=r"found others: tracked '\w{64}', here '\w{64}'$"):
            begin(*others)
    begin(found[0])
    identity = json.loads((out / "run.json").read_text())
    del identity["tracked"]  # as a version wrote it that did not look at them
    (out / "run.json").write_text(json.dumps(identity))
    begin(found[1])


def test_metrics_reach_tensorboard(reference):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    (path,) = (reference / "tensorboard").iterdir()
    content, found, place = path.read_bytes(), {}, 0
    while place < len(content):  # records: length, checksum, event, checksum
        (length,) = struct.unpack("<Q", content[place : place + 8])
        event = event_pb2.Event.FromString(content[place + 12 : place + 12 + length])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        place += length + 16
    for line in numbers(reference)[1]:
        assert found["losses/conv4", line["step"]] == pytest.approx(line["losses"]["conv4"], rel=1e-6)
    assert ("train_loss", 4) in found


def test_a_finished_run_is_left_as_it_is(reference, params, data, cache):
    before, steps = numbers(reference), []
    train(make_recipe(), params, data, reference, cache=cache / "pools", quiet=True, after_step=steps.append)
    assert steps == []
    assert same(before, numbers(reference))
    assert sorted(int(path.name) for path in (reference / "checkpoints").iterdir()) == [8, 12]


def test_another_recipe_is_refused_and_the_difference_named(reference, params, data, cache):
    with pytest.raises(InputError, match=r"learning_rate 0\.01, here 0\.02; seed 0, here 3") as caught:
        train(make_recipe(learning_rate=0.02, seed=3), params, data, reference, cache=cache / "pools", quiet=True)
    assert "epochs" not in str(caught.value)
    with pytest.raises(InputError, match="data '"):
        train(make_recipe(), params, Data(data.held_out, data.training), reference, cache=cache, quiet=True)


def test_a_run_by_a_version_with_fewer_settings_goes_on_by_their_defaults(reference, params, data, cache, tmp_path):
    shutil.copytree(reference, tmp_path / "run")
    identity = json.loads((reference / "run.json").read_text())
    older = {name: value for name, value in identity.items() if name not in ("se_dropout", "factors", "se_statistics")}
    (tmp_path / "run" / "run.json").write_text(json.dumps(older))
    # The factors of this run are not the default ones, so that a version without them cannot have made it.
    with pytest.raises(InputError, match=r"found others: factors \[0.001, 0.001, 0.001\], here \[1.0, 1.0, 1.0\]$"):
        train(make_recipe(), params, data, tmp_path / "run", cache=cache / "pools", quiet=True)
    (tmp_path / "run" / "run.json").write_text(json.dumps({**older, "factors": identity["factors"]}))
    with pytest.raises(InputError, match=r"found others: se_statistics 'exemplar', here 'each'$"):
        train(make_recipe(se_statistics="each"), params, data, tmp_path / "run", cache=cache / "pools", quiet=True)
    train(make_recipe(), params, data, tmp_path / "run", cache=cache / "pools", quiet=True)
    assert same(numbers(tmp_path / "run"), numbers(reference))


def test_a_folder_of_other_things_is_refused(params, data, cache, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="expected a run, an empty folder or a place for one"):
        train(make_recipe(), params, data, tmp_path, cache=cache, quiet=True)


def test_weights_without_the_backbone_are_refused(params, data, cache, tmp_path):
    with pytest.raises(InputError, match=r"expected the backbone 'siamfc', found AlexNet \(torchvision\)"):
        train(make_recipe(model="siamfc"), params, data, tmp_path, cache=cache, quiet=True)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_layer(params, data, cache, tmp_path, monkeypatch):
    plain = correlation_pools.Pool.batch
    taken = []

    def batch(self, rows):
        found = plain(self, rows)
        if len(self) == 12:  # of the training pool, the sixth batch
            taken.append(rows)
            if len(taken) == 6:
                found.maps["conv4"][..., 5, :] = np.nan
        return found

    monkeypatch.setattr(correlation_pools.Pool, "batch", batch)
    out = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"the loss of conv4 .* by step 8; the last good checkpoint is of step 4"):
        train(make_recipe(), params, data, out, cache=cache / "pools", quiet=True)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["4"]


def test_a_full_disk_is_reported_and_the_last_checkpoint_stays(params, data, cache, tmp_path, monkeypatch):
    from mfst_jax.train import run_folder

    plain, saved = run_folder.Run.save, []

    def save(self, step, state):
        saved.append(step)
        if step == 8:
            self._checkpointer.save_async = full
        plain(self, step, state)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder.Run, "save", save)
    with pytest.raises(InputError, match="No space left on device; the last complete one is of step 4"):
        train(make_recipe(), params, data, tmp_path / "run", cache=cache / "pools", quiet=True)


@pytest.mark.slow
def test_features_in_the_step_train_too_and_resume_with_augmentation(params, data, cache, tmp_path):
    recipe, steps = make_recipe(cached_pairs=0, flip=True, shift=2.0, batch_size=2, pairs_per_epoch=2, epochs=2), []
    run = partial(train, recipe, params, data, cache=cache / "pools", quiet=True)
    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "run", after_step=kill_at(2))
    run(tmp_path / "run", after_step=steps.append)
    assert steps == [2]
    assert same(numbers(tmp_path / "whole"), numbers(tmp_path / "run"))
    assert np.isfinite(whole[-1]["train_loss"])


def test_cached_training_has_the_losses_of_uncached_training(params, data, cache, tmp_path, monkeypatch):
    """The pool of the first epoch's very pairs, in their order."""
    recipe = make_recipe(cached_pairs=0, epochs=1, pairs_per_epoch=8, factors=(1e-3, 1e-3, 1e-3))
    from mfst_jax.train.data import pairs

    direct = train(recipe, params, data, tmp_path / "direct", cache=cache / "pools", quiet=True)

    def sample(videos, count, *, seed, step, max_frame_gap):
        if count != 8:
            return plain(videos, count, seed=seed, step=step, max_frame_gap=max_frame_gap)
        drawn = [plain(videos, 4, seed=seed, step=each, max_frame_gap=max_frame_gap) for each in (0, 1)]
        return np.concatenate(drawn)

    plain = pairs.sample
    monkeypatch.setattr(loop.pairs, "sample", sample)
    monkeypatch.setattr(loop.pairs, "shuffled", lambda size, count, *, seed, step: step * count + np.arange(count))
    kept = train(
        dataclasses.replace(recipe, cached_pairs=8), params, data, tmp_path / "kept", cache=cache / "pools", quiet=True
    )
    for layer, loss in direct[-1]["train_losses"].items():
        assert kept[-1]["train_losses"][layer] == pytest.approx(loss, abs=1e-6)


def test_the_result_loads_and_tracks_as_it_was_trained(reference, params):
    best = mfst_jax.load(reference / "best.safetensors")
    assert best.contents.describe() == "AlexNet (torchvision) + SE"
    provenance = checkpoints.provenance(reference / "best.safetensors")
    assert provenance["recipe"]["epochs"] == 3
    assert provenance["metrics"]["loss"] == min(line["loss"] for line in numbers(reference)[1][1:])
    each = with_se(params, make_recipe(se_statistics="each"), init(make_recipe(), params).trainable)
    assert each.contents.config is not None
    assert each.contents.config.se_statistics == "each"


def test_se_blocks_leave_the_recommended_configuration_if_it_has_their_model(params):
    recipe = make_recipe()
    trained = init(recipe, params).trainable
    for recommended, expected in ((ADAPTIVE_ALEXNET, ADAPTIVE_ALEXNET), (SIAMFC, Config(models=("alexnet",)))):
        recommending = Params(params.variables, dataclasses.replace(params.contents, config=recommended))
        found = with_se(recommending, recipe, trained).contents
        assert implied_config(found) == expected
        assert found.alexnet_se


@pytest.mark.slow
def test_the_command_runs_on_a_folder_and_is_killed_and_goes_on(sequences, params, reference, tmp_path):
    checkpoints.save(params, tmp_path / "weights.safetensors")
    command = ["demo", "--data", str(sequences), "--weights", str(tmp_path / "weights.safetensors")]
    command += ["--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--set=batch_size=4"]
    command += ["--set=factors=1,1,1", "--set=pairs_per_epoch=16", "--set=cached_pairs=12", "--set=validation_pairs=4"]
    command += ["--set=epochs=40", "--set=clip=false"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-m", "mfst_jax.train", *command], env=environment, cwd=tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert len(killed) < 41
    assert main(command) == 0
    lines = numbers(tmp_path / "run")[1]
    assert [line["epoch"] for line in lines] == list(range(41))
    for before, after in zip(killed, lines, strict=False):
        assert all(before[key] == after[key] for key in after)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "recipe 'nothing': expected one of demo"),
        (["se_alexnet"], "--data: expected a folder of sequences"),
        (["demo", "--data", "/nowhere"], "/nowhere: expected a folder of sequences"),
        (["demo", "--set", "epochs=0"], "epochs: expected 1 or more"),
        (["demo", "--weights", "/nowhere"], "/nowhere: expected an Orbax directory"),
    ],
)
def test_unusable_input_is_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
