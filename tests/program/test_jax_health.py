"""Whether JAX works here: the reproducer of its worst bug, the releases to keep away from, and no device at all."""

import importlib
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import jax
import jaxlib
import numpy as np
import pytest

import mfst_jax
from mfst_jax.jax_release import ALLOW_VARIABLE, BAD_RELEASES, refuse_bad_release
from mfst_jax.program import arguments, jax_health
from mfst_jax.program.installation import satisfies
from mfst_jax.program.jax_health import backend_problem, computes_rightly, mapped_norms

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_a_mapped_matrix_vector_product_survives_jit():
    """JAX 0.10.2 on CPUs returns wrong rows from the 32,769th on (jax issue 39103)."""
    np.testing.assert_allclose(mapped_norms(), np.arange(32_800.0) ** 2, rtol=1e-6)
    assert computes_rightly()


@pytest.mark.parametrize("row", [0, 32_768, 32_799])
def test_one_wrong_row_is_noticed(monkeypatch: pytest.MonkeyPatch, row: int):
    norms = mapped_norms().copy()
    norms[row] += 1 + norms[row] / 1000
    monkeypatch.setattr(jax_health, "mapped_norms", lambda: norms)
    assert not computes_rightly()


def requirement() -> str:
    """JAX's specifiers."""
    dependencies = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    (found,) = [line.removeprefix("jax") for line in dependencies if line.startswith("jax>")]
    return found


@pytest.mark.parametrize("version", BAD_RELEASES)
def test_a_bad_release_is_refused_at_import(monkeypatch: pytest.MonkeyPatch, version: str):
    monkeypatch.delenv(ALLOW_VARIABLE, raising=False)
    monkeypatch.setattr(jaxlib, "__version__", version)
    with pytest.raises(ImportError) as error:
        importlib.reload(mfst_jax)
    assert str(error.value) == (
        f"mfst_jax: expected a JAX that computes rightly, found jaxlib {version}: {BAD_RELEASES[version]}; "
        f"install another one: pip install 'jax!={version}'; {ALLOW_VARIABLE}=1 imports it all the same"
    )
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    with pytest.warns(RuntimeWarning, match=f"found jaxlib {version}"):
        importlib.reload(mfst_jax)


def test_a_bad_release_is_refused_before_what_it_breaks_is_imported():
    version = next(iter(BAD_RELEASES))
    broken = "sys.modules.update(jax=None, flax=None)"
    code = f"import sys, jaxlib; jaxlib.__version__ = {version!r}; {broken}; import mfst_jax"
    environment = {name: value for name, value in os.environ.items() if name != ALLOW_VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: mfst_jax: expected a JAX that computes rightly, found jaxlib {version}: "
    )


def test_the_check_at_import_takes_less_than_50_ms_and_lets_this_release_pass():
    start = time.perf_counter()
    refuse_bad_release()
    assert time.perf_counter() - start < 0.05


@pytest.mark.parametrize("version", [*BAD_RELEASES, "0.9.2"])
def test_pins_exclude_the_bad_releases(version: str):
    assert not satisfies(version, requirement())


def test_pins_exclude_no_release_without_a_reason():
    excluded = {clause.removeprefix("!=") for clause in requirement().split(",") if clause.startswith("!=")}
    assert excluded == BAD_RELEASES.keys()


@pytest.mark.parametrize("version", ["0.10.1", "0.12.0", "0.12.0.1"])
def test_pins_allow_the_good_releases(version: str):
    assert satisfies(version, requirement())


def test_the_installed_release_is_allowed():
    assert satisfies(jax.__version__, requirement())
    assert backend_problem() is None


@pytest.mark.parametrize("platforms", ["cuda", pytest.param("nonsense", marks=pytest.mark.slow)])
def test_without_a_device_commands_end_with_one_line(platforms: str):
    program = "import sys; from mfst_jax.cli import main; sys.exit(main(['info']))"
    environment = {**os.environ, "JAX_PLATFORMS": platforms, "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert process.returncode == 2
    line = process.stderr.splitlines()[-1]
    assert line.startswith(
        f"mfst: JAX: expected a device of those that JAX_PLATFORMS={platforms} asks for, found none ("
    )


def test_what_else_goes_wrong_is_no_lack_of_a_device():
    def broken() -> int:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        arguments.exit_status(broken, program="mfst")
