"""The command `mfst score` from end to end: tables, files, exit statuses."""

import json

import numpy as np
import pytest
from data_sets import davis, mask, uav123
from layouts import boxes_of, from_one, write_images, write_rows

from mfst_jax import cli
from mfst_jax.evaluation import write_result

NAMES = ("Deer", "Man", "Toy")


@pytest.fixture
def folder(tmp_path):
    """True boxes of three sequences in `truth`, and two trackers in `results`, the second the better one."""
    for name in NAMES:
        write_rows(tmp_path / f"truth/{name}.txt", from_one(boxes_of(9)))
        write_result(tmp_path / "results/first", name, np.add(boxes_of(9), (30, 0, 0, 0)))
        write_result(tmp_path / "results/second", name, boxes_of(9), np.full(9, 0.02))
    return tmp_path


def run(folder, results, *arguments):
    return cli.main(["score", str(folder / results), "--annotations", str(folder / "truth"), *map(str, arguments)])


def test_one_tracker(folder, capsys):
    assert run(folder, "results/second", "--out", folder / "out/second.json") == 0
    printed = capsys.readouterr()
    title, line, _, header, *attributes = printed.out.splitlines()
    assert title.startswith("OTB-100 (3 of 100 sequences)  success AUC")
    assert line.split()[:5] == ["second", "0.952", "(0.952", "to", "0.952)"]
    assert line.split()[-1] == "50.0"
    assert header.startswith("attribute")
    assert any(line.startswith("BC   background clutter (1) ") for line in attributes)
    content = json.loads((folder / "out/second.json").read_text())
    assert content["success_auc"] == pytest.approx(20 / 21)
    assert content["tracker"] == "second"
    assert printed.err.splitlines()[-1] == f"wrote {folder}/out/second.json"


def test_several_trackers(folder, capsys):
    assert run(folder, "results", "--out", folder / "all.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["second", "first"]
    assert lines[4].startswith("second ahead of, in success AUC")
    assert lines[5].startswith("first  +0.")
    content = json.loads((folder / "all.json").read_text())
    assert list(content) == ["second", "first"]
    assert content["first"]["success_auc"] < content["second"]["success_auc"]


def test_of_a_single_sequence_no_interval_is_printed(folder, capsys):
    for path in [*folder.glob("truth/[MT]*.txt"), *folder.glob("results/*/[MT]*.txt")]:
        path.unlink()
    assert run(folder, "results") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[5].split()[2:] == ["p", "1.0000"]
    assert not any("[" in line for line in lines)


def test_a_partial_score_exits_with_1(folder, capsys):
    (folder / "results/first/Toy.txt").unlink()
    (folder / "results/first/Man.txt").write_text("1,2,3\n")
    assert run(folder, "results") == 1
    printed = capsys.readouterr()
    assert "first: 2 missing: Man, Toy" in printed.err.splitlines()
    assert f"{folder}/results/first/Man.txt, line 1: expected 4 numbers, found '1,2,3'" in printed.err.splitlines()
    assert run(folder, "results/second") == 0


def test_a_benchmark_that_is_not_all_there_is_partial(folder, capsys):
    assert run(folder, "results/second", "--protocol", "otb2013") == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("OTB-2013 (1 of 51 sequences)")
    assert any("truth: 50 missing: Basketball, Bolt" in line for line in printed.err.splitlines())
    assert run(folder, "results/second", "--protocol", "folder") == 0


@pytest.mark.parametrize(
    ("results", "arguments", "words"),
    [
        ("nowhere", (), "nowhere: expected a folder of results"),
        ("truth", ("--protocol", "got10k", "--annotations", "results"), "expected sequences of GOT-10k, folders with"),
        ("results", ("--out", "/dev/null/x.json"), "x.json: expected to write it"),
    ],
)
def test_unusable_input_exits_with_2(folder, capsys, monkeypatch, results, arguments, words):
    monkeypatch.chdir(folder)
    assert run(folder, results, *arguments) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("mfst: ")
    assert words in line


def test_nothing_scored_is_said(folder, capsys):
    for name in NAMES:
        (folder / f"results/first/{name}.txt").write_text("")
    assert run(folder, "results") == 1
    assert any(line.split() == ["first", "no", "sequence", "scored"] for line in capsys.readouterr().out.splitlines())


def test_a_data_set_that_is_unusable_is_one_line_and_nothing_is_written(tmp_path, capsys):
    uav123(tmp_path / "both", {"bike1": boxes_of(3)})
    davis(tmp_path / "both", "bear", [mask((1, 1, 2, 2))])
    write_images(tmp_path / "half/data_seq/UAV123/bike1", (1,))
    davis(tmp_path / "masks", "bear", [mask((1, 1, 2, 2), size=(5, 5))])
    (tmp_path / "masks/Annotations/480p/bear/00000.png").write_bytes(b"no mask")
    write_result(tmp_path / "results", "bike1", boxes_of(3))
    for name in ("both", "half", "masks"):
        arguments = ["score", tmp_path / "results", "--annotations", tmp_path / name, "--out", tmp_path / "out.json"]
        assert cli.main([*map(str, arguments)]) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert printed.err.startswith(f"mfst: {tmp_path / name}")
    assert not (tmp_path / "out.json").exists()
