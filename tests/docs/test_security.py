"""SECURITY.md: its limits are those of the code, and nothing but a recipe is ever run."""

import ast
from pathlib import Path

import pytest
from code_blocks import ROOT, sources

from mfst_jax import cli
from mfst_jax.media import decoding
from weight_port import containers
from weight_port.formats import pickle_machine

TEXT = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())
RUNNING = {
    *("exec", "eval", "compile", "__import__", "exec_module", "load_module", "run_path", "run_module"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "torch.load"),
    *("yaml.load", "yaml.unsafe_load", "os.system", "os.popen", "subprocess.run", "subprocess.Popen"),
}
"""Calls that run what they are given, or might."""


def calls(path: Path) -> set[str]:
    """Those calls of a module that are in RUNNING, by their last name or the last two."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            parts = ast.unparse(node.func).split(".")
            plain = parts[-1] if len(parts) == 1 or parts[-1].endswith("_module") else ""
            found |= {plain, ".".join(parts[-2:])} & RUNNING
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.add("allow_pickle")
    return found


def test_the_limits_are_those_of_the_code():
    assert containers.LIMIT == 2**30
    assert "more than 1 GiB" in TEXT
    assert f"a pickle of more than {pickle_machine._MOST_OPCODES:,} opcodes" in TEXT
    assert f"more than {decoding.LARGEST_FRAME / 1e6:.0f} million pixels" in TEXT


def test_nothing_runs_what_it_reads_but_recipes():
    found = {}
    for name, path in sources().items():
        if names := calls(path):
            found[name] = names
    assert found == {"train/command.py": {"exec_module"}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pickle.load(file)", {"pickle.load"}),
        ("np.load(path, allow_pickle=True)", {"allow_pickle"}),
        ("spec.loader.exec_module(module)", {"exec_module"}),
        ("exec(text)", {"exec"}),
        ("re.compile(text); step.lower().compile(); machine.load(data)", set()),
        ("read_array(file, allow_pickle=False)", set()),
    ],
)
def test_such_calls_are_seen(tmp_path: Path, line: str, expected: set[str]):
    (tmp_path / "module.py").write_text(line)
    assert calls(tmp_path / "module.py") == expected


def test_training_says_that_a_recipe_is_run(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("optax")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "A recipe is a program, and is run" in " ".join(capsys.readouterr().out.split())
    assert "A recipe is a program" in (ROOT / "docs" / "training.md").read_text(encoding="utf-8").replace("**", "")
    assert "Recipes of training are programs" in TEXT
