"""Exported trackers that are damaged, or made by another version, are refused by one line."""

import json
import runpy
import sys
import zipfile
from pathlib import Path

import pytest

from mfst_jax.errors import InputError
from mfst_jax.export.files import read_metadata
from mfst_jax.export.running import open_exported
from mfst_jax.export.signature import FORMAT
from mfst_jax.export.stablehlo import ABOUT


def write(path: Path, **members: bytes) -> Path:
    about = {"format": FORMAT, "mfst_jax": "0.1.0", "frame_shape": [8, 8, 3]}
    with zipfile.ZipFile(path, "w") as archive:
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


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_a_tracker_that_another_version_exported_ends_a_program_with_status_2(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    path, about = tmp_path / f"x.{kind}", json.dumps({"format": FORMAT + 1, "mfst_jax": "9.9.0"})
    if kind == "onnx":
        onnx = pytest.importorskip("onnx", reason="onnx is not installed: the extra `export`")
        model = onnx.ModelProto(ir_version=8, metadata_props=[onnx.StringStringEntryProto(key="mfst_jax", value=about)])
        path.write_bytes(model.SerializeToString())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(ABOUT, about)
    monkeypatch.setattr(sys, "argv", ["export_parity.py", str(path), str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(__file__).parents[2] / "tools" / "export_parity.py"), run_name="__main__")
    assert end.value.code == 2
    made = f"found {FORMAT + 1} (mfst_jax 9.9.0); export it anew"
    assert capsys.readouterr().err == (
        f"export_parity.py: {path}: expected an exported tracker of format {FORMAT}, {made}\n"
    )
