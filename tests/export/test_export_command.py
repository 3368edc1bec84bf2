"""`mfst export`: what it writes, and that bad input gets one line and leaves nothing behind."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from layouts import write_images

import mfst_jax
from mfst_jax.cli import main
from mfst_jax.errors import InputError
from mfst_jax.export import command, files, signature
from mfst_jax.params import Contents
from mfst_jax.version import __version__
from weight_port.__main__ import main as weight_port_main


def refusal(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    assert main(["export", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are not even loaded."""
    monkeypatch.setattr(command.checkpoints, "load", lambda *_: pytest.fail("weights were loaded"))


@pytest.mark.usefixtures("never")
def test_a_place_that_does_not_fit_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture):
    zipped = str(tmp_path / "a.zip")
    assert refusal(["--to", "onnx", "--out", zipped], capsys) == (
        f"mfst: --out {zipped}: expected a name that ends in .onnx, found .zip"
    )
    onnx = str(tmp_path / "a.onnx")
    assert "ends in .stablehlo, found .onnx" in refusal(["--to", "stablehlo", "--out", onnx], capsys)
    bare = str(tmp_path / "a")
    assert "ends in .onnx, found no suffix" in refusal(["--to", "onnx", "--out", bare], capsys)
    missing = str(tmp_path / "none" / "a.onnx")
    assert f"expected a folder that is there, found no {tmp_path / 'none'}" in refusal(
        ["--to", "onnx", "--out", missing], capsys
    )
    (tmp_path / "folder.onnx").mkdir()
    folder = str(tmp_path / "folder.onnx")
    assert "expected a file or a place for one, found a folder" in refusal(["--to", "onnx", "--out", folder], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize("size", ["1280", "0x720", "1280x-1", "1280 x 720", "99999x1", "1e3x4"])
def test_a_frame_size_that_is_none_is_refused(size: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    arguments = ["--to", "stablehlo", "--out", str(tmp_path / "a.stablehlo"), f"--frame-size={size}"]
    assert f"--frame-size: expected WIDTHxHEIGHT of up to 16384 pixels each, found {size!r}" in refusal(
        arguments, capsys
    )


@pytest.mark.usefixtures("never")
def test_onnx_takes_no_frame_size(tmp_path: Path, capsys: pytest.CaptureFixture):
    arguments = ["--to", "onnx", "--out", str(tmp_path / "a.onnx"), "--frame-size", "640x480"]
    assert "expected --to stablehlo beside it, found onnx" in refusal(arguments, capsys)


@pytest.mark.parametrize("to", ["onnx", "stablehlo"])
def test_a_preset_that_the_weights_cannot_run_is_refused(to: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    weights, out = tmp_path / "weights.safetensors", tmp_path / f"a.{to}"
    mfst_jax.save(mfst_jax.random_params(Contents(siamfc=False, alexnet="torchvision")), weights)
    arguments = ["--to", to, "--out", str(out), "--preset", "realtime", "--weights", str(weights)]
    assert refusal(arguments, capsys) == (
        "mfst: config.models: expected only what the weights hold (AlexNet (torchvision)), found 'siamfc'; "
        "the built-in weights hold both backbones, and so do 'paper' (mfst weights get paper)"
    )
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize(("to", "package"), [("onnx", "spox"), ("stablehlo", "flatbuffers")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    to: str, package: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in sys.modules if name.startswith("mfst_jax.export.onnx_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(package), *sys.meta_path])
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    line = refusal(["--to", to, "--out", str(tmp_path / f"a.{to}")], capsys)
    assert f"'{package}', which is not installed: pip install 'mfst-jax[export]'" in line
    assert list(tmp_path.iterdir()) == []


class Without:
    """Finder of a package that is not there."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.package)


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "a.onnx"
    files.write(out, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"--out .*a\.onnx: expected to write it, found No space left on device"):
        files.write(out, b"new")
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_the_model_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: the extra `export`")
    pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
    out = tmp_path / "a.onnx"
    assert main(["export", "--to", "onnx", "--out", str(out), "--set", "scale_step=1.05"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"wrote {out}: SiamFC (AlexNet's layers), AlexNet (torchvision), ")
    assert "BSD-3-Clause" in said[1]
    assert "CC BY-NC 4.0" in said[1]
    about = files.read_metadata(out)
    assert (about["format"], about["mfst_jax"], about["preset"]) == (signature.FORMAT, __version__, None)
    assert about["config"]["scale_step"] == 1.05
    assert about["provenance"]["sources"]
    model = onnx.load(out)
    assert [each.name for each in model.graph.input][:4] == ["frame", "first", "first_box", "state.centre"]
    assert [each.name for each in model.graph.output][:4] == ["box", "score", "response", "next.centre"]
    assert [each.name[5:] for each in model.graph.output[3:]] == [each.name[6:] for each in model.graph.input[3:]]
    frame = model.graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_param or each.dim_value for each in frame] == ["height", "width", 3]

    (text,) = model.metadata_props
    text.value = json.dumps({**about, "format": 0, "mfst_jax": "9.9"})
    onnx.save(model, out)
    with pytest.raises(InputError, match=rf"of format {signature.FORMAT}, found 0 \(mfst_jax 9.9\); export it anew"):
        files.read_metadata(out)
    del model.metadata_props[:]
    onnx.save(model, out)
    with pytest.raises(InputError, match="found an ONNX model that says nothing of mfst_jax"):
        files.read_metadata(out)


def test_a_file_that_is_no_export_is_refused(tmp_path: Path):
    pytest.importorskip("onnx", reason="onnx is not installed: the extra `export`")
    with pytest.raises(InputError, match="expected an exported tracker, found no file"):
        files.read_metadata(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model at all")
    with pytest.raises(InputError, match="expected a file of mfst export, found no ONNX model"):
        files.read_metadata(tmp_path / "text.onnx")
    with zipfile.ZipFile(tmp_path / "a.stablehlo", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(InputError, match="expected a file of mfst export, found no "):
        files.read_metadata(tmp_path / "a.stablehlo")
    with zipfile.ZipFile(tmp_path / "old.stablehlo", "w") as archive:
        archive.writestr("mfst.json", json.dumps({"format": 7, "mfst_jax": "3.0"}))
    with pytest.raises(InputError, match=rf"of format {signature.FORMAT}, found 7 \(mfst_jax 3.0\)"):
        files.read_metadata(tmp_path / "old.stablehlo")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model that `mfst export` wrote."""
    pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
    out = tmp_path_factory.mktemp("exported") / "tracker.onnx"
    cheap = ["--preset", "alexnet", "--set", "alexnet_layers=conv3"]
    assert main(["export", "--to", "onnx", "--out", str(out), *cheap]) == 0
    return out


@pytest.mark.parametrize(
    "arguments",
    [
        ("mfst", "track", "{frames}", "--box", "1,2,9,9", "--boxes", "{out}/boxes.csv", "--weights", "{tracker}"),
        ("mfst", "export", "--to", "onnx", "--out", "{out}/again.onnx", "--weights", "{tracker}"),
        ("weight_port", "convert", "{tracker}", "--out", "{out}/weights.safetensors"),
        ("weight_port", "inspect", "{tracker}"),
    ],
    ids=["track", "export", "convert", "inspect"],
)
def test_an_exported_tracker_in_the_place_of_weights_is_named(
    arguments: tuple[str, ...], tracker: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    write_images(tmp_path / "frames", range(2))
    (tmp_path / "out").mkdir()
    places = {"frames": tmp_path / "frames", "out": tmp_path / "out", "tracker": tracker}
    program, *rest = (each.format(**places) for each in arguments)
    assert {"mfst": main, "weight_port": weight_port_main}[program](rest) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert f"{tracker}: expected " in line
    assert line.endswith(
        "found a tracker that mfst export wrote, not weights; give the weights that it was exported from: "
        "a name (mfst weights), a .safetensors file or an Orbax directory"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_weights_of_a_name_have_the_terms_of_what_they_are_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "BSD-3-Clause" in signature.licence(None)
    assert "no licence of its own" in signature.licence("paper")
    assert signature.licence("mine.safetensors").startswith("not known")
    (tmp_path / "paper").mkdir()
    assert signature.licence("paper").startswith("not known")
