"""The search for a fusion: candidates, folds, what it prints, and the whole command."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from mfst_jax import checkpoints, evaluation
from mfst_jax.params import Contents
from mfst_jax.presets import PAPER
from mfst_jax.train.command import main
from mfst_jax.train.fusion_search import random_search
from mfst_jax.train.fusion_search.command import describe_search, table
from mfst_jax.train.fusion_search.random_search import Search, folds, from_config, to_config
from mfst_jax.train.fusion_search.response_volumes import SCALES, WIDE, ResponseVolumes
from mfst_jax.whole_files import write_atomically

NAMES = [f"video{number}_{part}" for number in range(7) for part in (1, 2)]


def test_a_candidate_and_its_configuration_say_the_same():
    config = dataclasses.replace(
        PAPER,
        siamfc_weights=(0.2, 0.5, 0.3),
        siamfc_factors=(1e-3,) * 3,
        alexnet_factors=(1e-3,) * 3,
        model_weights=(0.75, 0.25),
        scale_step=1.04,
    )
    assert to_config(from_config(config), PAPER) == config
    again = from_config(to_config(from_config(PAPER), PAPER))
    before = from_config(PAPER)
    np.testing.assert_allclose(again.layers[:3] / again.layers[2], before.layers[:3] / before.layers[2], rtol=0.01)
    np.testing.assert_array_equal(again.soft, before.soft)


def test_folds_part_the_sequences_and_keep_parts_of_a_video_together():
    parts = np.stack(list(folds(NAMES, 3)))
    assert (parts.sum(axis=0) == 1).all()
    assert (parts[:, ::2] == parts[:, 1::2]).all()
    assert parts.any(axis=1).all()
    other = dict(zip(NAMES[::-1], np.stack(list(folds(NAMES[::-1], 3))).T.tolist(), strict=True))
    assert other == dict(zip(NAMES, parts.T.tolist(), strict=True))


SEEN = ResponseVolumes(
    np.ones((2, 1, 6, len(SCALES), WIDE, WIDE), np.float32), np.ones((2, 1, 4), np.float32), np.ones((2, 1), bool)
)


def searching(by: np.ndarray | None = None, seen: ResponseVolumes = SEEN, *, motion: bool = True) -> Search:
    """A search whose sequences like two different shares of S; what is tried is not replayed."""
    found = Search(seen, PAPER, by=by, motion=motion)
    found.score = score
    return found


@pytest.fixture
def search() -> Search:
    return searching()


def score(candidates: random_search.Candidate) -> np.ndarray:
    share = candidates.models[:, :1] / candidates.models.sum(axis=1, keepdims=True)
    liked = np.array([[0.85, 0.35]])
    found = 1 - np.abs(share - liked) - np.square(candidates.window_influence - 0.3)[:, None]
    return np.stack([found, found], axis=-1)


@pytest.mark.parametrize(("sequence", "share"), [(0, 0.85), (1, 0.35)])
def test_what_the_sequences_like_is_found_by_those_that_choose(sequence, share):
    by = np.arange(2) == sequence
    search = searching(by)
    tried = search.broad(60)
    choice = search.choose(tried, rounds=4, count=40)
    assert choice.candidate.models[0] == pytest.approx(share, abs=0.02)
    assert choice.candidate.window_influence == pytest.approx(0.3, abs=0.1)
    assert choice.scores[sequence, 0] >= tried[1][:, sequence].max()
    hidden = tried[0], np.where(by[:, None], tried[1], 0)
    again = search.choose(hidden, rounds=4, count=40)
    for one, other in zip(jax.tree.leaves(again.candidate), jax.tree.leaves(choice.candidate), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_choice_is_the_same_whatever_the_responses_of_the_sequences_that_do_not_choose():
    by, responses = np.array([True, False]), np.ones_like(SEEN.responses)
    responses[1, :, 3] = 10
    choices = []
    for seen in (SEEN, SEEN._replace(responses=responses)):
        search = searching(by, seen)
        choices.append(search.choose(search.broad(40), rounds=2, count=20).candidate)
    for one, other in zip(*map(jax.tree.leaves, choices), strict=True):
        np.testing.assert_array_equal(one, other)
    assert searching(~by, seen).peaks.tolist() == [1, 1, 1, 10, 1, 1]


def test_the_start_is_the_first_that_is_tried_and_draws_are_by_the_seed(search):
    candidates, scores = search.broad(5)
    np.testing.assert_array_equal(candidates.layers[0], from_config(PAPER).layers)
    np.testing.assert_array_equal(scores, score(candidates))
    np.testing.assert_array_equal(search.broad(5)[0].layers, candidates.layers)
    assert len(np.unique(candidates.window_influence)) == 5


def test_weights_of_a_layer_that_responds_strongly_are_small_where_they_are_hard(search):
    search.peaks = np.array([1, 1, 1, 10, 1, 1.0])
    candidates, _ = search.broad(200)
    shares = search._shares(candidates).layers[1:]
    hard = ~candidates.soft[1:, 1]
    weight = candidates.layers[1:, 3] / candidates.layers[1:, 3:].sum(axis=1)
    assert weight[hard].mean() < 0.5 * weight[~hard].mean()
    assert shares[hard, 3].mean() == pytest.approx(shares[~hard, 3].mean(), abs=0.1)


def test_the_table_by_hand():
    first, second = np.array([0.2, 0.4]), np.array([0.3, 0.5])
    replayed = np.array([[0.1, 0.6], [0.3, 0.8]])
    lines = table([("PAPER", replayed, first), ("chosen", replayed, second)]).splitlines()
    assert lines[2] == "| PAPER | 0.700 | 0.200 | 0.300 |  |  |  |"
    assert lines[3].startswith("| chosen | 0.700 | 0.200 | 0.400 | +0.100 | +0.100 to +0.100 |")


def test_the_table_has_no_interval_of_a_single_sequence():
    replayed = np.array([[0.1, 0.6]])
    lines = table([("PAPER", replayed, np.array([0.2])), ("chosen", replayed, np.array([0.3]))]).splitlines()
    assert lines[3] == "| chosen | 0.600 | 0.100 | 0.300 | +0.100 |  | 1.000 |"


def test_too_few_sequences_are_refused(sequences, params, tmp_path, capsys):
    checkpoints.save(params, tmp_path / "weights.safetensors")
    arguments = ["fusion", "--data", str(sequences), "--weights", str(tmp_path / "weights.safetensors")]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "expected at least 5 sequences, found 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "differs"),
    [("settings", "settings.seed 1 instead of 0"), ("weights", 'weights "'), ("data", 'data.sha256 "')],
)
def test_choices_of_other_settings_weights_or_data_are_not_taken_over(
    sequences, random_params, tmp_path, capsys, change, differs
):
    params, data = random_params(Contents(siamfc=True, alexnet="torchvision")), tmp_path / "data"
    shutil.copytree(sequences, data)
    command = ["fusion", "--data", str(data), "--weights", str(tmp_path / "weights.safetensors"), "--folds", "2"]
    command += ["--out", str(tmp_path / "out")]
    checkpoints.save(params, tmp_path / "weights.safetensors")
    dataset = evaluation.load(data, "folder")
    settings = {"candidates": 400, "rounds": 3, "per_round": 64, "motion": False, "folds": 2, "seed": 0}
    write_atomically(tmp_path / "out" / "run.json", json.dumps(describe_search(params, dataset, settings)))
    write_atomically(tmp_path / "out" / "choices.json", '{"folds": []}')
    assert main(command) == 2
    assert "choices.json: expected what an earlier search wrote" in capsys.readouterr().err  # which is this one's
    if change == "settings":
        command += ["--seed", "1"]
    elif change == "weights":
        variables = jax.tree.map(lambda each: np.asarray(each) * 2, params.variables)
        checkpoints.save(dataclasses.replace(params, variables=variables), tmp_path / "weights.safetensors")
    else:
        rows = data / "videoa" / "groundtruth.txt"
        np.savetxt(rows, np.loadtxt(rows, delimiter=",") + 1, "%.2f", delimiter=",")
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "run.json: expected the same run as before, or another --out, found " + differs in message


def test_motion_stays_where_it_is_not_searched():
    search = searching(motion=False)
    choice = search.choose(search.broad(20), rounds=2, count=10)
    config = to_config(choice.candidate, PAPER)
    for name in ("window_influence", "scale_step", "scale_penalty", "scale_damping"):
        assert getattr(config, name) == getattr(PAPER, name)
    assert config.model_weights != PAPER.model_weights


@pytest.mark.slow
def test_the_command_tries_searches_and_goes_on(sequences, random_params, tmp_path, capsys):
    checkpoints.save(random_params(Contents(siamfc=True, alexnet="torchvision")), tmp_path / "weights.safetensors")
    command = ["fusion", "--data", str(sequences), "--weights", str(tmp_path / "weights.safetensors")]
    command += ["--out", str(tmp_path / "out")]
    assert main([*command, "--set", "model_weights=.7,.3"]) == 0
    tried = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in tried.splitlines()[:4]] == ["", "---", "PAPER", "trial"]
    assert "single steps:" in tried
    small = ["--folds", "2", "--candidates", "4", "--rounds", "1", "--per-round", "2"]
    assert main([*command, *small]) == 0
    choices = json.loads((tmp_path / "out" / "choices.json").read_text())
    assert sorted(name for part in choices["folds"] for name in part) == ["videoa", "videob", "videoc"]
    assert set(choices["configs"]) == {"paper", "fold-0", "fold-1", "chosen"}
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.txt")}
    assert len(stamps) == 2 * 3 * (1 + 1 + 1 + 1)  # boxes and times: PAPER, the trial, the folds, the choice
    first = (tmp_path / "out" / "table.md").read_text()
    assert main([*command, *small]) == 0
    assert (tmp_path / "out" / "table.md").read_text() == first
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.txt")}
