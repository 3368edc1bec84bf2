"""Of several networks in a file, or copies of one, those that are asked for are read; else a choice is asked for."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from networks import NETWORKS, ours, read, theirs
from sources import assert_same, write_npz

import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import weight_names
from weight_port import copies, name_tables
from weight_port.__main__ import main

# Two networks


@pytest.mark.parametrize(
    ("siamfc", "alexnet"),
    [
        ("net/siamfc.", "net/alexnet."),
        ("siamfc/", "alexnet/"),
        ("", "alexnet."),
        ("s.", ""),
        ("", ""),
        ("module.", "module."),
    ],
)
def test_both_networks_of_one_file_are_read(tmp_path: Path, siamfc: str, alexnet: str):
    names = theirs("siamfc", 0, siamfc) | theirs("alexnet", 1, alexnet) | {f"{alexnet}classifier.1.bias": np.ones(3)}
    params, notes = read(tmp_path / "x", names | {"epoch": np.ones(1)})
    assert_same(params, ours("siamfc") | ours("alexnet", 1))
    assert sorted(notes) == ["dropped the classifier", "set aside what is not of the network: epoch"]
    with pytest.raises(weight_port.SourceError, match=r"conv6\.weight: expected a name of this layout"):
        read(tmp_path / "x", names | {f"{siamfc}backbone.conv6.weight": np.ones(1)})


def test_copies_of_both_networks_are_chosen_by_one_prefix(tmp_path: Path):
    names = theirs("siamfc", 0, "model/s.") | theirs("alexnet", 1, "model/a.")
    names |= theirs("siamfc", 2, "ema/s.") | theirs("alexnet", 3, "ema/a.")
    with pytest.raises(weight_port.SourceError, match="expected one copy of the network, found 2: "):
        read(tmp_path / "x", names)
    params, notes = read(tmp_path / "x", names, prefix="ema")
    assert_same(params, ours("siamfc", 2) | ours("alexnet", 3))
    assert notes == [
        "taken from ema/s.backbone",
        "set aside another copy of the network: model/s.backbone",
        "taken from ema/a",
        "set aside another copy of the network: model/a",
    ]


def test_a_part_of_another_network_is_none(tmp_path: Path):
    some = dict(list(theirs("alexnet", 1, "loss.").items())[:9])
    params, notes = read(tmp_path / "x", theirs("siamfc", 0, "net.") | some)
    assert_same(params, ours("siamfc"))
    [note] = notes
    assert note.startswith("set aside what is not of the network: loss.features.")


# Copies of one


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("prefixes", "choice", "seed"),
    [
        (("model/", "ema/"), "ema", 1),
        (("state_dict/", "ema_state_dict/module."), "ema", 1),
        (("model.", "ema_model.module."), "ema_model.module", 1),
        (("net/", "best/"), "net", 0),
        (("", "ema."), "/", 0),
        (("", "ema."), "ema", 1),
        (("state_dict/", "state_dict_ema/"), "state_dict_ema/", 1),
    ],
)
def test_one_of_several_copies_is_chosen_by_its_prefix(
    tmp_path: Path, network: str, prefixes: tuple[str, str], choice: str, seed: int
):
    names = theirs(network, 0, prefixes[0]) | theirs(network, 1, prefixes[1])
    with pytest.raises(weight_port.SourceError, match="expected one copy of the network, found 2: ") as error:
        read(tmp_path / "x", names)
    labels = [prefix + next(iter(theirs(network))).split(".")[0] for prefix in prefixes]
    if network == "siamfc":
        assert all(label in str(error.value) for label in labels)
        choice = labels[0] if choice == "/" else choice
    assert "--prefix " in str(error.value)
    params, notes = read(tmp_path / "x", names, prefix=choice)
    assert_same(params, ours(network, seed))
    assert len(notes) == 2
    assert notes[0].startswith("taken from ")
    assert notes[1].startswith("set aside another copy of the network: ")


def test_the_message_gives_an_option_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, out = str(tmp_path / "x.pth"), str(tmp_path / "out.safetensors")
    safetensors.numpy.save_file(theirs("siamfc", 0, "model.") | theirs("siamfc", 1, "ema."), file)
    assert main(["convert", file, "--out", out]) == 2
    choice = capsys.readouterr().err.strip().split("such as ")[1].split()
    assert choice[0] == "--prefix"
    chosen = ["model.backbone", "ema.backbone"].index(choice[1])
    assert main(["convert", file, "--out", out, *choice]) == 0
    assert_same(checkpoints.load(out, bundled_se=False), ours("siamfc", chosen))
    assert main(["verify", file, out, *choice]) == 0
    assert main(["verify", file, out, "--prefix", ["ema", "model"][chosen]]) == 1
    assert main(["verify", file, out]) == 2
    assert main(["export", file, "--to", "torch-siamfc", "--out", out, *choice]) == 0
    assert_same(weight_port.merge([out])[0], ours("siamfc", chosen))
    capsys.readouterr()
    assert main(["inspect", file]) == 0
    told = capsys.readouterr().out.splitlines()[2]
    assert told.startswith("2 copies of the network, to choose from by --prefix: ")
    assert told.endswith(choice[1])


def test_copies_with_the_same_numbers_need_no_choice(tmp_path: Path):
    names = theirs("siamfc", 0, "template.") | theirs("siamfc", 0, "search.")
    params, notes = read(tmp_path / "x", names)
    assert_same(params, ours("siamfc"))
    assert notes[0] == "the same weights are under search.backbone, template.backbone"


def test_an_incomplete_copy_is_no_choice(tmp_path: Path):
    shadow = {name: array for name, array in theirs("siamfc", 1, "ema/shadow/").items() if "running" not in name}
    params, notes = read(tmp_path / "x", shadow | theirs("siamfc", 0, "model/"))
    assert_same(params, ours("siamfc"))
    assert notes == ["set aside another copy of the network: ema/shadow/backbone"]


@pytest.mark.parametrize("prefix", ["ema", "o"])
def test_a_prefix_that_is_no_copys_is_told(tmp_path: Path, prefix: str):
    safetensors.numpy.save_file(theirs("siamfc", 0, "model."), tmp_path / "x")
    if prefix == "o":  # part of its label, and of no other's
        weight_port.read(tmp_path / "x", prefix=prefix)
        return
    for call in (weight_port.read, lambda path, **options: weight_port.merge([path], **options)):
        with pytest.raises(
            weight_port.SourceError, match=r"expected a network under ema, found .* under model\.backbone"
        ):
            call(tmp_path / "x", prefix=prefix)


def test_a_prefix_counts_for_the_source_that_has_it(tmp_path: Path):
    safetensors.numpy.save_file(theirs("siamfc", 0, "model.") | theirs("siamfc", 1, "ema."), tmp_path / "s")
    safetensors.numpy.save_file(theirs("alexnet"), tmp_path / "a")
    params, _ = weight_port.merge([tmp_path / "s", tmp_path / "a"], prefix="ema")
    assert_same(params, ours("siamfc", 1) | ours("alexnet"))
    with pytest.raises(weight_port.SourceError, match="found 2: "):
        weight_port.merge([tmp_path / "s", tmp_path / "a"], prefix="emma")


def test_averages_of_tensorflow(tmp_path: Path):
    table = name_tables.TF1
    names = theirs("siamfc", 0, table=table)
    names |= {f"{name}/ExponentialMovingAverage": array for name, array in theirs("siamfc", 1, table=table).items()}
    names |= {f"{name}/Adam": 0 * array for name, array in theirs("siamfc", 0, table=table).items()}
    write_npz(tmp_path / "x.npz", names)
    with pytest.raises(weight_port.SourceError, match="found 2: /, ExponentialMovingAverage; choose"):
        weight_port.merge([tmp_path / "x.npz"])
    for prefix, seed in (("/", 0), ("ExponentialMovingAverage", 1)):
        params, _ = weight_port.merge([tmp_path / "x.npz"], prefix=prefix)
        assert_same(params, ours("siamfc", seed))


def test_blocks_of_another_network_are_no_copies(tmp_path: Path):
    """Those of a ResNet have convolutions and normalisations by the names of ours."""
    blocks = {
        f"layer1.{block}.{layer}.{leaf}": np.ones(
            (64, 64, 3, 3) if leaf == "weight" and "conv" in layer else 64, np.float32
        )
        for block in range(3)
        for layer in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
        for leaf in (["weight"] if "conv" in layer else ["weight", "bias", "running_mean", "running_var"])
    }
    with pytest.raises(weight_port.SourceError) as error:
        read(tmp_path / "x", blocks)
    [problem] = error.value.problems
    assert problem.startswith("expected weights of SiamFC or AlexNet, found another network's: layer1.0.")


def test_deep_names_take_no_time():
    names = [f"{'a.' * 400}{number}" for number in range(5_000)]
    assert copies.find(name_tables.TABLES, names) == []


def test_the_layout_has_the_tensors_that_make_a_copy_whole():
    for network, (table, contents) in NETWORKS.items():
        [copy] = copies.find([table], theirs(network))
        assert copy.whole
        assert len(copy.names) == len(weight_names.expected(contents))
        for name in theirs(network):
            assert not any(copy.whole for copy in copies.find([table], theirs(network).keys() - {name}))
