"""`mfst bench`, and the scripts in benchmarks/ at sizes that take no time."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_layer import SMALL

import mfst_jax
from mfst_jax import cli
from mfst_jax.bench import command, random_inputs, roofline
from mfst_jax.bench.steps import step_of
from mfst_jax.errors import InputError
from mfst_jax.media.sources import demo_source
from mfst_jax.padding import pad, padded_size
from mfst_jax.params import resolve_config
from mfst_jax.presets import PRESETS

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import floor
import pipeline
import throughput

ROOT = Path(__file__).parents[2]


def script(name: str, *arguments: str, timeout: float = 500) -> str:
    """What a script in benchmarks/ prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow  # a process for each line
def test_bench_prints_a_line_for_each_combination(capsys: pytest.CaptureFixture[str]):
    arguments = ["bench", "--presets", "alexnet", "--kinds", "prepared", "plain", "--sizes", "64x48"]
    arguments += ["--targets", "1", "2"]
    assert cli.main([*arguments, "--rounds", "2", "--calls", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 rounds of 1 steps" in lines[0]
    assert [line.split()[:4] for line in lines[2:]] == [
        ["alexnet", kind, "64x48", targets] for kind in ("prepared", "plain") for targets in ("1", "2")
    ]
    assert all(float(line.split()[4]) > 0 for line in lines[2:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "64"], "expected WIDTHxHEIGHT such as 640x480, found '64'"),
        (["--sizes"], "--sizes: expected at least one, found none"),
        (["--kinds"], "--kinds: expected at least one, found none"),
        (["--sizes", "0x5"], "WIDTHxHEIGHT"),
        (["--targets", "0"], "--targets"),
        (["--rounds", "1"], "at least 2 rounds"),
        (["--weights", "nowhere"], "nowhere"),
    ],
)
def test_what_bench_refuses(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str):
    assert cli.main(["bench", "--presets", "siamfc", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("preset", PRESETS)
def test_random_weights_are_what_the_preset_needs(preset):
    config = PRESETS[preset]
    params = random_inputs.preset_params(preset)
    resolve_config(params.contents, config)
    assert {model for model in ("siamfc", "alexnet") if params.contents.holds(model)} == {*config.models}
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("batch", [False, True])
def test_a_step_of_several_targets_is_that_of_each(batch: bool):
    params, size = mfst_jax.load(), (120, 160)
    together = step_of(params, SMALL, size, 2, batch)()
    frames = [jnp.asarray(pad(frame)) for frame in random_inputs.noise(size, 2)]
    for box, found in zip(random_inputs.random_boxes(size, 2), together, strict=True):
        state = mfst_jax.init(params, frames[0], box, config=SMALL, frame_size=size)
        _, output = mfst_jax.step(params, state, frames[1])
        np.testing.assert_allclose(found, output.box, rtol=0, atol=0.01 if batch else 0)
        assert np.abs(found - box)[:2].max() > 1  # noise leads it astray, in both ways alike
    np.testing.assert_array_equal(step_of(params, SMALL, size, 1)(), together[0])


def test_parse_size():
    assert command.parse_size("640x480") == (480, 640)
    with pytest.raises(InputError):
        command.parse_size("640")


def test_work_counts_products_convolutions_and_loops():
    a, b = jnp.ones((5, 7)), jnp.ones((7, 3))
    assert roofline.work(lambda a, b: a @ b, a, b) == roofline.Work(2 * 5 * 7 * 3, 4 * (5 * 7 + 7 * 3 + 5 * 3))
    images, kernel = jnp.ones((2, 8, 9, 4)), jnp.ones((3, 2, 2, 6))  # two groups

    def convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "VALID", dimension_numbers=layout, feature_group_count=2
        )

    assert roofline.work(convolve, images, kernel).flops == 2 * (2 * 6 * 8 * 6) * (3 * 2 * 2)

    def repeat(a: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, _: (jax.jit(jnp.matmul)(carry, carry), None), a, length=4)[0]

    assert roofline.work(repeat, jnp.ones((3, 3))).flops == 4 * 2 * 27


def test_the_work_of_a_step_is_that_of_its_backbones():
    params = random_inputs.preset_params("siamfc")
    sides = {"conv1": 123, "conv2": 57, "conv3": 26, "conv4": 24, "conv5": 22}
    kernels = {name: params.variables["params"]["siamfc"][name]["kernel"] for name in sides}
    expected = sum(2 * 3 * side**2 * kernels[name].size for name, side in sides.items())
    assert expected < floor.step_flops(params, PRESETS["siamfc"]) < 1.03 * expected


def test_the_bare_steps_of_the_pipeline_are_over_the_frames_of_the_video():
    video = demo_source()
    held = pipeline.hold(video, 3)
    for found, frame in zip(held, video.frames(), strict=False):
        np.testing.assert_array_equal(found, pad(frame))
    assert len({np.asarray(frame).tobytes() for frame in held}) == 3


def test_no_slot_of_a_batch_is_idle_in_the_benchmark_of_throughput():
    assert len({padded_size(size) for size in throughput.SIZES}) == 1
    with pytest.raises(InputError, match=r"--sequences: expected a multiple of each batch \(1, 8\), found 12"):
        throughput.main(batches=(1, 8), sequences=12)


@pytest.mark.slow
def test_batches_shared_out_to_fake_devices_find_the_same_boxes():
    quick = ["--preset", "siamfc", "--sequences", "4", "--frames", "4", "--rounds", "2", "--scale-count", "1"]
    lines = script("throughput.py", "--batches", "1", "4", "--devices", "2", *quick).splitlines()
    one, four = (line.split() for line in lines[-2:])
    assert (one[:2], four[:2]) == (["1", "1"], ["4", "2"])
    assert float(four[-1]) < 0.02
