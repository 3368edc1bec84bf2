"""What `import mfst_jax` gives, and what it leaves alone: heavy packages are for those who need them."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfst_jax

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

HEAVY = (
    *("PIL", "av", "matplotlib", "optax", "orbax", "scipy", "tensorflow", "tensorflow_datasets", "torch", "tyro"),
    *("grain", "onnx", "onnxruntime", "pandas", "spox", "mfst_jax.train", "weight_port"),
    *("mfst_jax.cli", "mfst_jax.evaluation", "mfst_jax.following", "mfst_jax.media.sources"),
)


def modules_after(statement: str) -> set[str]:
    """What a new process has imported."""
    program = f"{statement}; import sys; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


PUBLIC = {
    *("ADAPTIVE", "ADAPTIVE_ALEXNET", "ADAPTIVE_CONV5", "ALEXNET", "AUTHORS", "PAPER", "REALTIME", "SIAMFC", "Config"),
    *("PreparedParams", "Params", "prepare", "random_params", "load", "save"),
    *("InputError", "Output", "Result", "State", "init", "step", "track"),
    *("MultiTracker", "Tracker", "__version__", "warmup"),
}

PUBLIC_MODULES = {
    *("cache", "checkpoints", "padding"),
    *("evaluation", "media", "page", "sequences", "tracks"),
}


def test_every_public_name_is_there():
    assert set(mfst_jax.__all__) == PUBLIC
    assert set(mfst_jax.MODULES) == PUBLIC_MODULES
    assert all(hasattr(mfst_jax, name) for name in PUBLIC)


def test_dir_shows_what_is_public_and_nothing_else():
    importlib.import_module("mfst_jax.cli")  # which imports most submodules
    assert dir(mfst_jax) == sorted(PUBLIC | PUBLIC_MODULES)


def test_a_public_module_is_there_without_an_import_of_its_own_and_no_other_is():
    program = f"import mfst_jax; print(*[getattr(mfst_jax, name).__name__ for name in {sorted(PUBLIC_MODULES)}])"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.split() == [f"mfst_jax.{name}" for name in sorted(PUBLIC_MODULES)]
    with pytest.raises(AttributeError, match="'mfst_jax' has no attribute 'video'"):
        _ = mfst_jax.video


@pytest.mark.parametrize("name", sorted(PUBLIC_MODULES))
def test_what_a_public_module_lists_is_there(name: str):
    module = getattr(mfst_jax, name)
    assert module.__doc__
    assert module.__all__
    for each in module.__all__:
        assert getattr(module, each) is not None


def test_the_pages_import_nothing_that_is_not_public():
    imported = set()
    for page in (*PAGES, *sorted(path for path in (ROOT / "examples").iterdir() if path.is_file())):
        text = page.read_text(encoding="utf-8").replace('"', "\n")  # a notebook's lines are strings
        imported |= set(re.findall(r"^from (mfst_jax[\w.]*) import", text, re.MULTILINE))
    assert "mfst_jax.media" in imported
    assert imported - {"mfst_jax"} <= {f"mfst_jax.{name}" for name in PUBLIC_MODULES}


def test_the_facade_imports_nothing_heavy():
    assert modules_after("import mfst_jax") & {*HEAVY} == set()


def test_the_command_line_imports_no_more_than_it_needs():
    loaded = modules_after("import mfst_jax.cli")
    assert loaded & {"av", "matplotlib", "optax", "orbax", "scipy", "torch", "mfst_jax.train", "weight_port"} == set()
    assert "tyro" in loaded  # or this test would not see what is imported
