"""What all tests stand on: strict JAX, two devices, no network, shared compilations, evaluation material, weights."""

import atexit
import builtins
import gc
import math
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_PLATFORMS"] = os.environ.get("JAX_PLATFORMS", "cpu")
# Most of the time goes to the compiler, so that it is told to hurry. What it makes for users differs by rounding alone:
# tests/test_usual_compilation.py. The last of these flags ends a process of JAX 0.11 or newer, which does not know it.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=2",
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else "",
    ]
)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # What one test compiles serves all others, of both workers: they find the folder in their environment. What is
    # compiled at once is not worth a file.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="mfst_jax-compilations-")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

# Tests stay on loopback, and so does every Python that they start, which finds a `sitecustomize` in this folder.
sys.path.insert(0, str(Path(__file__).parent / "offline"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (sys.path[0], os.environ.get("PYTHONPATH"))))
os.environ["MFST_TESTS_NETWORK_ATTEMPTS"] = str(Path(tempfile.mkdtemp(prefix="mfst_jax-network-"), "attempts"))

from collections.abc import Callable, Generator, Iterator
from functools import cache

import hypothesis
import jax
import offline
import pytest
from browser import Page, find_chromium, open_browser
from compilations import hurry
from made_up_network import NO_WEIGHTS, Colours
from one_layer import SMALL, short_clip

import mfst_jax
from mfst_jax import params as params_module
from mfst_jax import stages
from mfst_jax.fast import prepared
from mfst_jax.params import Contents, Params
from mfst_jax.program import allocator
from mfst_jax.sequences.dataset_layouts import DEPTH

offline.install()
atexit.register(shutil.rmtree, Path(os.environ[offline.NOTES]).parent, ignore_errors=True)

# An example's time says nothing: the first one compiles, and machines are shared.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What modules of tests hold stays: nothing is looked through for garbage meanwhile, nor that ever after.

    JAX makes so many objects as it traces that looking through them for garbage took a twentieth of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000)
        gc.enable()


ENOUGH, MORE = 1.2 * 2**30, 0.15 * 2**30
"""Bytes in memory from which on compiled programs are dropped at the end of a module, and how many have to come until
they are dropped again: imported packages and the like stay, alone take nearly as much, and to look through them takes
half a second."""
limit = SimpleNamespace(bytes=ENOUGH)


@pytest.fixture(scope="module", autouse=True)
def programs_go_when_they_are_many() -> Iterator[None]:
    """What modules compiled is dropped when it takes much memory: all together took gigabytes. Others find it on disk.

    Until then it serves the next modules as well: to find a step on disk takes half as long as to compile it.
    """
    yield
    if allocator.resident_bytes() > limit.bytes:
        allocator.give_back()
        if allocator.resident_bytes() > limit.bytes:
            jax.clear_caches()
            gc.collect()
            allocator.give_back()
            stays = allocator.resident_bytes()
            limit.bytes = max(ENOUGH, stays + MORE) if math.isfinite(stays) else ENOUGH


def hurry_unless_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    before, hurry.on = hurry.on, request.node.get_closest_marker("toom_cook") is None
    yield
    hurry.on = before


@pytest.fixture(scope="module", autouse=True)
def convolutions_that_compile_soon(request: pytest.FixtureRequest) -> Iterator[None]:
    """Convolutions are XLA's, as on accelerators, but in modules and tests marked `toom_cook`.

    XLA takes three to six times as long to compile a step by Toom-Cook. That it computes the same is the subject of
    tests/fast; what is built around a step does not depend on it.
    """
    method_for = prepared.method_for
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "method_for", lambda platform: "direct" if hurry.on else method_for(platform))
        yield from hurry_unless_marked(request)


@pytest.fixture(autouse=True)
def convolutions_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """As the marks of the test itself have it."""
    yield from hurry_unless_marked(request)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A folder as deep as images may lie in a data set: who opens them looks at all folders beside and above.

    These would be those of thousands of tests.
    """
    folder = tmp_path.joinpath(*"a" * DEPTH)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """A test that leaves loopback fails, whatever the code under test makes of being refused."""
    yield
    assert offline.take_attempts() == []


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation material: MFST_SHARED, or `shared` beside the project."""
    folder = Path(os.environ.get("MFST_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no evaluation material: MFST_SHARED or {folder.name}/ beside the project would hold it")
    return folder


@pytest.fixture(scope="session")
def params() -> Params:
    """The built-in weights."""
    return mfst_jax.load()


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Params:
    """Weights that are none, with which the tracker has a network made up for tests (`made_up_network.py`)."""
    monkeypatch.setattr(stages, "bind", lambda weights, config: Colours(config))
    return NO_WEIGHTS


@pytest.fixture
def one_layer_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A alone and the built-in weights imply what compiles soonest, for tests to which it is all one how is tracked."""
    for preset in ("ADAPTIVE_ALEXNET", "ADAPTIVE_CONV5"):
        monkeypatch.setattr(params_module, preset, SMALL)


@pytest.fixture(scope="session")
def clip() -> tuple[jax.Array, jax.Array]:
    """A short clip of small frames, and the first box (`one_layer.py`)."""
    return short_clip()


@pytest.fixture(scope="session")
def random_params() -> Callable[[Contents], Params]:
    """Random weights of any contents; the same ones at each call."""
    return cache(mfst_jax.random_params)


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on PyAV is not installed."""
    plain = builtins.__import__

    def missing(name, *rest, **more):
        if name == "av":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An open page of a real Chromium."""
    program = find_chromium()
    if program is None:
        pytest.skip("chromium is not installed")
    with open_browser(program, tmp_path_factory.mktemp("profile")) as page:
        yield page
