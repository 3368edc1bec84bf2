"""Checkpoints as PyTorch's training programs save them: what of them is the network is read bit by bit."""

import argparse
import collections
import datetime
import pickle
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources import A, Arrays, S, assert_same, random_arrays

import weight_port
from mfst_jax.checkpoints import weight_names
from weight_port import name_tables, rules

torch: Any = pytest.importorskip("torch")
OLD = {"_use_new_zipfile_serialization": False}
SAVES = pytest.mark.parametrize("options", [{}, OLD, {"pickle_protocol": 4}], ids=["new", "old", "protocol 4"])


def arrays(seed: int = 0) -> Arrays:
    """SiamFC's."""
    return {name: np.abs(array) if name.endswith("/var") else array for name, array in random_arrays(S, seed).items()}


def state_dict(seed: int = 0, prefix: str = "") -> dict[str, Any]:
    """Of SiamFC, as `Module.state_dict` has it."""
    names, _ = rules.invert(name_tables.TORCH_SIAMFC, arrays(seed))
    state = collections.OrderedDict((prefix + name, torch.from_numpy(array)) for name, array in names.items())
    for number in range(1, 5):
        state[f"{prefix}backbone.conv{number}.1.num_batches_tracked"] = torch.tensor(7)
    state._metadata = {"": {"version": 1}}
    return state


def saved(path: Path, tree: object, **options: Any) -> tuple[Any, list[str]]:
    """The weights in what PyTorch saves, and what is noted."""
    torch.save(tree, path, **options)
    params, provenance = weight_port.merge([path])
    return params, provenance["sources"][0]["notes"]


COUNTS = "dropped BN's counts of batches: only training has a use for them"
OPTIMISER = "dropped the state of the optimiser"


class Schedule:
    """Of no class that anybody else has, with another within it."""

    class Step:
        pass


BESIDE: dict[str, Callable[[], object]] = {
    "best_prec1": lambda: torch.tensor(71.2),
    "torch_rng": torch.get_rng_state,
    "cuda_rng": lambda: [torch.get_rng_state()],
    "numpy_rng": np.random.get_state,
    "generator": lambda: np.random.default_rng(0),
    "python_rng": random.getstate,
    "history": lambda: {"loss": np.arange(5.0), "names": np.array(["a", "b"]), (0, 1): 3},
    "args": lambda: argparse.Namespace(lr=0.1, out=Path("/weights"), device=torch.device("cpu")),
    "started": datetime.datetime.now,
    "took": lambda: datetime.timedelta(1),
    "meters": lambda: collections.defaultdict(list, {"a": [1.0]}),
    "last": lambda: collections.deque([torch.ones(2)], 3),
    "schedule": lambda: [Schedule(), Schedule.Step()],
    "class": lambda: Schedule,
    "function": lambda: torch.nn.functional.relu,
    "sets": lambda: [{1, 2}, frozenset("a"), 1j, slice(2), torch.Size([1]), torch.float16],
    "sparse": lambda: torch.ones(2, 2).to_sparse(),
    "float8": lambda: torch.ones(2).to(torch.float8_e4m3fn),
}


@SAVES
def test_whatever_lies_beside_the_weights(tmp_path: Path, options: dict):
    tree = {"epoch": 3, "state_dict": state_dict()} | {name: make() for name, make in BESIDE.items()}
    params, notes = saved(tmp_path / "x", tree, **options)
    assert_same(params, arrays())
    assert [note.split(":")[0] for note in notes] == [
        COUNTS.split(":")[0],
        "set aside what is not of the network",
        "passed over unread",
    ]


@SAVES
@pytest.mark.parametrize("name", BESIDE)
def test_each_of_it_by_itself(tmp_path: Path, name: str, options: dict):
    """In a file with a small tensor, so that each is read in no time."""
    torch.save({name: BESIDE[name](), "features.3.bias": torch.ones(192)}, tmp_path / "x", **options)
    source = weight_port.read(tmp_path / "x")
    assert source.arrays["params/alexnet/conv2/bias"].tolist() == 192 * [1]


@SAVES
def test_optimisers_whose_state_has_the_shapes_of_weights(tmp_path: Path, options: dict):
    weights = state_dict()
    parameters = [torch.nn.Parameter(tensor) for tensor in weights.values() if tensor.is_floating_point()]
    optimizer = torch.optim.Adam(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    tree = {"model": weights, "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict(), "epoch": 2}
    expected = {name: tensor.numpy().copy() for name, tensor in weights.items()}
    params, notes = saved(tmp_path / "x", tree, **options)
    found, _ = rules.invert(name_tables.TORCH_SIAMFC, weight_names.flatten(params.variables))
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
    assert notes == [COUNTS, OPTIMISER]


def test_a_checkpoint_of_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = types.ModuleType("pytorch_lightning.utilities.parsing")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    for name in ("pytorch_lightning", "pytorch_lightning.utilities"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monitor = "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', 'every_n_train_steps': 0}"
    tree = {
        "epoch": 9,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state_dict(prefix="net."),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {monitor: {"best_model_score": torch.ones(()), "best_k_models": {"/a.ckpt": torch.ones(())}}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": module.AttributeDict(lr=0.1, model=Path("/weights")),
    }
    params, notes = saved(tmp_path / "x.ckpt", tree)
    assert_same(params, arrays())
    beside = f"callbacks/{monitor}/best_model_score, callbacks/{monitor}/best_k_models//a.ckpt"
    assert notes == [
        COUNTS,
        OPTIMISER,
        f"set aside what is not of the network: {beside}",
        f"passed over unread: hyper_parameters ({module.__name__}.AttributeDict), hyper_parameters/model (pathlib."
        f"{type(Path()).__name__})",
    ]


@pytest.mark.filterwarnings("ignore")  # PyTorch's, about what of this is on its way out
@pytest.mark.parametrize("kind", ["DataParallel", "AveragedModel", "compile", "compile a part", "Parameter", "Buffer"])
def test_wrapped_modules(tmp_path: Path, kind: str):
    class Layer(torch.nn.Sequential):
        pass

    class Backbone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            kernels = [tensor for name, tensor in state_dict().items() if name.endswith(".0.weight")]
            for number, kernel in enumerate(kernels, start=1):
                groups, side = 2 if number in (2, 4, 5) else 1, kernel.shape[2]
                inputs = kernel.shape[1] * groups
                conv = torch.nn.Conv2d(inputs, len(kernel), side, groups=groups, bias=number == 5)
                layers = [conv] if number == 5 else [conv, torch.nn.BatchNorm2d(len(kernel))]
                setattr(self, f"conv{number}", Layer(*layers))

    net = torch.nn.Module()
    net.backbone = Backbone()
    net.load_state_dict(state_dict(), strict=True)
    match kind:
        case "DataParallel":
            net.backbone.conv2 = torch.nn.DataParallel(net.backbone.conv2)
            state = torch.nn.DataParallel(net).state_dict()
        case "AveragedModel":
            state = torch.optim.swa_utils.AveragedModel(net).state_dict()
            assert "n_averaged" in state
        case "compile":
            state = torch.compile(net).state_dict()
            assert next(iter(state)).startswith("_orig_mod.")
        case "compile a part":
            net.backbone.conv3 = torch.compile(net.backbone.conv3)
            state = net.state_dict()
            assert "backbone.conv3._orig_mod.0.weight" in state
        case "Parameter":
            state = dict(net.named_parameters()) | dict(net.named_buffers())
        case "Buffer":  # which has an attribute, and so is saved in another way
            state = {name: torch.nn.Buffer(tensor) for name, tensor in net.state_dict().items()}
    params, _ = saved(tmp_path / "x", state)
    assert_same(params, arrays())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_other_types_and_strides(tmp_path: Path, dtype: str, channels_last: bool):
    state = {name: t.to(getattr(torch, dtype)) if t.is_floating_point() else t for name, t in state_dict().items()}
    expected = {name: tensor.float().numpy() for name, tensor in state.items()}
    if channels_last:
        state = {name: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for name, t in state.items()}
        assert not state["backbone.conv2.0.weight"].is_contiguous()
    params, _ = saved(tmp_path / "x", state)
    for name, array in rules.invert(name_tables.TORCH_SIAMFC, weight_names.flatten(params.variables))[0].items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_state_dict_that_was_pickled_and_not_saved(tmp_path: Path, protocol: int):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"net": state_dict(), "args": Path("a")}, protocol))
    params, provenance = weight_port.merge([tmp_path / "x.pkl"])
    assert_same(params, arrays())
    assert provenance["sources"][0]["format"].endswith("(pickle)")


def test_alexnet_behind_a_parallel_feature_extractor(tmp_path: Path):
    """As ImageNet's example saves it: `model.features = DataParallel(model.features)`."""
    expected = random_arrays(A)
    names, _ = rules.invert(name_tables.TORCHVISION_ALEXNET, expected)
    state = {name.replace("features.", "features.module."): torch.from_numpy(array) for name, array in names.items()}
    state |= {"classifier.1.weight": torch.ones(4, 9), "classifier.1.bias": torch.ones(4)}
    tree = {"epoch": 90, "arch": "alexnet", "state_dict": state, "best_prec1": torch.tensor(56.5)}
    params, notes = saved(tmp_path / "x.pth.tar", tree)
    assert_same(params, expected)
    assert notes == ["dropped the classifier", "set aside what is not of the network: best_prec1"]


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
def test_programs_of_pytorch_are_named(tmp_path: Path):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)).eval()
    torch.jit.script(module).save(tmp_path / "script.pt")
    torch.export.save(torch.export.export(module, (torch.ones(1, 3, 8, 8),)), tmp_path / "exported.pt2")
    for name, what in (("script.pt", "a TorchScript program"), ("exported.pt2", r"a program of torch\.export")):
        with pytest.raises(weight_port.SourceError, match=rf"found {what}; save its state_dict\(\) in PyTorch: "):
            weight_port.read(tmp_path / name)
