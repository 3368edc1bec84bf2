"""`mfst weights`: what it lists before and after, what `get` prints, and weights by name in the other commands."""

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from servers import Server

import mfst_jax
from mfst_jax import cli
from mfst_jax.checkpoints import bundled_se, weight_names
from mfst_jax.checkpoints.known_weights import KNOWN, PUBLISHED
from mfst_jax.params import Contents
from mfst_jax.program import doctor, weights_command
from weight_port import assembly

BOTH = "SiamFC, AlexNet (torchvision)"
ALL = "SiamFC + SE, AlexNet (torchvision) + SE"


@pytest.fixture
def own_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on our SE-blocks are for the backbones that the server has, which are zeros."""
    contents = Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True)
    for model in ("siamfc", "alexnet"):
        shapes = {name: shape for name, shape in weight_names.expected(contents).items() if f"/{model}_se/" in name}
        filters = bundled_se.read(model)[bundled_se.FINGERPRINT].shape
        arrays = {name: np.ones(shape, np.float16) for name, shape in shapes.items()}
        safetensors.numpy.save_file(
            arrays | {bundled_se.FINGERPRINT: np.zeros(filters, np.float32)}, tmp_path / f"{model}_se.safetensors"
        )
    monkeypatch.setattr(bundled_se, "FOLDER", tmp_path)
    bundled_se.read.cache_clear()
    yield
    bundled_se.read.cache_clear()


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    assert cli.main(["weights", "list", "--json"]) == 0
    return {each["name"]: each for each in json.loads(capsys.readouterr().out)["weights"]}


def test_the_list_says_what_is_here_and_how_the_rest_comes_here(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["weights"]) == 0
    printed = capsys.readouterr().out
    builtin, paper, folder = printed.split("\n\n")
    assert builtin.splitlines()[0] == "builtin   built in, 9.9 MB"
    assert "holds SiamFC (AlexNet's layers), AlexNet (torchvision)\n" in builtin
    others = "paper, authors, siamfc, alexnet, realtime, adaptive, adaptive_alexnet"
    assert f"tracks by the preset adaptive_conv5 (default), {others}\n" in builtin
    assert paper.splitlines()[0] == "paper     not here yet: mfst weights get paper"
    assert f"holds {ALL}\n" in paper
    others = "paper, authors, siamfc, alexnet, realtime, adaptive_conv5, adaptive_alexnet"
    assert f"tracks by the preset adaptive (default), {others}\n" in paper
    assert all(PUBLISHED[what].url in paper and PUBLISHED[what].terms in paper for what in KNOWN["paper"].sources)
    assert folder == f"what is downloaded is kept in {cache / 'weights'}\n"
    assert not cache.exists()


def test_what_is_got_is_listed_and_goes_by_its_name(
    server: Server, cache: Path, own_blocks: None, capsys: pytest.CaptureFixture[str]
):
    before = listed(capsys)["paper"]
    assert (before["state"], before["bytes"], before["holds"]) == ("not here", None, ALL)
    assert before["sources"][1]["sha256"] == PUBLISHED["alexnet"].sha256
    path = cache / "weights" / "paper.safetensors"
    assert cli.main(["weights", "get", "paper", "--from", server.url]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{path}: 19.2 MB, {ALL}\n"
    assert printed.err.splitlines()[-1] == "track with them: mfst track VIDEO --box X,Y,W,H --weights paper"
    after = listed(capsys)["paper"]
    assert after == {**before, "state": "in the cache", "bytes": path.stat().st_size}
    assert cli.main(["info", "paper"]) == 0
    told = capsys.readouterr().out
    assert f"holds: {ALL}" in told
    assert "SE-blocks: they come with mfst_jax" in told
    assert PUBLISHED["siamfc"].name in told
    assert mfst_jax.load("paper", bundled_se=False).contents.describe() == BOTH


def test_backbones_that_no_se_blocks_are_for_are_named(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["weights", "get", "paper", "--from", server.url]) == 0
    assert f"mfst: paper: expected {ALL}, found {BOTH}; SE-blocks come along" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["track", "nowhere.mp4"], ["eval", "."], ["bench"], ["info"]])
def test_a_name_whose_weights_are_not_here_is_one_line(
    cache: Path, capsys: pytest.CaptureFixture[str], command: list[str]
):
    option = [] if command == ["info"] else ["--weights"]
    assert cli.main([*command, *option, "paper"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mfst: weights 'paper': expected them at ")
    assert line.endswith("download them: mfst weights get paper")


def test_a_name_that_nobody_knows_is_one_line(cache: Path, capsys: pytest.CaptureFixture[str]):
    for command in (["weights", "get", "papre"], ["info", "papre"]):
        assert cli.main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("mfst: weights 'papre': expected ")
        assert line.endswith("did you mean 'paper'?")


def test_offline_is_one_line_after_what_was_tried(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["weights", "get", "paper", "--from", "http://127.0.0.1:1"]) == 2
    tried, line = capsys.readouterr().err.splitlines()
    assert tried == f"downloading http://127.0.0.1:1/{PUBLISHED['siamfc'].name}"
    assert line.startswith("mfst: weights 'paper': expected to download ")


def test_what_a_broken_download_left_is_listed(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]):
    server.files[PUBLISHED["siamfc"].name], server.cut = bytes(400_000), 300_000
    assert cli.main(["weights", "get", "paper", "--from", server.url]) == 2
    capsys.readouterr()
    assert cli.main(["weights"]) == 0
    assert capsys.readouterr().out.endswith(f"{cache / 'weights'}; 0.3 MB of unfinished downloads lie there\n")


def test_an_interrupted_download_says_how_it_goes_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("weight_port.assembly.get", interrupted)
    assert cli.main(["weights", "get", "paper"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "mfst: interrupted; the same command goes on from there"


def test_a_damaged_set_is_listed_as_such(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["weights", "get", "paper", "--from", server.url]) == 0
    path = cache / "weights" / "paper.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    assert cli.main(["weights"]) == 0
    assert "paper     damaged: mfst weights get paper" in capsys.readouterr().out
    assert listed(capsys)["paper"]["problem"].startswith(
        f"{path}: expected a safetensors file, found none or a damaged"
    )
    assert weights_command.survey("paper")["state"] == "damaged"


@pytest.mark.parametrize("damage", ["none", "of a type that is not read", "not finite", "missing"])
def test_all_commands_agree_on_what_is_damaged(cache: Path, damage: str):
    arrays = {
        name: np.zeros(shape, np.float32) for name, shape in weight_names.expected(KNOWN["paper"].contents).items()
    }
    if damage == "of a type that is not read":
        arrays["extra"] = np.zeros(2, ml_dtypes.float8_e4m3fn)
    elif damage == "not finite":
        arrays["params/siamfc/conv5/bias"][0] = np.nan
    elif damage == "missing":
        del arrays["params/siamfc/conv5/bias"]
    path = cache / "weights" / "paper.safetensors"
    path.parent.mkdir(parents=True)
    safetensors.numpy.save_file(arrays, path)
    found, told = doctor.check_weights(), []
    whole = damage == "none"
    assert assembly._is_there("paper", told.append) == whole
    assert told == ([] if whole else [f"{path}: damaged, so it is put together again"])
    assert found.data["paper"]["state"] == ("here" if whole else "damaged")
    surveyed = weights_command.survey("paper")
    assert surveyed["state"] == ("in the cache" if whole else "damaged")
    if not whole:
        assert found.problems == [f"weights paper: {surveyed['problem']}; download them again: mfst weights get paper"]


def test_where_a_path_has_the_name_the_path_of_the_set_is_given(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
):
    Path("paper").mkdir()
    assert cli.main(["weights", "get", "paper", "--from", server.url]) == 0
    told = capsys.readouterr().err
    path = cache / "weights" / "paper.safetensors"
    assert "mfst: paper: a path of that name is here, and goes before the name" in told
    assert told.splitlines()[-1].endswith(f"--weights {path}")
    assert cli.main(["info", "paper"]) == 2
    assert f"belong at {path}" in capsys.readouterr().err
    shutil.rmtree("paper")
    assert cli.main(["info", "paper"]) == 0
