"""`mfst doctor`: what it tells, what counts as a problem, and that it works where things are broken."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import jaxlib
import pytest

import mfst_jax
from mfst_jax import cli
from mfst_jax.cache import CACHE_VARIABLE, content
from mfst_jax.checkpoints import known_weights
from mfst_jax.media.writers import CODECS
from mfst_jax.program import doctor, installation


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one; JAX's own settings are as they were afterwards."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("MFST_TEST", "a value")
    monkeypatch.setattr(doctor, "keep_compilations", lambda: None)
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], status: int = 0) -> dict:
    assert cli.main(["doctor", "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_it_tells_what_is_there(cache: Path, capsys: pytest.CaptureFixture[str]):
    (cache / "compilations").mkdir()
    (cache / "compilations" / "x").write_bytes(bytes(1000))
    found = report(capsys)
    assert (found["ok"], found["problems"]) == (True, [])
    assert found["system"]["mfst_jax"] == mfst_jax.__version__
    assert found["packages"]["jax"] == jax.__version__
    assert found["devices"] == {"backend": "cpu", "devices": ["cpu (cpu)"] * len(jax.devices())}
    assert found["arithmetic"] == {"right": True, "known_fault": None}
    assert found["video"]["writes"].keys() == CODECS.keys()
    assert found["weights"]["builtin"]["state"] == "here"
    assert found["weights"]["paper"]["state"] == "not here"
    assert found["caches"]["folder"] == str(cache)
    assert found["caches"]["parts"] == {"compilations": {"files": 1, "bytes": 1000}}
    assert found["environment"]["MFST_TEST"] == "a value"


def test_people_read_the_same(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"system        mfst_jax {mfst_jax.__version__} in ")
    assert [line.split()[0] for line in lines if line[0] != " "] == [*doctor.CHECKS, "problems"]
    assert lines[-1] == "problems      none"
    assert any(line.strip() == "paper: not here (mfst weights get paper)" for line in lines)


def test_without_pyav_all_else_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    plain = metadata.version

    def version(name: str) -> str:
        if name == "av":
            raise metadata.PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setitem(sys.modules, "av", None)
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "PyAV is missing, so no video files and webcams, only images: pip install 'mfst-jax[video]'" in printed
    assert "video lacks av: pip install 'mfst-jax[video]'" in printed


def test_an_encoder_that_ffmpeg_lacks_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(CODECS, ".webm", ("libnonsense", {}))
    assert cli.main(["doctor"]) == 0
    assert "cannot write .webm (libnonsense): this FFmpeg has no such encoder" in capsys.readouterr().out


def test_a_jax_that_computes_wrongly_is_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(doctor, "computes_rightly", lambda: False)
    (problem,) = report(capsys, status=1)["problems"]
    assert problem == f"arithmetic: jaxlib {jaxlib.__version__} computes a small example wrongly: install another one"


def test_a_release_that_is_known_to_be_bad_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(jaxlib, "__version__", "0.11.0")
    (problem,) = report(capsys, status=1)["problems"]
    assert problem.startswith("arithmetic: jaxlib 0.11.0 is known for wrong results on GPUs")


def test_a_package_that_is_missing_is_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    needed = [installation.Requirement("nonsense", (), ">=1", None), installation.Requirement("no", (), "", "video")]
    monkeypatch.setattr(installation, "requirements", lambda package="mfst-jax": needed)
    found = report(capsys, status=1)
    assert found["problems"] == ["packages: expected nonsense>=1, found none"]
    assert found["extras"] == {"video": ["no"]}


def test_a_checkout_that_is_not_installed_is_no_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    plain = installation.version
    monkeypatch.setattr(installation, "version", lambda name: None if name == installation.PACKAGE else plain(name))
    found = report(capsys)
    assert found["packages"].keys() == {"flax", "jax", "jaxlib", "numpy"}
    assert found["extras"] == {}


def test_damaged_weights_are_a_problem(cache: Path, capsys: pytest.CaptureFixture[str]):
    path = cache / "weights" / "paper.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    (problem,) = report(capsys, status=1)["problems"]
    expected = "expected an Orbax directory or a safetensors file, found text that begins 'damaged'"
    assert problem.startswith(f"weights paper: {path}: {expected}")
    assert problem.endswith("download them again: mfst weights get paper")


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def check_weights() -> doctor.Finding:
        raise ZeroDivisionError("a bug\nin two lines")

    monkeypatch.setitem(doctor.CHECKS, "weights", check_weights)
    found = report(capsys, status=1)
    assert found["problems"] == ["weights: could not be checked: ZeroDivisionError: a bug in two lines"]
    assert found["environment"]["MFST_TEST"] == "a value"


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(doctor, "cache_folder", no_home)
    monkeypatch.setattr(known_weights, "cache_folder", no_home)
    found = report(capsys, status=0)
    assert found["caches"]["folder"] is None
    assert found["weights"]["builtin"]["state"] == "here"


def test_it_works_without_a_device(tmp_path: Path):
    environment = {**os.environ, "JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "mfst_jax.cli", "doctor", "--json"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 1
    found = json.loads(process.stdout)
    (problem,) = found["problems"]
    assert problem.startswith("devices: JAX: expected a device of those that JAX_PLATFORMS=cuda asks for, found none")
    assert found["arithmetic"]["right"] is None
    assert found["weights"]["builtin"]["state"] == "here"


def test_a_folder_is_measured(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(bytes(10))
    (tmp_path / "a" / "b" / "y").write_bytes(bytes(5))
    (tmp_path / "a" / "b" / "gone").symlink_to("nowhere")
    files, size = content(tmp_path / "a")
    assert (files, size) == (3, 15 + len("nowhere"))
    assert content(tmp_path / "a" / "x") == (1, 10)
    assert content(tmp_path / "nothing") == (0, 0)


def test_the_version(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mfst_jax {mfst_jax.__version__}\n"
