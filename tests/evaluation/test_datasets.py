"""Benchmarks on disk in every layout: which sequences, frames and boxes they have, and whose rules count."""

import numpy as np
import pytest
from data_sets import davis, mask, motchallenge, nfs, tcolor128, trackingnet, uav123
from layouts import boxes_of, from_one, got10k, lasot, otb, vot, write_images, write_rows

from mfst_jax.errors import InputError
from mfst_jax.evaluation import load
from mfst_jax.evaluation.datasets import TITLES
from mfst_jax.media import open_source
from mfst_jax.sequences.otb import entries

NAN = float("nan")


def numbers(sequence):
    return [int(path.stem) for path in sequence.frames]


def only(dataset):
    (sequence,) = dataset.sequences
    return sequence


# OTB


@pytest.mark.parametrize(
    ("name", "images", "rows", "first"),
    [
        ("David", range(1, 771), 471, 300),
        ("Football1", range(1, 82), 74, 1),
        ("BlurCar3", range(3, 360), 357, 3),
        ("BlurCar3", range(1, 358), 357, 1),  # renumbered, but as many as true boxes
        ("Deer", range(1, 13), 12, 1),  # the beginning of both
    ],
)
def test_otb_takes_the_frames_that_are_annotated(tmp_path, name, images, rows, first):
    otb(tmp_path, name, boxes_of(rows), images)
    sequence = only(load(tmp_path, "otb100"))
    assert numbers(sequence) == list(range(first, first + rows))
    np.testing.assert_allclose(sequence.ground_truth, boxes_of(rows))
    assert sequence.attributes == next(entry.attributes for entry in entries() if entry.name == name)
    assert sequence.problems == ()


def test_otb_finds_both_targets_of_a_folder_and_each_in_its_own(tmp_path):
    one, two = boxes_of(307), boxes_of(307) + 5
    otb(tmp_path, "Jogging", one, file="groundtruth_rect.1.txt")
    write_rows(tmp_path / "Jogging/groundtruth_rect.2.txt", from_one(two), "\t")
    otb(tmp_path, "Skating2-1", boxes_of(473), delimiter=" ")
    otb(tmp_path, "Human4", boxes_of(667), file="groundtruth_rect.2.txt")
    (tmp_path / "Human4/groundtruth_rect.1.txt").write_text("\n")
    dataset = load(tmp_path, "otb100")
    assert [sequence.name for sequence in dataset.sequences] == ["Human4-2", "Jogging-1", "Jogging-2", "Skating2-1"]
    np.testing.assert_allclose(dataset.sequences[1].ground_truth, one)
    np.testing.assert_allclose(dataset.sequences[2].ground_truth, two)
    assert dataset.problems == ()
    assert len(dataset.missing) == 96
    assert dataset.title == "OTB-100 (4 of 100 sequences)"


def test_a_folder_of_one_target_is_not_taken_for_the_other(tmp_path):
    otb(tmp_path, "Jogging", boxes_of(307))
    otb(tmp_path, "Deer", boxes_of(71))
    dataset = load(tmp_path)
    assert dataset.missing == ("Jogging-1", "Jogging-2")
    for target, problem in zip("12", dataset.problems, strict=True):
        words = f"expected a file with the true boxes of Jogging-{target}, groundtruth_rect.txt or groundtruth.txt"
        assert problem == f"{tmp_path}/Jogging: {words}, found groundtruth_rect.txt and img/"


def test_a_sequence_that_is_there_twice_is_named(tmp_path):
    otb(tmp_path, "Jogging", boxes_of(307), file="groundtruth_rect.1.txt")
    otb(tmp_path, "Jogging-1", boxes_of(307) + 9)
    dataset = load(tmp_path, "otb100")
    np.testing.assert_allclose(only(dataset).ground_truth, boxes_of(307) + 9)
    problem, _ = dataset.problems  # and Jogging-2 is not annotated
    used = tmp_path / "Jogging-1/groundtruth_rect.txt"
    assert problem == f"{tmp_path}/Jogging/groundtruth_rect.1.txt: Jogging-1 is in {used} too, which is used"


def test_one_sequence_by_itself_will_do(tmp_path):
    folder = otb(tmp_path, "Deer", boxes_of(71))
    assert only(load(folder)).name == "Deer"
    assert load(folder).protocol == "otb100"


@pytest.mark.parametrize(
    ("names", "protocol", "count"), [(["Deer", "Man", "mine"], "otb100", 2), (["Deer", "mine"], "folder", 2)]
)
def test_whose_rules_count_is_guessed_by_the_names(tmp_path, names, protocol, count):
    for name in names:
        otb(tmp_path, name, boxes_of(5))
    dataset = load(tmp_path)
    assert (dataset.protocol, len(dataset.sequences), dataset.missing) == (protocol, count, ())
    assert bool(dataset.problems) == (count < len(names))


GOT10K = ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("write", "names", "protocol"), [(got10k, GOT10K, "got10k"), (otb, ["Animal1", "BMX2"], "dtb70")]
)
def test_a_stranger_among_sequences_of_a_benchmark_is_named_and_does_not_count(
    tmp_path, write, names, protocol, listed
):
    for name in [*names, "mine"]:
        write(tmp_path, name, boxes_of(3))
    if listed:
        (tmp_path / "list.txt").write_text("\n".join([*names, "mine"]))
    dataset = load(tmp_path)
    assert (dataset.protocol, dataset.total, dataset.missing) == (protocol, 2, ())
    assert [sequence.name for sequence in dataset.sequences] == names
    words = f"expected a sequence of {TITLES[protocol]} as most others, found another, which does not count"
    assert dataset.problems == (f"{tmp_path}/mine: {words}",)
    assert len(load(tmp_path, protocol).sequences) == 3  # whoever names the protocol says what is of it


# The layouts of others


def test_got10k(tmp_path):
    boxes = boxes_of(4)
    got10k(tmp_path / "val", "B", boxes, absent=[0, 0, 1, 0], cover=[8, 8, 0, 3], size=(480, 640))
    got10k(tmp_path / "val", "A", boxes, absent=[0, 1, 0, 0], size=None)
    (tmp_path / "val/list.txt").write_text("B\nA\n\nC\nB\n")
    (tmp_path / "train").mkdir()
    dataset = load(tmp_path, "got10k")
    first, second = dataset.sequences
    assert [path.name for path in first.frames] == [f"{number:08d}.jpg" for number in range(1, 5)]
    np.testing.assert_array_equal(first.absent, [False, False, True, False])
    np.testing.assert_array_equal(first.ground_truth[~first.absent], boxes[~first.absent])
    assert np.isnan(first.ground_truth[2]).all()
    np.testing.assert_array_equal(second.absent, [False, True, False, False])
    assert (first.size, second.size) == ((480, 640), (4, 6))
    assert dataset.missing == ("C",)
    assert dataset.problems == (f"{tmp_path}/val/list.txt, line 5: expected every name once, found B as in line 1",)
    assert dataset.title == "GOT-10k (2 of 3 sequences)"


def test_got10k_may_end_after_the_first_box(tmp_path):
    """As in its test split."""
    folder = got10k(tmp_path, "A", boxes_of(5))
    write_rows(folder / "groundtruth.txt", boxes_of(1))
    dataset = load(tmp_path, "got10k")
    assert (len(only(dataset).frames), only(dataset).annotated, dataset.problems) == (5, 1, ())


def test_vot(tmp_path):
    corners = np.array([(0, 0, 4, 0, 4, 4, 0, 4), (1, 1, 5, 1, 5, 5, 1, 5)])
    write_images(tmp_path / "ball/color", (1, 2), digits=8)
    write_rows(tmp_path / "ball/groundtruth.txt", corners)
    write_images(tmp_path / "cup/frames", (1, 2), digits=8)
    (tmp_path / "cup/sequence").write_text("channels.color=frames/%08d.jpg\nfps=30\n")
    write_rows(tmp_path / "cup/groundtruth.txt", boxes_of(2))
    (tmp_path / "list.txt").write_text("cup\nball\n")
    cup, ball = load(tmp_path, "vot").sequences
    np.testing.assert_array_equal(ball.ground_truth, [(0, 0, 4, 4), (1, 1, 4, 4)])
    np.testing.assert_array_equal(cup.ground_truth, boxes_of(2))
    assert [path.parent.name for path in (*cup.frames, *ball.frames)] == ["frames"] * 2 + ["color"] * 2
    np.testing.assert_array_equal(
        load(tmp_path, "vot", polygons="area").sequences[1].ground_truth[0], (-0.5, -0.5, 5, 5)
    )


def test_a_folder_may_hold_any_layout(tmp_path):
    otb(tmp_path, "s10", boxes_of(3))
    got10k(tmp_path, "s9", boxes_of(3))
    write_images(tmp_path / "no_boxes", (1, 2))
    dataset = load(tmp_path, "folder")
    assert [sequence.name for sequence in dataset.sequences] == ["s9", "s10"]
    for sequence in dataset.sequences:
        np.testing.assert_array_equal(sequence.ground_truth, boxes_of(3))
    assert dataset.missing == ("no_boxes",)
    assert dataset.title == "Sequences (2 of 3 sequences)"


def test_otb_by_the_rules_of_a_folder_has_its_frames_and_both_targets(tmp_path):
    otb(tmp_path, "David", boxes_of(471), range(1, 771))
    otb(tmp_path, "Jogging", boxes_of(307), file="groundtruth_rect.1.txt")
    write_rows(tmp_path / "Jogging/groundtruth_rect.2.txt", from_one(boxes_of(307) + 5))
    dataset = load(tmp_path, "folder")
    assert [sequence.name for sequence in dataset.sequences] == ["David", "Jogging-1", "Jogging-2"]
    assert numbers(dataset.sequences[0]) == list(range(300, 771))
    np.testing.assert_allclose(dataset.sequences[2].ground_truth, boxes_of(307) + 5)
    assert (dataset.missing, dataset.problems, dataset.title) == ((), (), "Sequences (3)")


def test_got10k_is_known_by_its_names(tmp_path):
    for number in (1, 2):
        got10k(tmp_path / "val", f"GOT-10k_Val_{number:06d}", boxes_of(3))
    assert load(tmp_path).protocol == load(tmp_path / "val").protocol == "got10k"
    assert len(load(tmp_path / "val/GOT-10k_Val_000001").sequences) == 1
    (tmp_path / "val/list.txt").write_text("GOT-10k_Val_000002\n")
    assert len(load(tmp_path / "val/GOT-10k_Val_000001").sequences) == 1  # the list is not one of its own


def test_lasot(tmp_path):
    root = tmp_path / "LaSOT/airplane"
    lasot(root, "airplane-10", boxes_of(4), occluded=[2])
    lasot(root, "airplane-9", boxes_of(4))
    dataset = load(root)
    assert [sequence.name for sequence in dataset.sequences] == ["airplane-9", "airplane-10"]
    assert (dataset.protocol, dataset.problems) == ("lasot", ())
    assert [sequence.name for sequence in load(tmp_path / "LaSOT").sequences] == ["airplane-9"]  # of the test split
    words = rf"expected sequences, folders with .*, found LaSOT one folder deeper, in {tmp_path}/LaSOT$"
    with pytest.raises(InputError, match=words):
        load(tmp_path)
    words = rf"expected sequences, folders with .*, found sequences two folders deeper, such as {tmp_path}/a/b/car$"
    (tmp_path / "LaSOT").rename(tmp_path / "_LaSOT")  # which no command looks into
    lasot(tmp_path / "a/b", "car", boxes_of(2))
    with pytest.raises(InputError, match=words):
        load(tmp_path)


def test_a_tree_of_another_layout_is_refused_with_those_that_are_known(tmp_path):
    write_images(tmp_path / "30/airboard_1", (1, 2))
    (tmp_path / "30/airboard_1.csv").write_text("0 1 2 3 4\n")
    with pytest.raises(InputError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: expected sequences, folders with groundtruth_rect.txt and img/ (OTB), "
        "or groundtruth.txt and images (GOT-10k), img/ (LaSOT) or color/ (VOT), "
        "found 30/, where 30/ holds airboard_1/ and airboard_1.csv"
    )
    otb(tmp_path, "good", boxes_of(3))
    (problem,) = load(tmp_path).problems
    words = "expected a file with the true boxes of 30, groundtruth_rect.txt or groundtruth.txt"
    images = tmp_path / "30/airboard_1"
    assert problem == f"{tmp_path}/30: {words}, found airboard_1/ and airboard_1.csv, with images in {images}"


def test_each_layout_has_its_protocol(tmp_path):
    uav123(tmp_path / "uav", {"bike1": boxes_of(3)})
    uav123(tmp_path / "uav", {"bird1": boxes_of(4)}, part="UAV20L")
    trackingnet(tmp_path / "tn", "TEST", "a_0", boxes_of(1), count=3)
    nfs(tmp_path / "nfs", "bee", boxes_of(3))
    nfs(tmp_path / "nfs", "bee", boxes_of(24), rate="240")
    tcolor128(tmp_path / "tc", "Airport_ce", boxes_of(4), first=3)
    otb(tmp_path / "dtb", "Animal1", boxes_of(3))
    otb(tmp_path / "dtb", "SUP5", boxes_of(3))
    vot(tmp_path / "vot", "ball", ["0,0,4,0,4,4,0,4"])
    davis(tmp_path / "davis", "bear", [mask((1, 1, 2, 2))] * 2)
    motchallenge(tmp_path / "mot", "TUD", [(1, 1, 2, 3, 4, 5, 1), (2, 1, 2, 3, 4, 5, 1)], 2)
    titles = {name: load(tmp_path / name).title for name in ("uav", "tn", "nfs", "tc", "dtb", "vot", "davis", "mot")}
    assert titles == {
        "uav": "UAV123 (1)",
        "tn": "TrackingNet (1)",
        "nfs": "NFS at 30 frames/s (1)",
        "tc": "TColor-128 (1)",
        "dtb": "DTB70 (2)",
        "vot": "VOT (1)",
        "davis": "Sequences (1)",
        "mot": "Sequences (1)",
    }
    assert load(tmp_path / "uav", "uav20l").title == "UAV20L (1)"
    assert len(only(load(tmp_path / "nfs", "nfs240")).frames) == 24
    assert numbers(only(load(tmp_path / "tc"))) == [3, 4, 5, 6]


def test_a_damaged_sequence_of_a_data_set_is_named_and_the_others_are_loaded(tmp_path):
    uav123(tmp_path, {"bike1": boxes_of(3), "bike2": boxes_of(5)}, videos={"bike1": 3, "bike2": 4})
    dataset = load(tmp_path)
    assert (only(dataset).name, dataset.missing) == ("bike1", ("bike2",))
    truth = tmp_path / "anno/UAV123/bike2.txt"
    assert dataset.problems == (f"{truth}, line 5: expected 4 lines, one a frame, found 5",)


def test_sequences_whose_names_become_the_same_are_told_apart_by_a_number(tmp_path):
    for number in (1, 2):
        otb(tmp_path, "car", boxes_of(3) + number, file=f"groundtruth_{number}.txt")
    otb(tmp_path, "car-1", boxes_of(5))
    found = load(tmp_path).sequences
    assert [(sequence.name, len(sequence.frames)) for sequence in found] == [("car-1", 3), ("car-2", 3), ("car-1-2", 5)]
    for sequence in found:
        named = open_source(f"{tmp_path}#{sequence.name}")
        np.testing.assert_array_equal(named.ground_truth, sequence.ground_truth)
