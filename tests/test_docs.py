"""The examples of docs/jax.md, run from top to bottom."""

import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scenes import video

import mfst_jax

PAGE = Path(__file__).parents[1] / "docs" / "jax.md"


def test_the_examples_for_jax_run_and_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # JAX and Orbax fill trees with other things
    pytest.importorskip("flatbuffers")
    frames, truth = video(31, frames=3, size=(64, 80), target=(20, 18), start=(20, 16))
    names = {
        **{"jax": jax, "jnp": jnp, "dataclasses": dataclasses, "mfst_jax": mfst_jax, "folder": tmp_path},
        **{"params": mfst_jax.load(), "frames": jnp.asarray(frames), "box": jnp.asarray(truth[0])},
        "frame": jnp.asarray(frames[1]),
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 9
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    expected = mfst_jax.track(names["params"], frames, truth[0])
    chunks = np.concatenate([names["first"].box, names["rest"].box])
    np.testing.assert_array_equal(chunks, expected.box)
    for found in (names["result"].box, names["several"].box[0], names["several"].box[1]):
        np.testing.assert_allclose(found, expected.box, rtol=0, atol=2e-3)
    assert names["gradient"].shape == frames[0].shape
    assert float(jnp.max(jnp.abs(names["gradient"]))) > 0
    assert names["both"].centre.shape == (2, 2)
