"""What the plots show, in files and in pages, and that the same summaries give the same bytes."""

import builtins
import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from layouts import boxes_of, from_one, write_rows
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.evaluation import find_results, load, plots, score, write_result

matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
NAMES = ("Deer", "Man", "Toy")
SHIFTS = {"ours": 6.0, "worse": 14.0, "better": 1.0}


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    """Three trackers on three sequences of OTB, of which `worse` lacks one; ours is the first."""
    folder = tmp_path_factory.mktemp("otb")
    for name in NAMES:
        write_rows(folder / f"truth/{name}.txt", from_one(boxes_of(12)))
        for tracker, shift in SHIFTS.items():
            if (tracker, name) != ("worse", "Toy"):
                write_result(folder / "all" / tracker, name, np.add(boxes_of(12), (shift, 0, 0, 0)))
    dataset = load(folder / "truth", images=False)
    trackers, _ = find_results(folder / "all", NAMES)
    scored = {tracker.name: score(tracker, dataset) for tracker in trackers}
    return {name: scored[name] for name in SHIFTS}


def texts_of(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def legend_of(svg):
    return [text for text in texts_of(svg) if text.startswith("[")]


# Curves


def test_files_in_both_formats(tmp_path, summaries):
    paths = plots.write(tmp_path / "new", summaries)
    assert [path.name for path in paths] == ["success.png", "success.svg", "precision.png", "precision.svg"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    for path in paths[::2]:
        with Image.open(path) as image:
            assert image.size == (1120, 860)
            assert image.mode == "RGB"


def test_the_same_summaries_give_the_same_bytes_whatever_the_users_style(tmp_path, summaries):
    first = plots.write(tmp_path / "first", summaries)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.facecolor": "red", "text.color": "blue"}):
        second = plots.write(tmp_path / "second", summaries)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    content = (tmp_path / "first/success.svg").read_text()
    assert "date" not in content.lower()
    ElementTree.fromstring(content)


@pytest.mark.parametrize(("kind", "number"), [("success", "success_auc"), ("precision", "precision_20px")])
def test_the_legend_goes_by_score_and_ours_stands_out(summaries, kind, number):
    svg = plots.curves_svg(kind, summaries)
    values = {name: getattr(summary.overall, number) for name, summary in summaries.items()}
    expected = sorted(values, key=values.get, reverse=True)
    labels = [f"[{values[name]:.3f}] {name}" + ", 2 sequences" * (name == "worse") for name in expected]
    assert legend_of(svg) == labels
    bold = [
        text
        for look, text in re.findall(r"<text style=\"([^\"]*)[^>]*>(\[[^<]*)<", svg)
        if "bold" in look or "700" in look
    ]
    assert [text.split("] ")[1] for text in bold] == ["ours"]
    assert re.findall(r"stroke: var\(--tracker-0\)[^\"]*stroke-width: ([\d.]+)", svg) == ["2.6", "2.6"]


def test_the_dataset_is_named_on_every_plot(tmp_path, summaries):
    title = "OTB-100 (3 of 100 sequences)"
    for svg in (plots.curves_svg("success", summaries), plots.attributes_svg(summaries)):
        assert title in texts_of(svg)
    plots.write(tmp_path, summaries)
    assert f"<!-- {title} -->" in (tmp_path / "precision.svg").read_text()  # its letters are outlines


def test_the_curves_are_those_of_the_summary(summaries):
    figure = plots._draw_curves("success", summaries)
    lines = {line.get_label().split("] ")[1].split(",")[0]: line for line in figure.axes[0].lines}
    for name, summary in summaries.items():
        np.testing.assert_array_equal(lines[name].get_ydata(), summary.overall.success_curve)
        np.testing.assert_array_equal(lines[name].get_xdata(), np.linspace(0, 1, 21))


def test_without_any_score_there_is_no_plot(tmp_path, summaries):
    empty = {"ours": replace(summaries["ours"], sequences={})}
    assert plots.write(tmp_path, empty) == []
    assert plots.curves_svg("success", empty) is plots.attributes_svg(empty) is None
    assert list(tmp_path.iterdir()) == []
    assert len(legend_of(plots.curves_svg("success", {**empty, "better": summaries["better"]}))) == 1


# Attributes


def test_attributes_with_their_counts(summaries):
    svg = plots.attributes_svg(summaries)
    texts = texts_of(svg)
    for attribute, count in (("fast motion", 2), ("illumination variation", 1)):
        assert f"{attribute} ({count})" in texts
    for mean in summaries["ours"].attributes.values():
        assert f"{mean.success_auc:.3f}" in texts
    assert len(legend_of(svg)) == 3


def test_a_tracker_without_an_attribute_has_no_dot_there(summaries):
    lacking = replace(summaries["worse"], sequences={"Man": summaries["worse"].sequences["Man"]})
    figure = plots._draw_attributes({**summaries, "worse": lacking})
    dots = {each.get_label().split("] ")[1]: len(each.get_offsets()) for each in figure.axes[0].collections[1:]}
    assert dots == {"ours": len(summaries["ours"].attributes), "better": len(summaries["ours"].attributes), "worse": 1}


# In pages


def test_elements_have_the_colours_and_identifiers_of_the_page(summaries):
    drawings = [plots.curves_svg(kind, summaries) for kind in plots.PLOTS] + [plots.attributes_svg(summaries)]
    identifiers = re.findall(r'\bid="([^"]*)"', "".join(drawings))
    assert len(set(identifiers)) == len(identifiers)
    for svg in drawings:
        references = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)
        assert {one or other for one, other in references} <= set(identifiers)
        assert "http" not in svg
        assert "<style" not in svg
        assert re.findall("#[0-9a-f]{6}", svg) == []
        assert svg.startswith('<svg role="img" aria-label="')


# What cannot be drawn, written or imported


def test_any_name_will_do(tmp_path, summaries):
    names = ["$x^$", "_private", "a & <b>", "two\nlines\x01", "目标", "x" * 200, "-->", "\udcff"]
    named = dict.fromkeys(names, summaries["ours"])
    with warnings.catch_warnings(action="error"):
        plots.write(tmp_path, named)
    ElementTree.parse(tmp_path / "success.svg")
    shown = ["$x^$", "_private", "a & <b>", "two lines\ufffd", "目标", "x" * 27 + "…", "-->", "\ufffd"]
    assert [label.split("] ")[1] for label in legend_of(plots.curves_svg("success", named))] == shown


def test_more_trackers_than_colours_differ_by_their_lines():
    looks = [tuple(map(str, plots._line(place).values())) for place in range(19)]
    assert len(set(looks)) == 19


def test_a_folder_that_cannot_be_written_to(tmp_path, summaries):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"success\.svg: expected to write it"):
        plots.write(tmp_path / "file", summaries)


def test_without_matplotlib_the_error_names_the_extra(tmp_path, summaries, monkeypatch):
    plain = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install 'mfst-jax\[plots\]'"):
        plots.write(tmp_path, summaries)
