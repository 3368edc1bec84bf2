"""PyTorch itself: its files are read bit by bit, and it reads ours."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from torch_archives import DTYPES, METADATA, SIX, WRITERS, read, tensor, text, zipped

import weight_port
from weight_port import containers
from weight_port.formats import torch_files, torch_tensors


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def network(torch: Any) -> Any:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(2, 4, 3, groups=2)
    return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(4), torch.nn.Linear(3, 2, dtype=torch.float64))


def flat(torch: Any, node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, torch.Tensor):
        yield path, node.detach()
    elif isinstance(node, dict | list | tuple):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from flat(torch, child, f"{path}/{key}" if path else str(key))


def bits(torch: Any, tensor: Any) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False])
def test_files_of_pytorch_are_read_as_they_were(torch: Any, tmp_path: Path, new: bool, protocol: int):
    model, x, base = network(torch), torch.arange(24.0).reshape(4, 6), torch.arange(10)
    optimizer = torch.optim.Adam(model.parameters())
    model[1](model[0](torch.ones(2, 2, 4, 4))).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    kinds = (
        "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool uint16 uint32 uint64 complex64 complex128"
    )
    tree = {
        "epoch": 3,
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "args": ["--lr", 0.5, None, torch.float32, torch.device("cpu"), torch.Size([2, 3]), np.float64(0.5)],
        "kinds": {kind: x.to(getattr(torch, kind)) for kind in kinds.split()},
        "transposed": x.T,
        "strided": x[1::2, 1::3],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "shared": (base[2:5], base[5:], base),
        "number": torch.tensor(2.5),
        "none": [torch.zeros(0), torch.zeros(0, 3), torch.zeros(3, 0)],
        "parameter": torch.nn.Parameter(x),
    }
    torch.save(tree, tmp_path / "x", pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    found, metadata = read(tmp_path / "x")
    expected = dict(flat(torch, tree))
    assert (list(found), metadata) == (list(expected), None)
    assert {"state_dict/1.num_batches_tracked", "optimizer/state/0/exp_avg_sq", "shared/1", "none/2"} <= found.keys()
    for name, theirs in expected.items():
        assert (found[name].dtype.name, found[name].shape) == (str(theirs.dtype)[6:], tuple(theirs.shape)), name
        assert found[name].tobytes() == bits(torch, theirs), name


@pytest.mark.parametrize("new", [True, False])
def test_a_whole_model_is_refused_with_advice(torch: Any, tmp_path: Path, new: bool):
    for name, tree in (("", network(torch)), ("model ", {"epoch": 1, "model": network(torch)})):
        torch.save(tree, tmp_path / "x", _use_new_zipfile_serialization=new)
        with pytest.raises(weight_port.SourceError) as error:
            weight_port.read(tmp_path / "x")
        what = "torch.nn.modules.container.Sequential"
        found = f"found objects that are not read: {f'{name}({what})' if name else what}; "
        advice = 'save the state_dict() of the network: torch.save(model.state_dict(), "weights.pth")'
        assert str(error.value).endswith(found + advice)
        assert "\n" not in str(error.value)


ODD = {
    "_rebuild_sparse_tensor": lambda torch: torch.ones(2).to_sparse(),
    "_rebuild_qtensor": lambda torch: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "_rebuild_meta_tensor_no_storage": lambda torch: torch.ones(2, device="meta"),
    "torch.float8_e4m3fn": lambda torch: torch.ones(2).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about what of this is on its way out
def test_tensors_of_other_kinds_are_passed_over_beside_a_network_and_refused_in_it(
    torch: Any, tmp_path: Path, kind: str
):
    odd = ODD[kind](torch)
    sizes = {0: 64, 3: 192, 6: 384, 8: 256, 10: 256}
    weights = {f"features.{number}.bias": torch.ones(size) for number, size in sizes.items()}
    torch.save({"weights": weights, "x": odd}, tmp_path / "x")
    tree = containers.read(tmp_path / "x")
    assert list(tree.arrays) == [f"weights/{name}" for name in weights]
    assert kind in tree.unread["x"]
    torch.save({"weights": weights | {"features.3.bias": odd}}, tmp_path / "x")
    with pytest.raises(
        weight_port.SourceError, match=r"weights/features\.3\.bias: expected a tensor, found an object"
    ) as error:
        weight_port.read(tmp_path / "x")
    assert kind in str(error.value)


def test_a_conjugate_view_is_refused(torch: Any, tmp_path: Path):
    torch.save({"x": torch.ones(2, dtype=torch.complex64).conj()}, tmp_path / "x")
    with pytest.raises(pickle.UnpicklingError, match="a view that changes them"):
        read(tmp_path / "x")


@WRITERS
@pytest.mark.parametrize("weights_only", [True, False])
def test_pytorch_reads_ours(torch: Any, tmp_path: Path, write: Callable, weights_only: bool):
    tensors = {name: theirs.numpy() for name, theirs in network(torch).state_dict().items()}
    write(tmp_path / "x", tensors, METADATA)
    for mmap in {False, write is torch_files.write_zip}:
        loaded = torch.load(tmp_path / "x", weights_only=weights_only, mmap=mmap)
        assert list(loaded) == list(tensors)
        assert [theirs.stride() for theirs in loaded.values()] == [
            theirs.stride() for theirs in network(torch).state_dict().values()
        ]
        fresh = network(torch)
        for theirs in fresh.state_dict().values():
            theirs.zero_()
        assert str(fresh.load_state_dict(loaded, strict=True)) == "<All keys matched successfully>"
        for name, theirs in fresh.state_dict().items():
            assert bits(torch, theirs) == tensors[name].tobytes()


@WRITERS
def test_pytorch_reads_every_type_and_shape_of_ours(torch: Any, tmp_path: Path, write: Callable):
    shapes = [(), (0,), (3, 0, 2), (1, 4), (2, 3, 4)]
    dtypes = [*(np.dtype(code) for code in DTYPES), np.dtype(ml_dtypes.bfloat16)]
    rng = np.random.default_rng(0)
    tensors = {
        f"{dtype.str} {dtype.name} {shape}": rng.integers(0, 2, shape).astype(dtype)
        for dtype in dtypes
        for shape in shapes
    }
    write(tmp_path / "x", tensors, METADATA)
    for name, theirs in torch.load(tmp_path / "x", weights_only=True).items():
        array = tensors[name]
        assert (str(theirs.dtype)[6:], tuple(theirs.shape)) == (array.dtype.name, array.shape)
        assert theirs.stride() == torch.empty(array.shape).stride()
        assert bits(torch, theirs) == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_pytorch_reads_big_endian_zips_as_we_do(torch: Any, tmp_path: Path):
    program = b"\x80\x02}" + text("x") + tensor(0, (2, 2), (1, 3)) + b"s."
    (tmp_path / "x").write_bytes(zipped(program, SIX.astype(">f4").tobytes(), byteorder=b"big", version=b"3\n"))
    found = read(tmp_path / "x")[0]["x"]
    np.testing.assert_array_equal(found, torch.load(tmp_path / "x", weights_only=True)["x"].numpy())
    np.testing.assert_array_equal(found, [[0, 3], [1, 4]])


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_the_names_are_those_of_pytorch(torch: Any):
    for name, dtype in torch_tensors.STORAGES.items():
        assert getattr(torch, name).dtype is getattr(torch, dtype)
    for name, dtype in torch_tensors.DTYPES.items():
        assert getattr(torch, name).itemsize == dtype.itemsize
