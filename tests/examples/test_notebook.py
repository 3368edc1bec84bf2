"""The notebooks in examples/, executed from top to bottom on the first frames of the built-in clip."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfst_jax.media.sources import demo_source, open_source
from mfst_jax.tracks.files import read_table

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))
FRAMES = 3


def pictures(cell) -> list[np.ndarray]:
    """What a cell shows."""
    shown = (output["data"]["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in shown]


@pytest.fixture(autouse=True)
def jupyter():
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} is not installed: the extra `notebook`")


def executed(name: str, cell: str, setting: str, value: object, folder: Path) -> dict:
    """Cells of a notebook by their names, after it ran in a folder with another value of a setting."""
    import nbclient
    import nbformat

    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    cells = {each.id: each for each in notebook.cells}
    line = rf"^{setting} = \w+"
    cells[cell].source, count = re.subn(line, f"{setting} = {value}", cells[cell].source, flags=re.M)
    assert count == 1
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return cells


def red_box(picture: np.ndarray) -> tuple[int, ...]:
    """Bounds of what is red: left, top, right, bottom."""
    rows, columns = np.nonzero((picture == (255, 0, 0)).all(axis=-1))
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Jupyter's own
def test_the_quick_start_shows_the_box_around_the_car(tmp_path: Path):
    cells = executed("quickstart.ipynb", "frames", "FRAMES", FRAMES, tmp_path)
    truth = demo_source().ground_truth
    assert truth is not None
    for name, number in (("first", 0), ("track", FRAMES - 1)):
        (picture,) = pictures(cells[name])
        assert picture.shape == (360, 640, 3)
        x, y, width, height = truth[number]
        np.testing.assert_allclose(red_box(picture), (x, y, x + width, y + height), atol=6)
    assert cells["lost"].outputs[0].text.endswith("frames that count as lost: []\n")
    (response,) = pictures(cells["response"])
    assert response.shape == (272, 272)
    row, column = np.unravel_index(np.argmax(response), response.shape)
    assert abs(row - 136) < 40  # the car moves by less than that between two frames
    assert abs(column - 136) < 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_video_of_one_s_own_is_followed_and_shown(tmp_path: Path):
    cells = executed("your_video.ipynb", "track", "LAST", FRAMES, tmp_path)
    assert cells["video"].outputs[0].text == "demo: 640x360 pixels, 25 frames/s, 150 frames\n"
    (picture,) = pictures(cells["box"])
    assert red_box(picture) == (158, 208, 158 + 61 - 1, 208 + 44 - 1)
    assert cells["track"].outputs[-1].text == "3 frames; lost in 0 of them\n"
    (shown,) = cells["watch"].outputs
    assert "data:video/mp4;base64," in shown["data"]["text/html"]
    (track,) = read_table(tmp_path / "boxes.csv")
    truth = demo_source().ground_truth
    assert truth is not None
    np.testing.assert_allclose(track.boxes, truth[:FRAMES], atol=6)
    assert len([*open_source(tmp_path / "tracked.mp4").frames()]) == FRAMES


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_what_it_shows(name: str):
    for cell in json.loads((EXAMPLES / name).read_text(encoding="utf-8"))["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
