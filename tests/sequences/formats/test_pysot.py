"""pysot's JSON of a benchmark: images and true boxes of each sequence."""

import json

import numpy as np
import pytest
from data_sets import ABSENT, numbers, pysot, refused, sequences
from layouts import boxes_of, otb, write_rows

from mfst_jax import cli
from mfst_jax.evaluation import datasets, scoring
from mfst_jax.evaluation.results import find_results
from mfst_jax.media import open_source


def test_boxes_images_attributes_and_the_first_pixel_are_those_of_the_benchmark(tmp_path):
    rows = [(3, 4, 10, 20), (4, 4, 10, 20), (5, 4, 10, 20)]
    root = pysot(tmp_path, "OTB100", {"Car4": rows, "Deer": rows[:1]}, frames=3, attr=["IV", "SV"])
    found = sequences(root)
    assert list(found) == ["Car4", "Deer"]
    assert numbers(found["Car4"]) == [1, 2, 3]
    np.testing.assert_array_equal(found["Car4"].ground_truth, np.array(rows) - (1, 1, 0, 0))
    assert found["Car4"].attributes == ("IV", "SV")
    dataset = datasets.load(root)
    assert (dataset.protocol, dataset.total) == ("otb100", 2)
    (root / "OTB100.json").rename(root / "mine.json")
    np.testing.assert_array_equal(sequences(root)["Car4"].ground_truth, rows)
    assert datasets.load(root).protocol == "folder"


def test_polygons_become_their_bounds_and_labels_say_where_the_target_is_absent(tmp_path):
    corners = [(10, 20, 40, 20, 40, 60, 10, 60), (11, 20, 41, 20, 41, 60, 11, 60)]
    root = pysot(tmp_path / "a", "VOT2018", {"ants1": corners}, frames=2)
    np.testing.assert_array_equal(sequences(root)["ants1"].ground_truth, [(10, 20, 30, 40), (11, 20, 30, 40)])
    assert datasets.load(root).protocol == "vot"
    rows = [(3, 4, 10, 20), (0, 0, 0, 0), (5, 4, 10, 20)]
    root = pysot(tmp_path / "b", "LaSOT", {"car-1": rows}, frames=3, absent=[0, 0, 1])
    (sequence,) = sequences(root).values()
    np.testing.assert_array_equal(sequence.ground_truth, [(2, 3, 10, 20), ABSENT, (4, 3, 10, 20)])
    assert sequence.absent.tolist() == [False, True, False]
    assert sequence.labelled_absent.tolist() == [False, True, True]


def test_the_label_of_the_first_frame_says_which_number_means_in_view(tmp_path):
    rows = [(3, 4, 10, 20)] * 4
    for name, absent in (("pysot", [1, 0, 0, 1]), ("others", [0, 1, 1, 0]), ("never", [1, 1, 1, 1])):
        (sequence,) = sequences(pysot(tmp_path / name, "LaSOT", {"car-1": rows}, frames=4, absent=absent)).values()
        assert sequence.labelled_absent.tolist() == [False] * 4 if name == "never" else [False, True, True, False]
        assert len(sequence.labelled_absent) == 4


def test_a_sequence_is_followed_by_its_name(tmp_path):
    root = pysot(tmp_path, "UAV123", {"bike1": boxes_of(3), "car": [(np.nan,) * 4] * 3}, frames=3)
    source = open_source(f"{root}#bike1")
    assert source.count == 3
    assert source.ground_truth is not None
    np.testing.assert_array_equal(source.ground_truth[0], np.float32(boxes_of(3)[0] - (1, 1, 0, 0)))


def test_true_boxes_of_the_sequences_own_come_first(tmp_path):
    otb(tmp_path, "Car4", boxes_of(3))
    root = pysot(tmp_path, "OTB100", {"Car4": [(9, 9, 9, 9)] * 3}, frames=3)
    (sequence,) = datasets.load(root).sequences
    np.testing.assert_array_equal(sequence.ground_truth, boxes_of(3))


def test_one_of_several_files_is_asked_for_by_its_protocol(tmp_path):
    pysot(tmp_path, "OTB100", {"Car4": boxes_of(2)}, frames=2)
    root = pysot(tmp_path, "CVPR13", {"Deer": boxes_of(2)}, frames=2)
    found = refused(root)
    assert found == f"{root}: expected one file of pysot's JSON of a benchmark, found CVPR13.json, OTB100.json"
    assert list(sequences(root, protocol="otb2013")) == ["Deer"]


def edited(**changes):
    return {"img_names": ["Car4/img/0001.jpg", "Car4/img/0002.jpg"], "gt_rect": [[1, 2, 3, 4]] * 2, **changes}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (["gt_rect", "img_names"], "expected pysot's JSON of a benchmark, found list indices must be integers"),
        ({"gt_rect": [], "names": ["img_names"]}, "found no 'img_names' there in 'Car4'"),
        (edited(img_names=["../x.jpg", "b.jpg"]), "found '../x.jpg' in the place of a file's name in the folder in"),
        (edited(gt_rect=[[1, 2, 3]] * 2), "found no finite boxes of 4 or 8 numbers in 'Car4'"),
        (edited(gt_rect=[[1, 2, 3, 1e999]] * 2), "found no finite boxes of 4 or 8 numbers in 'Car4'"),
        (edited(gt_rect=[[1, 2, 3, 4]] * 3), "expected boxes of Car4, one an image at most, found 3 for 2 images"),
        (edited(absent=[0]), "found no 2 labels of 0 or 1 in absent in 'Car4'"),
        (edited(img_names=[]), "found no image in 'Car4'"),
        (edited(img_names=["Car4/img/0001.jpg", "Car4/img/9999.jpg"]), "9999.jpg: expected an image, as OTB100.json"),
        (edited(img_names=["Dog/1.jpg", "Dog/2.jpg"]), "expected images such as Dog/1.jpg (pysot's JSON of a bench"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, entry, words):
    root = pysot(tmp_path, "OTB100", {"Car4": boxes_of(2)}, frames=2)
    (root / "OTB100.json").write_text(json.dumps({"Car4": entry}))
    assert words in refused(root)


def test_results_are_scored_in_the_pixels_of_the_benchmark_s_files(tmp_path):
    rows = np.array([(3, 4, 10, 20), (4, 4, 10, 20), (5, 4, 10, 20)], float)
    root = pysot(tmp_path / "NFS30", "NFS30", {"car": rows}, frames=3)
    write_rows(tmp_path / "results/NFS30/SiamRPN/car.txt", rows)
    dataset = datasets.load(root, images=False)
    aucs = {}
    for first in (0, 1):
        (tracker,), problems = find_results(tmp_path / "results/NFS30", ["car"], first_pixel=first)
        aucs[first] = scoring.score(tracker, dataset).sequences["car"].measures.success_auc
        assert (tracker.name, problems) == ("SiamRPN", [])
    assert aucs[0] > aucs[1]
    assert cli.main(["score", str(tracker.folder), "--annotations", str(root), "--first-pixel", "0"]) == 0
