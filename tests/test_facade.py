"""What `import mfst_jax` gives, and what it leaves alone: heavy packages are for those who need them."""

import subprocess
import sys

import mfst_jax

HEAVY = (
    *("PIL", "av", "matplotlib", "optax", "orbax", "scipy", "tensorflow", "tensorflow_datasets", "torch", "tyro"),
    *("grain", "jax2onnx", "pandas", "train", "weight_port"),
    *("mfst_jax.cli", "mfst_jax.evaluation", "mfst_jax.following", "mfst_jax.video"),
)


def modules_after(statement: str) -> set[str]:
    """What a new process has imported."""
    program = f"{statement}; import sys; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


PUBLIC = {
    *("ALEXNET", "AUTHORS", "PAPER", "REALTIME", "SIAMFC", "Config"),
    *("PreparedParams", "Params", "prepare", "random_params", "load", "save"),
    *("InputError", "Output", "Result", "State", "init", "step", "track"),
    *("MultiTracker", "Tracker", "__version__", "warmup"),
}


def test_every_public_name_is_there():
    assert set(mfst_jax.__all__) == PUBLIC
    assert all(hasattr(mfst_jax, name) for name in PUBLIC)


def test_the_facade_imports_nothing_heavy():
    assert modules_after("import mfst_jax") & {*HEAVY} == set()


def test_the_command_line_imports_no_more_than_it_needs():
    loaded = modules_after("import mfst_jax.cli")
    assert loaded & {"av", "matplotlib", "optax", "orbax", "scipy", "torch", "train", "weight_port"} == set()
    assert "tyro" in loaded  # or this test would not see what is imported
