"""Studies in tools/: what they keep, and what they count as one video."""

import dataclasses

import jax
import numpy as np
import pytest
from paired_measures import paired_rows
from study_options import Both, Direction, by_name, by_sequence, key_of, of_root
from study_score import FOLDS, folds_of

from mfst_jax.errors import InputError
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET, REALTIME


def test_a_difference_on_a_single_sequence_has_no_interval():
    rows = paired_rows({"a": (0.3, 0.5)}, {"a": (0.5, 0.5)})
    assert rows == [("success AUC", "0.300", "0.500", "+0.200"), ("precision at 20 px", "0.500", "0.500", "+0.000")]


def test_targets_of_one_video_are_resampled_together():
    before = {"a_1": (0.25, 0.5), "a_2": (0.25, 0.5), "b": (0.25, 0.5)}
    after = {"b": (0.75, 0.5), "a_1": (0.25, 0.5), "a_2": (0.25, 0.5)}
    rows = paired_rows(before, after)
    assert rows[0] == ("success AUC", "0.250", "0.417", "+0.167 (+0.000 to +0.500)")
    alone = {name.partition("_")[0]: measures for name, measures in before.items() if name != "a_2"}
    assert paired_rows(alone, {"a": (0.25, 0.5), "b": (0.25, 0.5)})[0][3] == "+0.000 (+0.000 to +0.000)"
    assert paired_rows({"a_1": (0, 0), "a_2": (0, 0)}, {"a_1": (1, 0), "a_2": (0, 0)})[0][3] == "+0.500"  # one video


def test_sequences_of_one_name_in_two_folders_are_two():
    truth = np.tile([0.0, 0.0, 10.0, 10.0], (3, 1))
    right = Both(np.stack([truth] * 2), np.ones(2), np.ones((2, 2)))
    wrong = dataclasses.replace(right, boxes=right.boxes + 100)
    names = ("a", "a-backwards")
    found = {
        root: [(Direction("a", name, [], truth), both) for name in names]
        for root, both in (("one", right), ("two", wrong))
    }
    together = by_sequence([each for root in found for each in of_root(root, found[root])], 0)
    assert together == {f"{root}/a": by_sequence(found[root], 0)["a"] for root in found}
    assert together["one/a"] != together["two/a"]


def test_folders_of_one_name_are_refused_as_their_tracks_would_be_kept_in_one_place(tmp_path):
    folders = [tmp_path / "one" / "test", tmp_path / "two" / "test"]
    assert by_name(folders[:1]) == {"test": folders[0]}
    with pytest.raises(InputError, match="different names, found test, test"):
        by_name(folders)


def test_parts_of_one_video_are_left_out_together_by_the_study_of_the_score():
    names = [f"UAV123_car{video}_{part}" for video in range(10) for part in (1, 2)]
    folds = folds_of(names)
    assert (folds[::2] == folds[1::2]).all()
    assert set(folds) == set(range(FOLDS))


def test_what_was_found_with_other_weights_of_the_same_contents_is_not_taken_again(random_params):
    params = random_params(Contents(siamfc=True, alexnet="torchvision", alexnet_se=True))
    configs = ALEXNET, dataclasses.replace(ALEXNET, second_look=0.1)

    def changed(branch: str) -> str:
        tree = {**params.variables["params"]}
        tree[branch] = jax.tree.map(lambda each: np.asarray(each) + 1, tree[branch])
        return key_of(dataclasses.replace(params, variables={**params.variables, "params": tree}), configs)

    key = key_of(params, configs)
    assert key == key_of(params, configs)
    assert len({key, changed("alexnet"), changed("alexnet_se")}) == 3
    assert changed("siamfc") == key  # which does not track
    assert key_of(params, (REALTIME, configs[1])) != key
