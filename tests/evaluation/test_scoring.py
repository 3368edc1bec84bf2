"""Results against annotations: what counts by each benchmark's rules, by hand and against published figures."""

import json

import numpy as np
import pytest
from layouts import boxes_of, from_one, got10k, lasot, otb, write_rows

from mfst_jax.evaluation import find_results, load, score, write_result
from mfst_jax.evaluation.metrics import SCORES, clip, measure
from mfst_jax.evaluation.scoring import paired

NAN = float("nan")
AWAY = np.array([1000.0, 1000.0, 10.0, 10.0])


def score_all(results, annotations, protocol=None, of=None, **options):
    """Summaries of all trackers that have results, or of some."""
    dataset = load(annotations, protocol, images=False)
    trackers, _ = find_results(results, [sequence.name for sequence in dataset.sequences])
    return {each.name: score(each, dataset, **options) for each in trackers if of is None or each.name in of}


def score_one(tmp_path, truth, boxes, protocol="otb100", **options):
    """The score on one sequence, by its true boxes and a tracker's, both written as they are."""
    write_rows(tmp_path / "truth/Deer.txt", truth)
    write_rows(tmp_path / "mine/Deer.txt", boxes)
    return score_all(tmp_path / "mine", tmp_path / "truth", protocol, **options)["mine"]


# What counts


def test_overall_is_the_mean_over_sequences_whatever_their_lengths(tmp_path):
    for name, count in (("Deer", 71), ("Man", 134)):
        write_rows(tmp_path / f"truth/{name}.txt", from_one(boxes_of(count)))
    write_result(tmp_path / "mine", "Deer", boxes_of(71))
    write_result(tmp_path / "mine", "Man", np.concatenate([boxes_of(1), np.tile(AWAY, (133, 1))]))
    summary = score_all(tmp_path / "mine", tmp_path / "truth")["mine"]
    deer, man = 20 / 21, 20 / 21 / 134
    assert summary.overall.success_auc == pytest.approx((deer + man) / 2)
    assert summary.overall.precision_20px == pytest.approx((1 + 1 / 134) / 2)
    assert {name: means.success_auc for name, means in summary.attributes.items()} == pytest.approx(
        {"IV": man, "MB": deer, "FM": deer, "IPR": deer, "BC": deer, "LR": deer}
    )
    assert summary.title == "OTB-100 (2 of 100 sequences)"


@pytest.mark.parametrize(("protocol", "counted"), [("otb100", 4), ("folder", 3)])
def test_the_first_box_is_given_and_absent_targets_count_in_otb_alone(tmp_path, protocol, counted):
    truth = from_one(boxes_of(4))
    truth[2] = 0
    boxes = truth.copy()
    boxes[0] = AWAY
    boxes[2] = (50, 50, 10, 10)
    summary = score_one(tmp_path, truth, boxes, protocol)
    assert summary.sequences["Deer"].frames == counted
    assert summary.overall.success_auc == pytest.approx(3 / counted * 20 / 21)
    assert summary.overall.precision_20px == 3 / counted
    assert any("Deer.txt, line 3: no target there" in problem for problem in summary.problems)


@pytest.mark.parametrize(
    ("rows", "align", "hits", "counted", "problem"),
    [
        (slice(0, 7), "first", 7, 10, "line 8: expected 10 lines, one a frame, found 7"),
        (slice(3, 10), "last", 7, 7, "line 8: expected 10 lines, one a frame, found 7"),
        (slice(0, 12), "first", 10, 10, "line 11: expected 10 lines, one a frame, found 12"),
        (slice(0, 12), "last", 10, 10, "line 11: expected 10 lines, one a frame, found 12"),
    ],
)
def test_too_few_rows_and_too_many(tmp_path, rows, align, hits, counted, problem):
    boxes = from_one(boxes_of(12)) * [50, 1, 1, 1]  # no box overlaps the next
    summary = score_one(tmp_path, boxes[:10], boxes[rows], "folder", align=align)
    assert summary.sequences["Deer"].frames == counted
    assert summary.overall.success_auc == pytest.approx(hits / counted * 20 / 21)
    assert f"{tmp_path}/mine/Deer.txt, {problem}" in summary.problems


def test_a_box_of_no_numbers_is_a_miss_and_named(tmp_path):
    truth = from_one(boxes_of(5))
    boxes = truth.copy()
    boxes[1:3, 2] = NAN
    summary = score_one(tmp_path, truth, boxes)
    assert summary.overall.success_auc == pytest.approx(3 / 5 * 20 / 21)
    assert summary.problems[-1] == f"{tmp_path}/mine/Deer.txt, lines 2-3: no box there"


def test_frames_after_the_annotation_do_not_count(tmp_path):
    """Where the images are known; the true boxes may end before them."""
    folder = otb(tmp_path / "data", "mine", boxes_of(6))
    write_rows(folder / "groundtruth_rect.txt", from_one(boxes_of(4)))
    write_result(tmp_path / "tracker", "mine", np.concatenate([boxes_of(3), np.tile(AWAY, (3, 1))]))
    dataset = load(tmp_path / "data", "folder")
    (tracker,), _ = find_results(tmp_path / "tracker", ["mine"])
    summary = score(tracker, dataset)
    assert summary.sequences["mine"].frames == 4
    assert summary.overall.precision_20px == 0.75


def test_got10k_pools_the_visible_frames_after_the_first_and_cuts_boxes(tmp_path):
    size = (60, 100)
    truth = {"A": boxes_of(5) * [4, 1, 1, 1], "B": boxes_of(3)}
    cover = {"A": [8, 8, 0, 8, 8], "B": [8, 1, 1]}
    counted = []
    for name, boxes in truth.items():
        got10k(tmp_path / "data", name, boxes, cover=cover[name], size=size)
        tracked = np.add(boxes, (-15, 3, 8, 0))
        tracked[0] = AWAY
        write_rows(tmp_path / f"mine/{name}/{name}_001.txt", tracked)
        visible = [row for row in range(1, len(boxes)) if cover[name][row]]
        counted.append((clip(tracked, size)[visible], clip(boxes, size)[visible]))
    summary = score_all(tmp_path / "mine", tmp_path / "data", "got10k")["mine"]
    assert [score.frames for score in summary.sequences.values()] == [3, 2]
    pooled = measure(*(np.concatenate(rows) for rows in zip(*counted, strict=True)))
    for name in SCORES:
        assert getattr(summary.overall, name) == pytest.approx(getattr(pooled, name))
    low, high = summary.interval("average_overlap")
    assert low <= summary.overall.average_overlap <= high


def test_got10k_reads_results_that_count_from_1_too(tmp_path):
    got10k(tmp_path / "data", "A", boxes_of(5))
    write_result(tmp_path / "mine", "A", boxes_of(5))
    assert score_all(tmp_path / "mine", tmp_path / "data", "got10k")["mine"].overall.average_overlap == 1


def test_got10k_says_where_it_cannot_cut(tmp_path):
    folder = got10k(tmp_path / "data", "A", boxes_of(3), size=None)
    for path in folder.glob("*.jpg"):
        path.unlink()
    write_result(tmp_path / "mine", "A", boxes_of(3))
    (problem,) = score_all(tmp_path / "mine", tmp_path / "data", "got10k")["mine"].problems
    assert problem == "A: expected the size of its frames to cut boxes to, found it nowhere"


@pytest.mark.parametrize("protocol", ["got10k", "folder"])
def test_what_has_no_true_box_but_the_first_is_not_scored(tmp_path, protocol):
    for name in ("A", "B", "C"):
        folder = got10k(tmp_path / "data", name, boxes_of(4))
        if name != "B":
            write_rows(folder / "groundtruth.txt", boxes_of(1))
        write_result(tmp_path / "mine", name, boxes_of(4))
    dataset = load(tmp_path / "data", protocol)
    (tracker,), _ = find_results(tmp_path / "mine", ["A"])
    summary = score(tracker, dataset)
    assert (list(summary.sequences), summary.missing, summary.unscored) == (["B"], (), ("A", "C"))
    assert summary.problems == (f"{tmp_path}/mine: not scored, as nothing but the first box is annotated: A, C",)
    assert summary.to_json()["unscored"] == ["A", "C"]


def test_a_lone_true_box_is_no_score(tmp_path):
    truth = from_one(boxes_of(3))
    truth[1:] = 0
    summary = score_one(tmp_path, truth, truth, "folder")
    assert (summary.overall, summary.missing) == (None, ("Deer",))
    assert any("expected frames that count, found none" in problem for problem in summary.problems)


def test_results_on_lasot_count_from_1_as_its_true_boxes_do(tmp_path):
    lasot(tmp_path / "data", "lion-5", boxes_of(5), occluded=[3])
    write_rows(tmp_path / "mine/lion-5.txt", from_one(boxes_of(5)))
    summary = score_all(tmp_path / "mine", tmp_path / "data")["mine"]
    assert summary.overall.average_overlap == 4 / 5  # as frames without the target are divided by too
    assert summary.sequences["lion-5"].frames == 5


# What is missing


def test_what_cannot_be_scored_is_missing_and_the_others_count(tmp_path):
    for name in ("Deer", "Man", "Toy", "Girl"):
        write_rows(tmp_path / f"truth/{name}.txt", from_one(boxes_of(3)))
    (tmp_path / "truth/Girl.txt").write_text("1,2,3\n")
    write_result(tmp_path / "mine", "Deer", boxes_of(3))
    (tmp_path / "mine/Man.txt").write_text("")
    summary = score_all(tmp_path / "mine", tmp_path / "truth")["mine"]
    assert list(summary.sequences) == ["Deer"]
    assert summary.missing == ("Girl", "Man", "Toy")
    for words in ("truth/Girl.txt, line 1", "mine/Man.txt, line 1", "mine/Toy.txt: expected a result, found none"):
        assert any(f"{tmp_path}/{words}" in problem for problem in summary.problems), words


def test_without_any_score_everything_is_null(tmp_path):
    summary = score_one(tmp_path, np.zeros((2, 4)), boxes_of(2), "folder")
    assert (summary.overall, summary.missing, summary.interval("success_auc")) == (None, ("Deer",), None)
    content = summary.to_json()
    assert content["success_auc"] is content["success_curve"] is content["frames_per_second"] is None
    json.dumps(content, allow_nan=False)


# The file


def test_the_summary_as_json(tmp_path):
    for name in ("Deer", "Man"):
        write_rows(tmp_path / f"truth/{name}.txt", from_one(boxes_of(3)))
    write_result(tmp_path / "mine", "Deer", boxes_of(3), np.array([0.0, 0.1, 0.1]))
    write_result(tmp_path / "mine", "Man", boxes_of(3) + 1)
    summary = score_all(tmp_path / "mine", tmp_path / "truth", config={"scale_count": 3}, versions={"jax": "0"})["mine"]
    content = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    curves = ("success_curve", "precision_curve", "normalised_curve")
    assert list(content) == [
        *("tracker", "protocol", "title", *SCORES, "intervals", "frames_per_second", "frames", *curves),
        *("sequences", "attributes", "missing", "unscored", "problems", "config", "weights", "versions"),
    ]
    assert content["sequences"]["Deer"] == {
        **{name: getattr(summary.sequences["Deer"].measures, name) for name in SCORES},
        "frames": 3,
        "frames_per_second": pytest.approx(10),
    }
    assert content["sequences"]["Man"]["frames_per_second"] is None
    assert content["frames_per_second"] == pytest.approx(10)
    assert content["attributes"]["IV"]["sequences"] == 1
    assert content["intervals"]["success_auc"] == list(summary.interval("success_auc"))
    assert np.mean(content["success_curve"]) == content["success_auc"]
    assert content["precision_curve"][20] == content["precision_20px"]
    assert (content["config"], content["weights"], content["versions"]) == ({"scale_count": 3}, None, {"jax": "0"})
    assert (content["frames"], content["missing"]) == (6, [])


def test_a_comparison_takes_the_sequences_of_both(tmp_path):
    for name in ("Deer", "Man", "Toy"):
        write_rows(tmp_path / f"truth/{name}.txt", from_one(boxes_of(3)))
        if name != "Toy":
            write_result(tmp_path / "all/a", name, boxes_of(3))
        if name != "Deer":
            write_result(tmp_path / "all/b", name, np.add(boxes_of(3), (40, 0, 0, 0)))
    summaries = score_all(tmp_path / "all", tmp_path / "truth")
    a, b = (summaries[name].sequences["Man"].measures.success_auc for name in "ab")
    comparison = paired(summaries["a"], summaries["b"], "success_auc")
    assert comparison.difference == pytest.approx(a - b)
    assert comparison.interval is None  # of a single sequence


def test_a_result_on_one_sequence_is_not_taken_for_that_on_another_whose_name_is_spelt_likewise(tmp_path):
    for name in ("car_1", "car-1", "Bus_1"):
        write_rows(tmp_path / f"truth/{name}.txt", from_one(boxes_of(3)))
    for name in ("car-1", "bus-1"):
        write_result(tmp_path / "mine", name, boxes_of(3))
    summary = score_all(tmp_path / "mine", tmp_path / "truth")["mine"]
    assert ({*summary.sequences}, summary.missing) == ({"Bus_1", "car-1"}, ("car_1",))
    (tmp_path / "mine").rename(tmp_path / "car_1")  # a tracker may be called so
    assert score_all(tmp_path / "car_1", tmp_path / "truth")["car_1"].missing == ("car_1",)


def test_in_got10k_sequences_count_in_a_comparison_as_in_the_means(tmp_path):
    for name, count, ahead in (("A", 101, "a"), ("B", 6, "b"), ("C", 6, "b")):
        boxes = np.tile([10.0, 10, 30, 30], (count, 1))
        got10k(tmp_path / "data", name, boxes)
        for tracker in "ab":
            written = boxes if tracker == ahead else np.add(boxes, (20, 0, 0, 0))
            write_result(tmp_path / "all" / tracker, name, written, layout="got10k")
    a, b = (score_all(tmp_path / "all", tmp_path / "data", "got10k")[name] for name in "ab")
    comparison = paired(a, b, "average_overlap")
    assert comparison.difference == pytest.approx(a.overall.average_overlap - b.overall.average_overlap)
    assert comparison.difference == pytest.approx((100 * 0.8 - 10 * 0.8) / 110)


# Published figures


@pytest.fixture(scope="module")
def published(shared):
    return score_all(shared / "data/otb_results", shared / "data/otb_annotations")


@pytest.mark.parametrize("tracker", ["BACF", "SiamFC_ytb_e48"])
def test_scores_are_those_of_the_got10k_toolkit(shared, published, tracker):
    expected = json.loads((shared / "data/otb_results" / tracker / "_got10k_overall.json").read_text())
    found = published[tracker].to_json()
    for theirs, ours in (
        ("success_curve", "success_curve"),
        ("precision_curve", "precision_curve"),
        ("success_score", "success_auc"),
        ("precision_score", "precision_20px"),
        ("success_rate", "success_rate_50"),
    ):
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=0, atol=1e-12)
    assert found["missing"] == []
    assert len(found["sequences"]) == 100
    assert len(found["attributes"]) == 11


@pytest.mark.parametrize(
    ("part", "figures"),
    [
        (
            "all",
            {
                "SiamFC-3s": (0.579, 0.764),
                "MBST": (0.606, 0.805),
                "MEEM": (0.535, 0.789),
                "MUSTER": (0.572, 0.768),
                "BACF": (0.592, 0.793),
                "SiamFC_ytb_e48": (0.602, 0.800),
            },
        ),
        (
            "OTB",
            {
                "SiamFC-3s": (0.579, 0.774),
                "MBST": (0.613, 0.844),
                "CFNet-conv5": (0.594, 0.796),
                "MEEM": (0.579, 0.883),
                "MUSTER": (0.567, 0.797),
                "SRDCF": (0.543, 0.742),
                "Struck": (0.462, 0.599),
                "DSST": (0.375, 0.545),
            },
        ),
    ],
)
def test_published_trackers_score_as_known(shared, published, part, figures):
    summaries = published if part == "all" else score_all(shared / "data/otb_results", shared / "data/OTB")
    for tracker, (auc, precision) in figures.items():
        overall = summaries[tracker].overall
        assert (round(overall.success_auc, 3), round(overall.precision_20px, 3)) == (auc, precision), tracker


def test_published_results_on_tiger1_begin_with_its_sixth_frame(shared, published):
    some = ("MBST", "SiamFC-3s", "BACF")
    aligned = score_all(shared / "data/otb_results", shared / "data/otb_annotations", of=some, align="last")
    for tracker in ("MBST", "SiamFC-3s"):
        late, early = (each[tracker].sequences["Tiger1"] for each in (aligned, published))
        assert (late.frames, early.frames) == (349, 354)
        assert late.measures.success_auc > early.measures.success_auc + 0.2
    assert aligned["BACF"].overall.success_auc == published["BACF"].overall.success_auc
