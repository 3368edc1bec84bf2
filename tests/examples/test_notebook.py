"""The notebook in examples/, executed from top to bottom on the first frames of the built-in clip."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfst_jax.media.sources import demo_source

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
FRAMES = 3


def pictures(cell) -> list[np.ndarray]:
    """What a cell shows."""
    shown = (output["data"]["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in shown]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Jupyter's own
def test_the_notebook_runs_and_shows_the_box_around_the_car(tmp_path: Path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: the extra `notebook`")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: the extra `notebook`")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    cells["frames"].source, count = re.subn(r"^FRAMES = \d+$", f"FRAMES = {FRAMES}", cells["frames"].source, flags=re.M)
    assert count == 1
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    truth = demo_source().ground_truth
    assert truth is not None
    for name, number in (("first", 0), ("track", FRAMES - 1)):
        (picture,) = pictures(cells[name])
        assert picture.shape == (360, 640, 3)
        rows, columns = np.nonzero((picture == (255, 0, 0)).all(axis=-1))
        x, y, width, height = truth[number]
        found = (columns.min(), rows.min(), columns.max(), rows.max())
        np.testing.assert_allclose(found, (x, y, x + width, y + height), atol=6)
    assert cells["lost"].outputs[0].text.endswith("frames that count as lost: []\n")
    (response,) = pictures(cells["response"])
    assert response.shape == (272, 272)
    row, column = np.unravel_index(np.argmax(response), response.shape)
    assert abs(row - 136) < 40  # the car moves by less than that between two frames
    assert abs(column - 136) < 40


def test_the_notebook_is_kept_without_what_it_shows():
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
