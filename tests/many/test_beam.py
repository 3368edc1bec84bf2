"""`mfst_jax.beam.Track` on Beam's local runner: the tables of `mfst track-all`, results as elements, a killed worker.

The runner is named, as Beam's `DirectRunner` first tries another one, which it downloads.
"""

import importlib
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from one_layer import CHEAP
from short_clips import FRAMES, NAMES, content, track_all, write_clips

from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.tracks.files import read_table

pytestmark = pytest.mark.filterwarnings("ignore")  # Beam's own

PIPELINE = """
import sys
import apache_beam as beam
from mfst_jax.beam import Track, find_jobs

clips, out, results, *settings = sys.argv[1:]
flags = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]

def note(result):
    with open(results, "a") as file:
        file.write(f"{result.name} {result.tracks[0].boxes.shape[0]}\\n")

if __name__ == "__main__":
    with beam.Pipeline(options=beam.options.pipeline_options.PipelineOptions(flags)) as pipeline:
        pipeline | beam.Create(find_jobs([clips])) | Track(out, settings=settings) | beam.Map(note)
"""
"""A pipeline in several processes; the element of each result is noted by its name and number of frames."""


@pytest.fixture(scope="module")
def beam():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("apache_beam")


def run(beam, elements, out: Path, **options) -> list:
    """Results of the transform over these elements, within this process."""
    from mfst_jax.beam import Track

    found = []
    keep = _Keep(found)
    with beam.Pipeline("FnApiRunner") as pipeline:
        pipeline | beam.Create(elements) | Track(out, settings=[*CHEAP], **options) | beam.Map(keep)
    return sorted(_Keep.found.pop(keep.key), key=lambda result: result.name)


class _Keep:
    """Keeps what it is called with, also after it went through pickle."""

    found: dict[int, list] = {}  # noqa: RUF012

    def __init__(self, kept: list):
        self.key = id(kept)
        self.found[self.key] = kept

    def __call__(self, result: object) -> None:
        _Keep.found[self.key].append(result)


def test_without_beam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    for name in [*sys.modules]:
        if name.startswith(("apache_beam", "mfst_jax.beam")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(MissingExtraError) as error:
        importlib.import_module("mfst_jax.beam")
    expected = "mfst_jax.beam needs the package 'apache-beam', which is not installed: pip install 'mfst-jax[beam]'"
    assert str(error.value) == expected


def test_tables_are_those_of_track_all_and_results_what_is_in_them(beam, clips: Path, whole: dict[str, bytes]):
    from mfst_jax.beam import find_jobs

    out = clips.parent / "by beam"
    for _ in range(2):  # the second run finds all of it there
        results = run(beam, find_jobs([str(clips)]), out)
        assert [result.name for result in results] == [*NAMES]
        for result in results:
            assert (result.problem, result.source) == (None, str(clips / result.name))
            (there,) = read_table(Path(result.table))
            np.testing.assert_array_equal(result.tracks[0].boxes, there.boxes)
        assert content(out) == whole
    assert track_all(clips, "--out", out) == 0


def test_a_source_that_fails_is_a_result_with_a_problem(beam, tmp_path: Path):
    from mfst_jax.beam import Job, Target, find_jobs

    clips = write_clips(tmp_path / "clips", names=NAMES[:2])
    (clips / "ant" / "img" / "0003.bmp").write_bytes(b"BM")
    gone = Job("gone", str(tmp_path / "gone.mp4"), (Target("target", (1, 2, 3, 4)),))
    ant, bee, missing = run(beam, [*find_jobs([str(clips)]), gone], tmp_path / "out")
    assert "0003.bmp" in ant.problem
    assert len(ant.tracks[0].boxes) == 2  # what was tracked until then
    assert (bee.problem, len(bee.tracks[0].boxes)) == (None, FRAMES)
    assert "found no such file" in missing.problem
    assert missing.tracks == ()
    assert (tmp_path / "out" / "failed" / "gone.txt").read_text() == missing.problem + "\n"


@pytest.mark.parametrize(
    ("elements", "options", "expected"),
    [
        (None, {"stop_when_lost": 3}, "stop_when_lost 3 instead of null"),
        (None, {"weights": "nothing of ours"}, "nothing of ours"),
        (["clip.mp4"], {}, "requires PCollections of type .*Job"),
    ],
)
def test_what_cannot_be_right_ends_the_pipeline_and_says_why(
    beam, clips: Path, whole: dict[str, bytes], elements, options: dict, expected: str
):
    from mfst_jax.beam import find_jobs

    with pytest.raises(Exception, match=expected):
        run(beam, elements or find_jobs([str(clips)]), clips.parent / "whole", **options)
    assert content(clips.parent / "whole") == whole


def test_jobs_are_found_as_track_all_finds_them(beam, tmp_path: Path):
    from mfst_jax.beam import find_jobs

    with pytest.raises(InputError, match="found no such file"):
        find_jobs([str(tmp_path / "none.mp4")])
    (tmp_path / "a.mp4").touch()
    (tmp_path / "boxes.csv").write_text("source,x,y,w,h\na.mp4,1,2,3,4\n")
    assert [job.name for job in find_jobs(boxes=tmp_path / "boxes.csv")] == ["a"]


@pytest.mark.slow
def test_a_pipeline_in_two_processes_of_which_one_is_killed_goes_on_to_the_same_bytes(beam, tmp_path: Path):
    """Beam's local runner starts no other worker, and waits for ever. So the pipeline is ended, and started again."""
    clips = write_clips(tmp_path / "clips", frames=6, names=(*NAMES, *(f"{name}2" for name in NAMES)))
    script, log = tmp_path / "pipeline.py", tmp_path / "results"
    script.write_text(PIPELINE)

    def start(out: Path) -> subprocess.Popen:
        command = [sys.executable, str(script), str(clips), str(out), str(log), *CHEAP]
        return subprocess.Popen(command, start_new_session=True)

    assert start(tmp_path / "whole").wait() == 0
    assert sorted(log.read_text().splitlines()) == sorted(f"{path.name} 6" for path in clips.iterdir())
    log.unlink()
    out, process = tmp_path / "out", start(tmp_path / "out")
    try:
        while not [*out.glob("*.csv.json")]:
            assert process.poll() is None
            time.sleep(0.02)
        worker = next(iter(workers_of(process.pid)))
        os.kill(worker, signal.SIGKILL)
        time.sleep(1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    whole = content(tmp_path / "whole")
    assert whole.keys() - content(out).keys(), "it was through before the kill"
    log.unlink(missing_ok=True)
    assert start(out).wait() == 0
    assert sorted(log.read_text().splitlines()) == sorted(f"{path.name} 6" for path in clips.iterdir())
    assert content(out) == whole


def workers_of(group: int) -> list[int]:
    """Numbers of Beam's Python workers in a group of processes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_worker = words[1:3] == [b"-m", b"apache_beam.runners.worker.sdk_worker_main"]
            if is_worker and os.getpgid(int(folder.name)) == group:
                found.append(int(folder.name))
        except (OSError, ProcessLookupError):
            continue
    return sorted(found)
