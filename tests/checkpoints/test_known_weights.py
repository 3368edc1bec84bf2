"""Weights by name: what is a name and what a path, what is here, and what to do about the rest."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_weights import A, S, few, message

import mfst_jax
from mfst_jax import checkpoints
from mfst_jax.cache import CACHE_VARIABLE
from mfst_jax.checkpoints import known_weights
from mfst_jax.checkpoints.known_weights import KNOWN, PUBLISHED, locate
from mfst_jax.errors import InputError
from mfst_jax.random_weights import random_params


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and an empty folder to be in."""
    folder, here = tmp_path / "cache", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    monkeypatch.chdir(here)
    return folder


def test_the_registry_is_whole():
    for name, known in KNOWN.items():
        assert (known.packaged is None) != (known.sources == ()), name
        assert known.packaged is None or known.packaged.is_file()
        assert set(known.sources) <= PUBLISHED.keys()
        assert Path(name).suffix == ""
        assert Path(name).name == name


def test_what_its_publisher_names_a_digest_of_is_pinned_and_of_what_else_there_is_is_known():
    unpinned = {name for name, published in PUBLISHED.items() if published.sha256 is None}
    assert unpinned == {"siamfc", "siamfc-grey"}  # whose authors have published none: the first one seen is recorded
    for published in PUBLISHED.values():
        assert published.sha256 is None or re.fullmatch("[0-9a-f]{64}", published.sha256)
    # torchvision's names of files end in the beginning of their SHA-256.
    name = Path(PUBLISHED["alexnet"].name).stem
    assert PUBLISHED["alexnet"].sha256.startswith(name.rpartition("-")[2])


def test_what_ships_is_what_the_registry_promises():
    assert mfst_jax.load("builtin").contents == mfst_jax.load().contents == KNOWN["builtin"].contents


def test_a_known_set_that_is_not_here_says_how_to_get_it(cache: Path):
    for weights in ("paper", Path("paper")):
        with pytest.raises(InputError) as error:
            mfst_jax.load(weights)
        path = cache / "weights" / "paper.safetensors"
        assert message(error) == (
            f"weights 'paper': expected them at {path}, found nothing there; download them: mfst weights get paper"
        )
    assert not cache.exists()


@pytest.mark.parametrize("name", ["papre", "Paper", "PAPER"])
def test_a_name_that_nobody_knows(name: str):
    with pytest.raises(InputError, match=r"expected a path or one of builtin, paper, found neither") as error:
        mfst_jax.load(name)
    assert message(error).endswith("; did you mean 'paper'?")


def test_a_name_like_none_of_them_suggests_nothing():
    with pytest.raises(InputError, match=r"found neither$"):
        mfst_jax.load("quite-another-one")


@given(st.text(max_size=300))
@few
def test_any_text_is_a_path_or_an_input_error(text: str):
    try:
        found = locate(text)
    except InputError:
        return
    assert text == "builtin" or found == Path(text)


@pytest.mark.parametrize("path", ["papre.safetensors", "./paper", "folder/paper", "/nowhere/paper"])
def test_what_looks_like_a_path_is_none_of_the_names(path: str):
    with pytest.raises(InputError, match=r"expected an Orbax directory or a safetensors file, found nothing there$"):
        mfst_jax.load(path)


def test_what_is_in_the_cache_is_loaded_by_its_name(cache: Path):
    checkpoints.save(random_params(S), cache / "weights" / "paper.safetensors", provenance={"from": "here"})
    assert mfst_jax.load("paper").contents == S
    assert checkpoints.provenance("paper") == {"from": "here"}


def test_a_path_goes_before_a_name_and_a_line_says_so(cache: Path, caplog: pytest.LogCaptureFixture):
    checkpoints.save(random_params(S), cache / "weights" / "paper.safetensors")
    checkpoints.save(random_params(A, seed=1), "paper")
    with caplog.at_level(logging.WARNING):
        assert mfst_jax.load("paper").contents == A
        assert mfst_jax.load("./paper").contents == A
        assert mfst_jax.load(cache / "weights" / "paper.safetensors").contents == S
    assert [record.message for record in caplog.records if record.name == "mfst_jax.checkpoints.files"] == [
        "weights 'paper': taken from the path of that name, not from the known weights that are called so"
    ]


def test_a_path_of_that_name_that_is_no_checkpoint_says_where_the_known_weights_lie(cache: Path):
    Path("paper").mkdir()
    with pytest.raises(
        InputError, match=r"^paper: expected an Orbax directory or a safetensors file, found an empty folder"
    ) as error:
        mfst_jax.load("paper")
    place = cache / "weights" / "paper.safetensors"
    assert message(error).endswith(f"; a path goes before a name: the weights called 'paper' belong at {place}")


def test_built_in_weights_that_are_damaged_are_not_to_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x.safetensors").write_bytes(b"")
    monkeypatch.setitem(KNOWN, "builtin", known_weights.WeightSet("a test", A, packaged=tmp_path / "x.safetensors"))
    with pytest.raises(
        InputError, match="expected an Orbax directory or a safetensors file, found an empty file"
    ) as error:
        mfst_jax.load("builtin")
    assert "mfst weights get" not in message(error)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(known_weights, "cache_folder", no_home)
    with pytest.raises(InputError, match=r"^cache: expected a home folder, or the variable MFST_JAX_CACHE"):
        locate("paper")
    assert locate(None).is_file()
    assert np.isfinite(mfst_jax.load().variables["params"]["alexnet"]["conv1"]["bias"]).all()
