"""The check of an accelerator, with a CPU in its place: what it finds, what it says, and how it ends."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_layer import SMALL

import mfst_jax
from mfst_jax.bench import gpu_check, laws, roofline
from mfst_jax.bench.laws import LAWS, PIXELS, RELATIVE, Case, check_laws, check_presets, check_responses, make_case
from mfst_jax.bench.roofline import Limits, Work
from mfst_jax.config import Config


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(mfst_jax.load(), SMALL, jax.devices("cpu")[0], (64, 80), count=3)


def test_without_an_accelerator_one_line_says_so(capsys: pytest.CaptureFixture[str]):
    if jax.default_backend() != "cpu":
        pytest.skip("there is an accelerator here")
    assert gpu_check.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("gpu_check: expected a GPU or TPU, found that JAX has the CPU alone")


def test_a_platform_that_is_not_here_is_named(capsys: pytest.CaptureFixture[str]):
    assert gpu_check.main(["--platform", "abacus"]) == 2
    assert capsys.readouterr().err.startswith("gpu_check: --platform abacus: expected one that JAX has here, found ")


def test_the_case_has_a_target_where_its_box_says(case: Case):
    x, y, width, height = (int(side) for side in case.box)
    target = case.frames[0, y : y + height, x : x + width]
    for number, frame in enumerate(case.frames):
        there = frame[y + 2 * number :, x + 3 * number :][:height, :width]
        np.testing.assert_array_equal(there, target)
    assert (case.frames.shape, case.frames.dtype) == ((3, 64, 80, 3), np.uint8)
    assert target.std() > 30
    assert (case.frames[0] != case.frames[1]).any()


@pytest.mark.slow  # each law has tests of its own, in test_tracker.py and test_transformations.py
def test_every_law_holds_on_a_cpu_beside_another_one(case: Case):
    assert len(jax.devices("cpu")) == 2
    found = list(check_laws(case, LAWS))
    assert [name for name, _, _ in found] == list(LAWS)
    assert [line for line in found if not line[2]] == []


def test_a_wrong_tracker_breaks_the_laws(case: Case, monkeypatch: pytest.MonkeyPatch):
    calls: list[Any] = []

    def drifting(self: Case, frames: Any, **options: Any) -> mfst_jax.Result:
        calls.append(frames)
        boxes = np.tile(self.box, (len(frames), 1)) + 1000 * len(calls)
        return mfst_jax.Result(jnp.asarray(boxes), jnp.ones(len(frames)), None)

    monkeypatch.setattr(Case, "track", drifting)
    found = {name: holds for name, _, holds in check_laws(case, LAWS)}
    assert found.pop("a small example is computed rightly")
    assert len(found) == 6
    assert not any(found.values())


def test_a_law_that_is_broken_or_does_not_run_is_named(case: Case):
    def fail(case: Case) -> float:
        raise ZeroDivisionError("a bug\nin two lines")

    several = {"near": lambda case: PIXELS, "far": lambda case: 2 * PIXELS, "nan": lambda case: np.nan, "error": fail}
    assert list(check_laws(case, several)) == [
        ("near", "0.0500 px", True),
        ("far", "0.1000 px", False),
        ("nan", "nan px", False),
        ("error", "ZeroDivisionError: a bug in two lines", False),
    ]


def test_responses_are_compared_with_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(laws, "make_case", lambda *given: make_case(*given, (64, 80), count=3))
    params, device = mfst_jax.load(), jax.devices("cpu")[0]
    assert check_responses(params, SMALL, device) <= RELATIVE

    def prepare_wrongly(params: Any, config: Config) -> Any:
        return mfst_jax.prepare(jax.tree.map(lambda leaf: leaf + 0.02, params), config)

    monkeypatch.setattr(laws, "prepare", prepare_wrongly)
    assert check_responses(params, SMALL, device) > 10 * RELATIVE


def test_a_preset_that_does_not_run_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    def fail_for_two(params: Any, config: Config, device: Any) -> float:
        if len(config.models) == 2:
            raise MemoryError("none left")
        return RELATIVE

    monkeypatch.setattr(laws, "check_responses", fail_for_two)
    assert list(check_presets(["realtime", "siamfc"], jax.devices("cpu")[0])) == [
        ("responses of realtime are the CPU's", "MemoryError: none left", False),
        ("responses of siamfc are the CPU's", "1.0e-03 of the largest", True),
    ]


def test_a_program_that_does_not_run_is_named_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def row(preset: str, precision: str, batch: int, *rest: Any) -> tuple[str, ...]:
        if batch == 8:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return (preset, precision, str(batch), *["1"] * (len(gpu_check.HEADER) - 3))

    monkeypatch.setattr(gpu_check, "row", row)
    monkeypatch.setattr(gpu_check, "measure_limits", lambda *given: Limits(2e12, 3e9))
    device = jax.devices("cpu")[0]
    problems = list(gpu_check._time_presets(["siamfc"], ["highest"], [1, 8, 64], (48, 64), 2, device))
    assert problems == ["siamfc at precision highest in a batch of 8 does not run: RESOURCE_EXHAUSTED: Out of memory"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "limits at precision highest: 2.00 TFLOP/s, 3 GB/s"
    assert [line.split()[:3] for line in lines[2:4]] == [["siamfc", "highest", "1"], ["siamfc", "highest", "64"]]


def test_the_exit_status_says_whether_all_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(gpu_check, "LAWS", {"one": lambda case: 0.0})
    monkeypatch.setattr(laws, "check_responses", lambda *given: 1e-6)
    monkeypatch.setattr(gpu_check, "_time_presets", lambda *given: [])
    assert gpu_check.main(["--platform", "cpu", "--presets", "siamfc"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "holds  one: 0.0000 px",
        "holds  responses of siamfc are the CPU's: 1.0e-06 of the largest",
        "problems: none",
    ]
    monkeypatch.setattr(laws, "check_responses", lambda *given: np.nan)
    assert gpu_check.main(["--platform", "cpu", "--presets", "siamfc"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "problems: responses of siamfc are the CPU's"


def test_the_roofline_is_the_slower_of_operations_and_bytes():
    limits = Limits(flops=100.0, moved=10.0)
    assert limits.least(Work(flops=200, moved=10)) == (2.0, "operations")
    assert limits.least(Work(flops=200, moved=30)) == (3.0, "bytes")


def test_of_a_choice_the_larger_program_counts():
    small, large = jnp.ones((2, 3)), jnp.ones((3, 50))

    def choose(which: jax.Array) -> jax.Array:
        return jax.lax.cond(which, lambda: (small @ large).sum(), lambda: (small @ large[:, :5]).sum())

    assert roofline.work(choose, jnp.array(True)).flops == 2 * 2 * 3 * 50


@pytest.mark.slow
def test_the_whole_check_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]):
    quick = ["--batches", "1", "2", "--size", "96x64", "--rounds", "2", "--precision", "highest"]
    assert gpu_check.main(["--platform", "cpu", "--presets", "siamfc", *quick]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("holds  ") for line in lines) == len(LAWS) + 1
    rows = [line.split() for line in lines if line.startswith("siamfc")]
    assert [cells[:3] for cells in rows] == [["siamfc", "highest", "1"], ["siamfc", "highest", "2"]]
    assert all(float(cells[-1].rstrip("%")) > 0 for cells in rows)
