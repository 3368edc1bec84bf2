"""The Python examples of README.md and docs/, run from top to bottom, page by page."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from code_blocks import PAGES, ROOT, python_blocks
from media import end_sources_after, noisy, save
from one_layer import SMALL, short_clip
from tracked import write_tracked

import mfst_jax
from mfst_jax.media.sources import demo_source

RUN = {
    *("README.md", "jax.md", "page.md", "targets.md", "toolkits.md"),
    *("quick_start.md", "conventions.md", "own_video.md", "several_targets.md", "pipeline.md", "image_gradient.md"),
    *("pytorch_checkpoint.md", "train_on_your_data.md", "evaluate_and_compare.md"),
}
"""Pages with a test below, or in test_tutorials.py."""


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # JAX and Orbax fill trees with other things


def run(page: Path, names: dict) -> None:
    """All blocks of a page, each going on with the names of those before it."""
    for block in python_blocks(page):
        execute(block, names)


def execute(block: str, names: dict) -> None:
    exec(compile(block, "<example>", "exec"), names)


def test_every_page_with_examples_is_run_here():
    assert {page.name for page in PAGES if python_blocks(page)} == RUN


def test_the_examples_of_the_readme_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    end_sources_after(3, monkeypatch)
    clip, box = short_clip()
    padded = jnp.zeros((len(clip), 384, 640, 3), jnp.uint8)
    names = {"videos": jnp.stack([clip, clip]), "boxes": jnp.stack([box, box]), "padded_frames": padded}
    first, second = python_blocks(ROOT / "README.md")
    execute(first, names)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert demo_source().ground_truth is not None
    np.testing.assert_array_equal(demo_source().ground_truth[0].round(), (158, 208, 61, 44))
    monkeypatch.setattr(mfst_jax, "ALEXNET", SMALL)  # whatever is tracked with is transformed alike
    execute(second, {**names, "frames": clip, "box": box})


def test_the_examples_for_jax_run_and_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("flatbuffers")
    monkeypatch.setattr(mfst_jax, "ALEXNET", SMALL)  # whatever is tracked with is transformed alike
    frames, box = short_clip()
    names = {
        **{"jax": jax, "jnp": jnp, "dataclasses": dataclasses, "mfst_jax": mfst_jax, "folder": tmp_path},
        **{"params": mfst_jax.load(), "frames": frames, "box": box, "frame": frames[1]},
    }
    run(ROOT / "docs" / "jax.md", names)
    expected = mfst_jax.track(names["params"], frames, box, config=SMALL)
    chunks = np.concatenate([names["first"].box, names["rest"].box])
    np.testing.assert_array_equal(chunks, expected.box)
    for found in (names["result"].box, names["several"].box[0], names["several"].box[1]):
        np.testing.assert_allclose(found, expected.box, rtol=0, atol=2e-3)
    assert names["gradient"].shape == frames[0].shape
    assert float(jnp.max(jnp.abs(names["gradient"]))) > 0
    assert names["both"].centre.shape == (2, 2)


@pytest.mark.usefixtures("one_layer_by_default")
def test_the_example_for_pages_writes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    end_sources_after(3, monkeypatch)
    monkeypatch.chdir(tmp_path)
    run(ROOT / "docs" / "page.md", {})
    assert (tmp_path / "page.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_the_example_for_several_targets_follows_both(monkeypatch: pytest.MonkeyPatch):
    end_sources_after(3, monkeypatch)
    run(ROOT / "docs" / "targets.md", names := {})
    assert names["tracker"].names == ("car", "tree")
    assert names["boxes"].shape == (2, 4)
    assert np.abs(names["boxes"] - np.float32([[158, 208, 61, 44], [300, 60, 80, 60]])).max() < 40
    assert names["scores"].shape == (2,)


@pytest.mark.filterwarnings("ignore")  # of grain and its parts
def test_the_example_for_clips_to_train_on_batches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("grain", reason="grain is not installed: the extra `train`")
    monkeypatch.chdir(tmp_path)
    for number in range(32):
        save(tmp_path / "frames" / f"{number}.png", noisy(number))
    (tmp_path / "tracks").mkdir()
    for name in "ab":
        write_tracked(tmp_path / "tracks" / f"{name}.csv", "frames", 32)
    run(ROOT / "docs" / "toolkits.md", names := {})
    assert len(names["clips"]) == 4
    assert names["clip"]["frame_numbers"].tolist() == [*range(0, 16, 2)]
    (batch,) = names["data"]
    assert batch["frames"].shape == (2, 8, 48, 64, 3)
    np.testing.assert_array_equal(batch["frames"][1, 3], noisy(batch["frame_numbers"][1, 3]))
