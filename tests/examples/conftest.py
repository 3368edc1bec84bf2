"""The page in examples/browser, built of the built-in weights and served on loopback."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfst_jax.cli import main

FOLDER = Path(__file__).parents[2] / "examples" / "browser"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its page built of the built-in weights."""
    pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
    if shutil.which("node") is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("no packages of the browser example: npm ci in examples/browser brings them")
    folder = tmp_path_factory.mktemp("browser") / "browser"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (folder / "node_modules").symlink_to(FOLDER / "node_modules")
    assert main(["export", "--to", "onnx", "--out", str(folder / "mfst.onnx")]) == 0
    subprocess.run(["node", "build.mjs", "mfst.onnx"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with subprocess.Popen(["node", "serve.mjs", "0"], cwd=built, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()
