"""The report: well-formed, self-contained and escaped, its numbers the summary's, and what is missing listed."""

import re

import numpy as np
import pytest
from html_tree import Tree
from layouts import boxes_of, otb, write_rows
from pages import FAR, HOSTILE, values_of

from mfst_jax.errors import InputError
from mfst_jax.evaluation import Results, load, report, score, write_result

pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")


# The page


def test_the_page_is_well_formed_and_needs_nothing_else(plain):
    tree = Tree(plain[1])
    identifiers = [each.attributes["id"] for each in tree.elements if "id" in each.attributes]
    assert len(set(identifiers)) == len(identifiers)
    for element in tree.elements:
        for name in ("href", "src", "aria-labelledby"):
            if name in element.attributes:
                value = element.attributes[name].removeprefix("#" if name == "href" else "")
                assert value.startswith("data:") or value in identifiers, (element.tag, value)
    assert re.findall(r"(?:https?:)?//\w|@import|url\((?!#)", re.sub(r"base64,[^\"]*", "", plain[1])) == []
    (policy,) = tree.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:")


def test_everything_has_a_text_or_a_scope(plain):
    tree = Tree(plain[1])
    for drawing in tree.all("svg"):
        assert drawing.attributes.get("aria-hidden") == "true" or drawing.attributes["aria-label"], drawing
    assert {head.attributes.get("scope") for head in tree.all("th")} == {"col", "row"}
    assert all(table.children[0].tag == "caption" for table in tree.all("table"))
    assert tree.all("html", lang="en")


def test_names_are_text(plain):
    case, page, _ = plain
    tree = Tree(page)
    assert len(tree.all("script")) == 1
    assert tree.all("img") == tree.all("i") == []
    assert [head.text for head in tree.all("h3")[:3]] == [sequence.name for sequence in case.dataset.sequences]
    assert "<b>bold</b>" in [fact.text for fact in tree.all("dd")]
    assert any(FAR in text.text for text in tree.all("text"))


def test_the_same_input_gives_the_same_bytes(case):
    assert case.write("first.html")[0] == case.write("second.html")[0]


# Numbers


def test_the_tables_hold_the_summaries_numbers(plain):
    case, page, ours = plain
    tree = Tree(page)
    rows = {row[0].text: row for row in tree.table("Sequences")}
    assert list(rows) == list(ours.sequences)
    for name, own in ours.sequences.items():
        aucs = {other: summary.sequences[name].measures.success_auc for other, (_, summary) in case.others.items()}
        best = max(aucs, key=aucs.get)
        auc = own.measures.success_auc
        expected = [own.frames, own.measures.precision_20px, auc, aucs[best], auc - aucs[best]]
        assert values_of(rows[name]) == expected
        assert best in [cell.text for cell in rows[name]]
        assert f"{auc:.3f}" in [cell.text for cell in rows[name]]
    trackers = {row[0].text: values_of(row) for row in tree.table("Trackers")}
    assert trackers["ours"][:3] == [3, ours.overall.success_auc, ours.overall.precision_20px]
    assert trackers["near"][1] == case.others["near"][1].overall.success_auc
    assert trackers["ours"][-1] == pytest.approx(20)
    differences = {row[0].text: values_of(row) for row in tree.table("Comparison")}
    far = case.others[FAR][1].overall.success_auc
    assert differences[FAR][1] == pytest.approx(ours.overall.success_auc - far)


def test_the_head_shows_scores_and_their_intervals(plain):
    tree, ours = Tree(plain[1]), plain[2]
    tiles = [[part.text for part in tile.children] for tile in tree.all("dl")[0].children]
    low, high = ours.interval("success_auc")
    assert tiles[0] == ["Success AUC", f"{ours.overall.success_auc:.3f}", f"95 %: {low:.3f} to {high:.3f}"]
    assert tiles[-1] == ["Speed", "20.0", "frames a second"]
    assert tree.all("h1")[0].text == "oursSequences (3)"
    assert [pair.text for pair in tree.all("dl")[1].children] == [
        "scale_step1.025",
        'layers["conv4", "conv5"]',
        "note<b>bold</b>",
    ]
    assert "ab" * 32 in plain[1]


def test_of_a_single_common_sequence_there_is_a_difference_and_no_interval(case):
    for name in HOSTILE[1:]:
        (case.folder / "near" / f"{name}.txt").unlink()
    page, _ = case.write()
    tree = Tree(page)
    near, far = ({row[0].text: row for row in tree.table("Comparison")}[name] for name in ("near", FAR))
    assert [cell.text for cell in near[1:3]] == ["1", f"{values_of(near)[1]:+.3f}"]
    assert " to " in far[2].text
    assert len(tree.all("path", **{"class": "interval"})) == 1


def test_got10k_is_known_by_other_scores(case):
    tiles = Tree(case.write(protocol="got10k")[0]).all("dl")[0].children
    assert [tile.children[0].text for tile in tiles[:2]] == ["Average overlap", "Success rate at 0.5"]


# What is missing


def test_what_is_missing_or_went_wrong_is_listed(case):
    (case.folder / "ours" / f"{HOSTILE[0]}.txt").write_text("1,2,<3>\n")
    (case.folder / "near" / f"{HOSTILE[1]}.txt").unlink()
    write_rows(case.folder / "data/empty/groundtruth_rect.txt", np.zeros((2, 4)))
    page, ours = case.write()
    tree = Tree(page)
    assert ours.missing == ("empty", HOSTILE[0])
    assert f"empty, {HOSTILE[0]}" in [each.text for each in tree.all("p")]
    lines = [each.text for each in tree.all("li")]
    assert any("line 1: expected 4 numbers, found '1,2,<3>'" in line for line in lines)
    assert any("near" in line and "expected a result, found none" in line for line in lines)
    assert any("data/empty" in line for line in lines)
    assert len(set(lines)) == len(lines)
    assert "The scores are those of 2 of 4 sequences" in page
    assert "ours has no score here" in tree.strip(HOSTILE[0]).text
    assert "ours has no score here" not in tree.strip(HOSTILE[1]).text


def test_a_partial_copy_is_named(tmp_path):
    otb(tmp_path / "data", "Deer", boxes_of(71))
    write_result(tmp_path / "ours", "Deer", boxes_of(71))
    dataset = load(tmp_path / "data")
    results = Results(tmp_path / "ours")
    report.write(tmp_path / "report.html", dataset, results, score(results, dataset), {})
    tree = Tree((tmp_path / "report.html").read_text())
    assert tree.all("title")[0].text == "ours on OTB-100 (1 of 100 sequences)"
    assert "99 of the 100 sequences were not there" in " ".join(each.text for each in tree.all("p"))
    assert "fast motion (1)" in [each.text for each in tree.all("text")]
    assert [cell.text for cell in tree.table("Sequences")[0]][:3] == ["Deer", "MB FM IPR BC LR", "71"]
    assert "Comparison" not in [each.text for each in tree.all("h2")]


def test_without_any_score_it_says_why(tmp_path):
    otb(tmp_path / "data", "mine", boxes_of(4))
    (tmp_path / "ours").mkdir()
    dataset = load(tmp_path / "data", "folder")
    results = Results(tmp_path / "ours")
    report.write(tmp_path / "report.html", dataset, results, score(results, dataset), {})
    tree = Tree((tmp_path / "report.html").read_text())
    assert [each.text for each in tree.all("h2")] == ["Frames", "Missing and odd", "How it was run"]
    assert any("mine.txt: expected a result, found none" in line.text for line in tree.all("li"))


def test_another_tracker_of_the_same_name_stays_another(case):
    case.write()
    results, summary = Results(case.folder / "ours"), score(Results(case.folder / "ours"), case.dataset)
    report.write(case.folder / "report.html", case.dataset, results, summary, {"ours": case.others["near"]})
    rows = Tree((case.folder / "report.html").read_text()).table("Trackers")
    assert {row[0].text for row in rows} == {"ours (this one)", "ours"}


def test_a_place_that_cannot_be_written_to(case):
    with pytest.raises(InputError, match=r"report\.html: expected to write it"):
        case.write(f"ours/{HOSTILE[0]}.txt/report.html")
