"""Training on several devices and in several processes gives what one gives."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from small_runs import make_recipe, numbers

from mfst_jax import checkpoints
from mfst_jax.errors import InputError
from mfst_jax.train.loop import train


@pytest.mark.slow
def test_eight_devices_train_as_one_does(params, sequences, tmp_path):
    checkpoints.save(params, tmp_path / "weights.safetensors")
    program = f"""
import jax, json, mfst_jax
from mfst_jax.train.data import curation
from mfst_jax.train.data.split import Data, split
from mfst_jax.train.loop import train
from mfst_jax.train.recipe import Recipe
params = mfst_jax.load({str(tmp_path / "weights.safetensors")!r})
data = Data(*split(curation.curate({str(sequences)!r}, {str(tmp_path / "crops")!r})[0]))
for pool in (16, 0):
    recipe = Recipe(model="alexnet", factors=(1e-3, 1e-3, 1e-3), epochs=1, pairs_per_epoch=16 if pool else 8,
                    batch_size=8, cached_pairs=pool, validation_pairs=4)
    for count in (1, 8):
        out = {str(tmp_path)!r} + f"/{{pool}}-{{count}}"
        line = train(recipe, params, data, out, cache={str(tmp_path / "pools")!r}, devices=jax.devices()[:count],
                     quiet=True)[-1]
        print(json.dumps(line["train_losses"]))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for one, eight in ((lines[0], lines[1]), (lines[2], lines[3])):
        assert one == pytest.approx(eight, abs=1e-5)


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_go_on_after_one_was_killed(sequences, params, tmp_path):
    checkpoints.save(params, tmp_path / "weights.safetensors")
    command = [sys.executable, "-m", "mfst_jax.train", "demo", "--data", str(sequences)]
    command += ["--weights", str(tmp_path / "weights.safetensors"), "--cache", str(tmp_path / "cache")]
    command += [
        "--set=batch_size=4",
        "--set=factors=1e-3,1e-3,1e-3",
        "--set=pairs_per_epoch=16",
        "--set=cached_pairs=12",
    ]
    command += ["--set=validation_pairs=4", "--set=clip=false", "--set=epochs=12"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}

    def start(out: Path, count: int) -> list[subprocess.Popen]:
        together = [f"--coordinator=localhost:{free_port()}", f"--processes={count}"] if count > 1 else []
        shares = [[*together, f"--process={number}"] if together else [] for number in range(count)]
        return [
            subprocess.Popen([*command, "--out", str(out), *share], env=environment, cwd=tmp_path) for share in shares
        ]

    def finish(started: list[subprocess.Popen]) -> None:
        assert [process.wait(timeout=300) for process in started] == [0] * len(started)

    finish(start(tmp_path / "one", 1))
    two = start(tmp_path / "two", 2)
    metrics = tmp_path / "two" / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not metrics.is_file() or len(metrics.read_text().splitlines()) < 4:
        assert [process.poll() for process in two] == [None, None]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    two[1].send_signal(signal.SIGKILL)  # the other one cannot go on alone
    time.sleep(0.5)
    two[0].kill()
    for process in two:
        process.wait()
    assert len(metrics.read_text().splitlines()) < 13
    finish(start(tmp_path / "two", 2))
    one, both = (numbers(tmp_path / name) for name in ("one", "two"))
    assert len(one[1]) == len(both[1]) == 13
    for alone, shared in zip(one[1], both[1], strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-5)
        assert shared.get("train_losses") == pytest.approx(alone.get("train_losses"), abs=1e-5)


@pytest.mark.slow
def test_where_the_first_process_refuses_the_others_say_so(sequences, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("something else")
    command = [sys.executable, "-m", "mfst_jax.train", "demo", "--data", str(sequences), "--out", str(run)]
    command += ["--cache", str(tmp_path / "cache"), "--set=clip=false", "--set=batch_size=4"]
    command += [f"--coordinator=localhost:{free_port()}", "--processes=2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen([*command, f"--process={number}"], env=environment, stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    first, second = (process.communicate(timeout=300)[1].splitlines() for process in started)
    assert [process.returncode for process in started] == [2, 2]
    assert f"train: {run}: expected a run, an empty folder or a place for one, found something else" in first
    says = f"train: {run}: opening the run: expected the first process to do it, found that it failed"
    assert f"{says}; its own message says why" in second
    assert not [line for line in second if "Traceback" in line]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def test_a_batch_that_devices_cannot_share_is_refused(params, data, cache, tmp_path):
    with pytest.raises(InputError, match="expected parts of a multiple of 2 devices, found 3"):
        train(make_recipe(batch_size=3), params, data, tmp_path, cache=cache, devices=jax.devices()[:2], quiet=True)
