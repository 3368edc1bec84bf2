"""The table of OTB's entries, by itself and against the annotations and lists of the benchmark."""

import pytest

from mfst_jax.sequences import otb
from mfst_jax.sequences.annotations import read_boxes

ENTRIES = {entry.name: entry for entry in otb.entries()}


def test_the_lists_have_their_lengths():
    assert [len(otb.entries(protocol)) for protocol in ("otb100", "otb50", "otb2013")] == [100, 50, 51]
    assert len(ENTRIES) == len({entry.annotation for entry in otb.entries()}) == 100


def test_entries_name_known_attributes_and_frames_in_order():
    for entry in otb.entries():
        assert 1 <= entry.first < entry.last, entry
        assert entry.attributes, entry
        assert {*entry.attributes} <= {*otb.ATTRIBUTES}, entry
        assert "otb100" in entry.lists


def test_the_quirks():
    spans = {entry.name: (entry.first, entry.last) for entry in otb.entries()}
    assert {name: span for name, span in spans.items() if span[0] != 1} == {
        "David": (300, 770),
        "BlurCar1": (247, 988),
        "BlurCar3": (3, 359),
        "BlurCar4": (18, 397),
    }
    ends = {"Diving": 215, "Football1": 74, "Freeman3": 460, "Freeman4": 283, "Tiger1": 354, "Board": 698}
    assert ends.items() <= {name: span[1] for name, span in spans.items()}.items()
    shared = {entry.name: entry.annotation for entry in otb.entries() if "rect.txt" not in entry.annotation}
    assert shared == {
        "Human4-2": "Human4/groundtruth_rect.2.txt",
        "Jogging-1": "Jogging/groundtruth_rect.1.txt",
        "Jogging-2": "Jogging/groundtruth_rect.2.txt",
        "Skating2-1": "Skating2/groundtruth_rect.1.txt",
        "Skating2-2": "Skating2/groundtruth_rect.2.txt",
    }


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("carDark", "CarDark"), ("Jogging.2", "Jogging-2"), ("skating2_1", "Skating2-1"), ("Human4", "Human4-2")],
)
def test_spellings(spelling, name):
    assert otb.key(spelling) == otb.key(name)


def test_keys_are_unique():
    assert len({otb.key(name) for name in ENTRIES}) == 100


@pytest.mark.parametrize(("protocol", "file"), [("otb100", "tb_100"), ("otb50", "tb_50"), ("otb2013", "cvpr13")])
def test_lists_and_attributes_are_those_of_the_benchmark(shared, protocol, file):
    lines = (shared / "data/otb_annotations" / f"_{file}.list").read_text().splitlines()
    names = [line.split("\t")[0] for line in lines]
    assert sorted(names) == sorted(entry.name for entry in otb.entries(protocol))
    for name, line in zip(names, lines, strict=True):
        assert {*line.split("\t")[1].replace(",", " ").split()} == {*ENTRIES[name].attributes}, name


def test_every_entry_has_a_true_box_a_frame(shared):
    for entry in otb.entries():
        boxes, absent, _ = read_boxes(shared / "data/otb_annotations" / f"{entry.name}.txt", origin=1)
        assert len(boxes) == entry.last - entry.first + 1, entry
        assert absent.sum() == (entry.name in ("Board", "Twinnings")), entry
