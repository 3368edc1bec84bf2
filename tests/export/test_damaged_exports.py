"""Exported trackers that are damaged, or made by another version, are refused by one line."""

import json
import runpy
import sys
import zipfile
from pathlib import Path

import pytest

from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.export import files
from mfst_jax.export.files import read_metadata
from mfst_jax.export.running import open_exported
from mfst_jax.export.signature import FORMAT
from mfst_jax.export.stablehlo import ABOUT

ABOUT_NOW = {"format": FORMAT, "mfst_jax": "0.1.0", "frame_shape": [8, 8, 3]}


def write(path: Path, about: dict = ABOUT_NOW, **members: bytes) -> Path:
    """Archive of what it says of itself, and of members whose names end in `.bin`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ABOUT, json.dumps(about))
        for name, data in members.items():
            archive.writestr(f"{name}.bin", data)
    return path


@pytest.mark.parametrize("members", [{}, {"init": b"", "step": b""}, {"init": b"\xff" * 64, "step": b"\xff" * 64}])
def test_programs_that_cannot_be_read_are_refused(tmp_path: Path, members: dict[str, bytes]):
    path = write(tmp_path / "x.stablehlo", **members)
    assert read_metadata(path)["format"] == FORMAT
    with pytest.raises(InputError, match=r"x.stablehlo: expected a file of mfst export, found"):
        open_exported(path)


def test_an_archive_that_is_damaged_is_refused(tmp_path: Path):
    data = bytearray(write(tmp_path / "x.stablehlo", init=b"x" * 99).read_bytes())
    for at in (14, 30, 40, len(data) - 6):  # a checksum, a name, the text, where the directory is
        damaged = bytes(data[:at]) + bytes([data[at] ^ 0xFF]) + bytes(data[at + 1 :])
        (tmp_path / "y.stablehlo").write_bytes(damaged)
        with pytest.raises(InputError, match=r"y.stablehlo: expected a file of mfst export, found"):
            open_exported(tmp_path / "y.stablehlo")


def test_what_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "x.stablehlo", init=bytes(10**6), step=b"")
    monkeypatch.setattr(files, "LARGEST", 10**6)
    for read in (read_metadata, open_exported):
        with pytest.raises(InputError, match=r"found it unpacks to 10000\d\d bytes, more than 1000000"):
            read(path)
    monkeypatch.setattr(files, "LARGEST", 10**7)
    assert read_metadata(path)["format"] == FORMAT


def test_a_model_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnx", reason="onnx is not installed: the extra `export`")
    (tmp_path / "x.onnx").write_bytes(bytes(1001))
    monkeypatch.setattr(files, "LARGEST", 1000)
    with pytest.raises(InputError, match="found 1001 bytes, more than 1000"):
        read_metadata(tmp_path / "x.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_onnx(tmp_path / "x.onnx", {"format": FORMAT})
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"an ONNX model needs the package '{package}', .* 'mfst-jax.export."):
        open_exported(path)


def write_onnx(path: Path, about: dict) -> Path:
    """Model without a graph, with what it says of itself."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: the extra `export`")
    text = onnx.StringStringEntryProto(key="mfst_jax", value=json.dumps(about))
    path.write_bytes(onnx.ModelProto(ir_version=8, metadata_props=[text]).SerializeToString())
    return path


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_a_tracker_that_another_version_exported_ends_a_program_with_status_2(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    path, about = tmp_path / f"x.{kind}", {"format": FORMAT + 1, "mfst_jax": "9.9.0"}
    if kind == "onnx":
        write_onnx(path, about)
    else:
        write(path, about)
    monkeypatch.setattr(sys, "argv", ["export_parity.py", str(path), str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(__file__).parents[2] / "tools" / "export_parity.py"), run_name="__main__")
    assert end.value.code == 2
    made = f"found {FORMAT + 1} (mfst_jax 9.9.0); export it anew"
    assert capsys.readouterr().err == (
        f"export_parity.py: {path}: expected an exported tracker of format {FORMAT}, {made}\n"
    )
