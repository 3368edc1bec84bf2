"""The paper's tables: which configuration each row is, what is written, and which orderings are compared."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from clips import write_clips

import mfst_jax
from mfst_jax import cli
from mfst_jax.config import LAYERS
from mfst_jax.evaluation import metrics, runner
from mfst_jax.evaluation.ablation import TABLES, Row, find_orderings, markdown, paper_rows
from mfst_jax.evaluation.scoring import SequenceScore, Summary
from mfst_jax.evaluation.tracking import SequenceTrack
from mfst_jax.params import Contents
from mfst_jax.presets import AUTHORS, PAPER


def row(name: str, table="table1") -> Row:
    return next(row for row in paper_rows(table) if row.name == name)


def test_the_rows_are_the_papers():
    one, two = map(paper_rows, TABLES)
    assert (len(one), len(two)) == (24, 12)
    assert len({row.name for row in one}) == 24
    assert len({row.name for row in two}) == 12
    assert {row.name: row.paper for row in two if len(row.models) == 1}.items() <= {
        r.name: r.paper for r in one
    }.items()
    assert row("both-soft-se", "table2").paper["otb100"] == (0.647, 0.831)
    assert row("siamfc-conv5").paper["otb2013"] == (0.600, 0.791)


@pytest.mark.parametrize(
    ("table", "name", "config"),
    [
        ("table1", "alexnet-conv3", replace(PAPER, models=("alexnet",), alexnet_layers=("conv3",), se=False)),
        ("table1", "siamfc-conv5-se", replace(PAPER, models=("siamfc",), siamfc_layers=("conv5",), se=True)),
        ("table1", "siamfc-soft_mean", replace(PAPER, models=("siamfc",), siamfc_fusion="soft_mean", se=False)),
        ("table2", "both-hard-se", replace(PAPER, model_fusion="hard", se=True)),
        ("table2", "both-soft-se", replace(PAPER, se=True)),
    ],
)
def test_configurations(table, name, config):
    assert row(name, table).config(PAPER) == config
    assert row(name, table).config(replace(PAPER, scale_step=1.05)) == replace(config, scale_step=1.05)


def test_a_row_undoes_what_the_base_has_dropped():
    base = replace(AUTHORS, models=("siamfc",), alexnet_layers=("conv5",), alexnet_fusion="hard", model_fusion="hard")
    assert row("both-soft-se", "table2").config(base) == replace(AUTHORS, se=True)


def summary(name: str, *overlaps: float) -> Summary:
    truth = np.tile([0.0, 0, 10, 10], (4, 1))
    scores = {
        str(number): SequenceScore(metrics.measure(truth * [1, 1, 1, share], truth), 4, None, ())
        for number, share in enumerate(overlaps)
    }
    return Summary(name, "folder", "Sequences (2)", scores, (), ())


def test_orderings_are_between_rows_that_differ_in_one_thing():
    names = (
        "alexnet-conv5",
        "alexnet-soft",
        "alexnet-soft-se",
        "siamfc-hard",
        "both-hard",
        "both-soft",
        "both-hard-se",
    )
    rows = paper_rows("table2")
    summaries = {name: summary(name, 0.3 + 0.1 * place, 0.4) for place, name in enumerate(names)}
    summaries["both-soft"] = summary("both-soft", 0.1, 0.4)
    found = {(each.better.name, each.worse.name): each for each in find_orderings(rows, summaries)}
    assert found.keys() == {
        ("alexnet-soft", "alexnet-conv5"),
        ("alexnet-soft-se", "alexnet-soft"),
        ("both-hard", "alexnet-soft"),
        ("both-hard", "siamfc-hard"),
        ("both-soft", "alexnet-soft"),
        ("both-soft", "siamfc-hard"),
        ("both-soft", "both-hard"),
        ("both-hard-se", "both-hard"),
        ("both-hard-se", "alexnet-soft-se"),
    }
    assert [pair for pair, ordering in found.items() if not ordering.holds] == [
        ("both-soft", "alexnet-soft"),
        ("both-soft", "siamfc-hard"),
        ("both-soft", "both-hard"),
    ]
    first = found["alexnet-soft", "alexnet-conv5"]
    assert first.paper == pytest.approx(0.616 - 0.557)
    assert first.here.difference == pytest.approx(0.05, abs=0.03)
    lines = markdown(rows, summaries, "folder").splitlines()
    assert lines[0] == "Ours on Sequences (2), the paper's on OTB-100."
    assert len({len(line) for line in lines[2:16]}) == 1
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["-", "conv5", "-", "no", "0.333", "1.000", "0.557", "0.735"] in cells
    assert ["hard", "soft", "soft_mean", "no", "-", "-", "0.638", "0.816"] in cells
    assert any(line.endswith("6 of 9 hold.") for line in lines)
    assert ["both-soft", "both-hard", "+0.012", "-0.286", "-0.571 to +0.000", "does not hold"] in cells
    assert "0.564" in markdown(rows, summaries, "otb50")
    single = {name: summary(name, 0.3 + 0.1 * place) for place, name in enumerate(names[:2])}
    line = markdown(rows, single, "folder").splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")[-3:-1]] == ["-", "holds"]


def test_the_command(tmp_path, monkeypatch, capsys):
    """Weights of A alone serve two rows of table II, without S and SE-blocks; table I has these rows too."""
    tracked = []

    def track(params, sequences, config, *, batch, skip, choose, advance):
        """The true boxes, or others beside them where only one layer is in use."""
        for sequence in sequences:
            if sequence.name not in skip:
                tracked.append((config.alexnet_layers, config.alexnet_fusion, sequence.name))
                boxes = np.add(sequence.ground_truth, [5 * (len(config.alexnet_layers) == 1), 0, 0, 0])
                boxes[0] = sequence.ground_truth[0]
                yield SequenceTrack(sequence, list(boxes), [0.1] * len(boxes))

    monkeypatch.setattr(runner, "track_sequences", track)
    monkeypatch.setattr(runner, "prepare", lambda params, config: params)
    root, out = write_clips(tmp_path / "clips"), tmp_path / "out"
    weights = tmp_path / "weights.safetensors"
    mfst_jax.save(mfst_jax.random_params(Contents(siamfc=False, alexnet="torchvision")), weights)
    arguments = ["eval", str(root), "--protocol", "folder", "--weights", str(weights), "--out", str(out), "--ablation"]
    assert cli.main([*arguments, "table2"]) == 1
    printed = capsys.readouterr()
    assert (out / "table2.md").read_text() == printed.out
    assert "1 of 1 hold" in printed.out
    assert "alexnet-soft-se: not tracked: config.se: expected weights with SE-blocks" in printed.err
    assert "siamfc-hard: not tracked: config.models" in printed.err
    with (out / "table2.csv").open() as file:
        rows = {cells["row"]: cells for cells in csv.DictReader(file)}
    assert len(rows) == 12
    assert [name for name, cells in rows.items() if cells["auc"]] == ["alexnet-conv5", "alexnet-soft"]
    assert float(rows["alexnet-conv5"]["auc"]) < float(rows["alexnet-soft"]["auc"]) == pytest.approx(20 / 21)
    assert rows["alexnet-soft"]["paper_otb50_p20"] == "0.699"
    assert sorted(path.name for path in (out / "results").iterdir()) == ["alexnet-conv5", "alexnet-soft"]
    assert [config for *config, name in tracked if name == "Deer"] == [[("conv5",), "soft"], [LAYERS, "soft"]]
    tracked.clear()
    assert cli.main([*arguments, "table1"]) == 1
    assert [config for *config, name in tracked if name == "Deer"] == [
        [("conv3",), "soft"],
        [("conv4",), "soft"],
        [LAYERS, "hard"],
        [LAYERS, "soft_mean"],
    ]
    tracked.clear()
    assert cli.main([*arguments, "table1", "--set", "scale_step=1.05"]) == 2
    assert "config.scale_step 1.05 instead of 1.025" in capsys.readouterr().err
    assert tracked == []
