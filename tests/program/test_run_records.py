"""The record of a run: one run a folder, also where several processes begin it at once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mfst_jax.errors import InputError
from mfst_jax.program import run_records


def begin(folder: Path, record: dict) -> dict:
    return run_records.begin(folder, record, results=folder.glob("*.csv"), what="tables", advice="another folder")


def test_a_run_goes_on_in_its_folder_and_another_one_does_not(tmp_path: Path):
    record = {"config": {"scales": (1, 2)}, "platform": "cpu"}
    assert begin(tmp_path / "new", record) == {"config": {"scales": [1, 2]}, "platform": "cpu"}
    (tmp_path / "new" / "a.csv").write_text("")
    before = (tmp_path / "new" / "run.json").read_bytes()
    begin(tmp_path / "new", record)
    differences = r'config\.scales \[1\] instead of \[1, 2\]; platform null instead of "cpu"; more 1 instead of null'
    with pytest.raises(InputError, match=f"run.json: expected the same run .* another folder, found {differences}$"):
        begin(tmp_path / "new", {"config": {"scales": [1]}, "more": 1})
    assert (tmp_path / "new" / "run.json").read_bytes() == before


def test_results_without_a_record_are_somebody_elses(tmp_path: Path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(InputError, match=r"expected no tables but those of this run, found a\.csv and no run\.json"):
        begin(tmp_path, {})
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_a_record_that_another_process_has_written_meanwhile_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
):
    @contextmanager
    def waits(path: Path) -> Iterator[None]:
        (path.parent / "run.json").write_text(json.dumps({"platform": "gpu"}))
        (path.parent / "theirs.csv").write_text("")
        yield

    monkeypatch.setattr(run_records, "exclusive", waits)
    if platform == "gpu":
        assert begin(tmp_path, {"platform": platform}) == {"platform": "gpu"}
    else:
        with pytest.raises(InputError, match='platform "cpu" instead of "gpu"'):
            begin(tmp_path, {"platform": platform})
    assert json.loads((tmp_path / "run.json").read_text()) == {"platform": "gpu"}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: expected a folder to write in, found File exists"):
        begin(tmp_path / "file", {})
