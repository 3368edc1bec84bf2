"""Ports against PyTorch itself: its files become networks that do the same, and ours load there with strict=True."""

import dataclasses
import importlib
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import weight_port
from mfst_jax.backbones import AlexNet, SiamFC
from mfst_jax.params import Contents, Params
from weight_port.conversion import merge

torch = pytest.importorskip("torch", reason="PyTorch is the reference: pip install 'mfst-jax[parity]'")
nn = importlib.import_module("torch.nn")

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 127, 127, 3)).astype(np.float32)


class TorchSiamFC(nn.Module):
    """Shaped as in siamfc-pytorch: one Sequential a layer, inside of `backbone`."""

    def __init__(self, *, bias: bool = True):
        super().__init__()
        sizes = ((3, 96, 11, 2, 1), (96, 256, 5, 1, 2), (256, 384, 3, 1, 1), (384, 384, 3, 1, 2), (384, 256, 3, 1, 2))
        self.backbone = nn.Module()
        for number, (wide, out, side, stride, groups) in enumerate(sizes, start=1):
            last = number == 5
            layers = [nn.Conv2d(wide, out, side, stride, groups=groups, bias=bias or last)]
            if not last:
                layers += [nn.BatchNorm2d(out, eps=1e-6, momentum=0.05), nn.ReLU()]
            if number <= 2:
                layers.append(nn.MaxPool2d(3, 2))
            setattr(self.backbone, f"conv{number}", nn.Sequential(*layers))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = {}
        for number in range(1, 6):
            for layer in getattr(self.backbone, f"conv{number}"):
                x = layer(x)
                if isinstance(layer, nn.BatchNorm2d) or number == 5:
                    outputs[f"conv{number}"] = x
        return outputs


class TorchAlexNet(nn.Module):
    """Shaped as torchvision's, with MFST's stride and without its padding."""

    def __init__(self):
        super().__init__()
        conv, relu, pool = nn.Conv2d, nn.ReLU, nn.MaxPool2d
        self.features = nn.Sequential(
            *(conv(3, 64, 11, 2), relu(), pool(3, 2), conv(64, 192, 5), relu(), pool(3, 2)),
            *(conv(192, 384, 3), relu(), conv(384, 256, 3), relu(), conv(256, 256, 3), relu()),
        )

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, None, :, None, None]
        x, outputs = (x / 255 - mean) / std, []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                outputs.append(x)
        return {f"conv{number}": output for number, output in enumerate(outputs, start=1)}


def randomise(network: nn.Module) -> nn.Module:
    """Weights and statistics that all count, and features that stay in range."""
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_()
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 3)
                layer.num_batches_tracked += 17
            elif isinstance(layer, nn.Conv2d):
                layer.weight.normal_(std=2 / np.sqrt(layer.weight[0].numel()))
                if layer.bias is not None:
                    layer.bias.normal_()
    return network.eval()


def assert_same_outputs(network: nn.Module, params: Params) -> None:
    """Every layer within 1e-5 of its maximum: after BN where there is one, before ReLU."""
    contents = params.contents
    ours = SiamFC(contents.siamfc_bias) if contents.siamfc else AlexNet("torchvision")
    branch = "siamfc" if contents.siamfc else "alexnet"
    variables = {kind: branches[branch] for kind, branches in params.variables.items()}
    with jax.default_matmul_precision("highest"):
        apply: Any = jax.jit(partial(ours.apply, capture_intermediates=True, mutable=("intermediates",)))
        _, state = apply(variables, jnp.asarray(IMAGES))
    with torch.no_grad():
        theirs = network(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2)))
    for name, expected in theirs.items():
        layer = name.replace("conv", "bn") if contents.siamfc and name != "conv5" else name
        found = np.asarray(state["intermediates"][layer]["__call__"][0]).transpose(0, 3, 1, 2)
        assert np.abs(found - expected.numpy()).max() <= 1e-5 * np.abs(expected.numpy()).max(), name


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_siamfc(tmp_path: Path, zipped: bool, bias: bool):
    network = randomise(TorchSiamFC(bias=bias))
    checkpoint = {"epoch": 50, "state_dict": nn.DataParallel(network).state_dict(), "optimizer": {"lr": 0.01}}
    torch.save(checkpoint, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    params, _ = merge([tmp_path / "net.pth"])
    assert params.contents == Contents(True, None, siamfc_bias=bias)
    assert_same_outputs(network, params)


def test_alexnet_with_its_classifier(tmp_path: Path):
    network = randomise(TorchAlexNet())
    state = network.state_dict() | {"classifier.1.weight": torch.zeros(8, 8), "classifier.1.bias": torch.zeros(8)}
    torch.save(state, tmp_path / "alexnet.pth")
    params, provenance = merge([tmp_path / "alexnet.pth"])
    assert "dropped the classifier" in provenance["sources"][0]["notes"]
    assert_same_outputs(network, params)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("weights_only", [True, False])
def test_our_files_load_there(tmp_path: Path, legacy: bool, weights_only: bool):
    for network, to in ((randomise(TorchSiamFC()), "torch-siamfc"), (randomise(TorchAlexNet()), "torchvision-alexnet")):
        torch.save(network.state_dict(), tmp_path / "theirs.pth")
        weight_port.convert([tmp_path / "theirs.pth"], tmp_path / "ours.safetensors")
        weight_port.export(tmp_path / "ours.safetensors", tmp_path / "back.pth", to, legacy=legacy)
        state = torch.load(tmp_path / "back.pth", weights_only=weights_only)
        again = type(network)()
        again.load_state_dict(state, strict=True)
        for name, tensor in network.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(again.state_dict()[name], tensor), name


def sequential(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All layers in one Sequential, as several ports have them."""
    places = {"conv1.0": 0, "conv1.1": 1, "conv2.0": 4, "conv2.1": 5, "conv3.0": 8, "conv3.1": 9}
    places |= {"conv4.0": 11, "conv4.1": 12, "conv5.0": 14}
    return {
        name.replace(f"backbone.{layer}", f"features.{place}"): tensor
        for name, tensor in state.items()
        for layer, place in places.items()
        if f"backbone.{layer}." in name
    }


def apart(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """BN in layers of its own."""
    names = {f"conv{n}.{i}": f"{kind}{n}" for n in range(1, 6) for i, kind in enumerate(("conv", "bn"))}
    return {
        f"{names[name.removeprefix('backbone.').rsplit('.', 1)[0]]}.{name.rsplit('.', 1)[1]}": tensor
        for name, tensor in state.items()
    }


@pytest.mark.parametrize("rename", [sequential, apart])
def test_other_names_in_the_wild(tmp_path: Path, rename):
    network = randomise(TorchSiamFC())
    state = rename(network.state_dict())
    assert len(state) == len(network.state_dict())
    torch.save(OrderedDict(state), tmp_path / "net.pth")
    params, _ = merge([tmp_path / "net.pth"])
    assert_same_outputs(network, params)


def test_halves_and_doubles(tmp_path: Path):
    network = randomise(TorchSiamFC())
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in network.state_dict().items()}
        torch.save(state, tmp_path / "net.pth")
        params, provenance = merge([tmp_path / "net.pth"])
        expected = state["backbone.conv2.0.weight"].float().numpy().transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(params.variables["params"]["siamfc"]["conv2"]["kernel"], expected)
        rounded = any("rounded from float64" in note for note in provenance["sources"][0]["notes"])
        assert rounded == (dtype == torch.float64)


def test_folding_is_exact_enough(tmp_path: Path):
    """The biases of conv1-4 in BN's means, as where a layout has no other place for them: within 1e-5 of each layer."""
    network = randomise(TorchSiamFC())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    params, _ = merge([tmp_path / "net.pth"])
    weight_port.export(tmp_path / "net.pth", tmp_path / "model.ckpt-0", "tf1")
    folded, _ = merge([tmp_path / "model.ckpt-0"])
    assert folded.contents == dataclasses.replace(params.contents, siamfc_bias=False)
    assert_same_outputs(network, folded)
