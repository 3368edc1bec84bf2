"""MFST in PyTorch, written from the paper and from what its authors' code does: the reference of parity and speed.

Images and maps are NCHW; frames are [H, W, 3] uint8. The library lends its settings alone: `Config`, `Contents`.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfst_jax.config import LAYERS, Config, Layer, Model, Strategy, Upsampling
from mfst_jax.params import Contents, Params

Maps = dict[Model, dict[Layer, Tensor]]


class SiamFC(nn.Module):
    """S. conv5 is raw; everything before it has BN and ReLU."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 96, 11, stride=2, bias=False), nn.BatchNorm2d(96, eps=1e-6)
        self.conv2, self.bn2 = nn.Conv2d(96, 256, 5, groups=2, bias=False), nn.BatchNorm2d(256, eps=1e-6)
        self.conv3, self.bn3 = nn.Conv2d(256, 384, 3, bias=False), nn.BatchNorm2d(384, eps=1e-6)
        self.conv4, self.bn4 = nn.Conv2d(384, 384, 3, groups=2, bias=False), nn.BatchNorm2d(384, eps=1e-6)
        self.conv5 = nn.Conv2d(384, 256, 3, groups=2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 3, 2)
        conv3 = F.relu(self.bn3(self.conv3(x)))
        conv4 = F.relu(self.bn4(self.conv4(conv3)))
        return {"conv3": conv3, "conv4": conv4, "conv5": self.conv5(conv4)}


class AlexNet(nn.Module):
    """A without padding and with conv1 at stride 2, as torchvision's layers or as Caffe's; as S, conv5 is raw."""

    def __init__(self, variant: str, last_relu: bool = True):
        super().__init__()
        self.last_relu = last_relu
        widths, groups = ((96, 256, 384, 384, 256), 2) if variant == "caffe" else ((64, 192, 384, 256, 256), 1)
        self.caffe = variant == "caffe"
        self.conv1 = nn.Conv2d(3, widths[0], 11, stride=2)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 5, groups=groups)
        self.conv3 = nn.Conv2d(widths[1], widths[2], 3)
        self.conv4 = nn.Conv2d(widths[2], widths[3], 3, groups=groups)
        self.conv5 = nn.Conv2d(widths[3], widths[4], 3, groups=groups)
        # PyTorch divides alpha by the size, Caffe's 1e-4 over 5 channels is TensorFlow's 2e-5.
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0) if self.caffe else nn.Identity()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = images if self.caffe else (images / 255 - self.mean) / self.std
        x = F.max_pool2d(self.norm(F.relu(self.conv1(x))), 3, 2)
        x = F.max_pool2d(self.norm(F.relu(self.conv2(x))), 3, 2)
        conv3 = F.relu(self.conv3(x))
        conv4 = F.relu(self.conv4(conv3))
        conv5 = self.conv5(conv4)
        return {"conv3": conv3, "conv4": conv4, "conv5": F.relu(conv5) if self.last_relu else conv5}


class SEBlock(nn.Module):
    """Features -> one weight a channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, channels // 4), nn.Linear(channels // 4, channels)

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.excite(F.relu(self.squeeze(features.mean(dim=(2, 3))))))[:, :, None, None]


@dataclasses.dataclass
class Track:
    """What a track remembers."""

    exemplar: Maps
    shared: Maps  # SE weights taken from the exemplar
    centre: Tensor  # (x, y)
    size: Tensor  # (w, h) in the first frame
    scale: Tensor
    fill: Tensor


class MFST(nn.Module):
    """The network and the tracker around it, with the weights of `params` where they are given."""

    def __init__(self, contents: Contents, config: Config, params: Params | None = None):
        super().__init__()
        self.config = config
        self.backbones, self.se = nn.ModuleDict(), nn.ModuleDict()
        for model in config.models:
            if model == "alexnet":
                backbone: Any = AlexNet(str(contents.alexnet))
            else:
                backbone = SiamFC() if contents.siamfc_variant == "siamfc" else AlexNet("torchvision", last_relu=False)
            self.backbones[model] = backbone
            has_se = contents.siamfc_se if model == "siamfc" else contents.alexnet_se
            if has_se and config.se is not False:
                sizes = {layer: getattr(backbone, layer).out_channels for layer in LAYERS}
                self.se[model] = nn.ModuleDict({layer: SEBlock(size) for layer, size in sizes.items()})
        if params is not None:
            load(self, params)
        if config.upsampling == "tf1":
            self.register_buffer("table", tf1_weights(), persistent=False)
        window = torch.hann_window(272, periodic=False, dtype=torch.float64)
        window = window[:, None] * window
        self.register_buffer("window", (window / window.sum()).float(), persistent=False)
        self.eval()

    def features(self, images: Tensor) -> Maps:
        found: Maps = {}
        for model in self.config.models:
            layers = self.backbones[model](images)
            found[model] = {layer: layers[layer] for layer in self.config.layers(model)}
        return found

    def channel_weights(self, features: Maps) -> Maps:
        weights: Maps = {}
        for model, layers in features.items():
            if model in self.se:
                blocks: Any = self.se[model]
                weights[model] = {layer: blocks[layer](maps) for layer, maps in layers.items()}
        return weights

    def exemplar(self, image: Tensor) -> tuple[Maps, Maps]:
        """Recalibrated features of a [1, 3, 127, 127] image, and the channel weights that search regions share."""
        features = self.features(image)
        weights = self.channel_weights(features)
        return recalibrate(features, weights), weights if self.config.se_statistics == "exemplar" else {}

    def responses(self, exemplar: Maps, shared: Maps, search: Maps) -> Maps:
        search = recalibrate(search, shared or self.channel_weights(search))
        return {
            model: {
                layer: factor * F.conv2d(maps, exemplar[model][layer]).reshape(-1, 1, 17, 17)
                for (layer, maps), factor in zip(layers.items(), self.config.factors(model), strict=True)
            }
            for model, layers in search.items()
        }

    def init(self, frame: Tensor, box: Tensor) -> Track:
        centre, size = box[:2] + (box[2:] - 1) / 2, box[2:]
        fill = frame.float().mean(dim=(0, 1))
        regions = crops(frame, centre, self.search_side(size)[None], fill)
        exemplar, shared = self.exemplar(regions[:, :, 64:191, 64:191])
        return Track(exemplar, shared, centre, size, torch.ones(()), fill)

    def step(self, track: Track, frame: Tensor) -> tuple[Track, Tensor, Tensor]:
        """The next state, the box, and the fused map of the chosen scale."""
        config = self.config
        reach = config.scale_count // 2
        factors = torch.tensor([config.scale_step**i for i in range(-reach, reach + 1)])
        sides = torch.tensor(config.region_factors()) * track.scale * self.search_side(track.size)
        fill = frame.float().mean(dim=(0, 1)) if config.fill == "frame" else track.fill
        search = self.features(crops(frame, track.centre, sides, fill))
        responses = self.responses(track.exemplar, track.shared, search)

        fused = []
        for model, layers in responses.items():
            maps = [self.upsample(response, config.upsampling) for response in layers.values()]
            fused.append(fuse(maps, config.fusion(model), config.weights(model)))
        final = fuse(fused, config.model_fusion, config.model_weights) if len(fused) > 1 else fused[0]

        peaks = final.amax(dim=(1, 2, 3))
        best = int(self.as_scales_count(peaks, factors).argmax()) if len(final) > 1 else 0
        response = final[best, 0]
        windowed = response - response.min()
        windowed = (1 - config.window_influence) * windowed / windowed.sum() + config.window_influence * self.window

        row, column = divmod(int(windowed.argmax()), 272)
        samples_a_cell = 271 / 16 if config.upsampling == "corners" else 16
        cells = ((torch.tensor([float(column), float(row)]) - 135.5) / samples_a_cell).clamp(-8, 8)
        if config.scale_search == "features":
            best = self.growth(track, search, cells, factors)
        centre = track.centre + cells * 8 / (255 / sides.expand(len(factors))[best])
        scale = track.scale * ((1 - config.scale_damping) + config.scale_damping * factors[best])
        scale = scale.clamp(config.scale_min, config.scale_max)
        size = track.size * scale
        box = torch.cat([centre - (size - 1) / 2, size])
        return dataclasses.replace(track, centre=centre, scale=scale), box, response

    def growth(self, track: Track, search: Maps, cells: Tensor, factors: Tensor) -> int:
        """Which factor the features around the peak, `cells` (x, y) from the centre, look grown by."""
        search = recalibrate(search, track.shared or self.channel_weights(search))
        similarities = []
        for model, layers in search.items():
            for layer, maps in layers.items():
                target = track.exemplar[model][layer]
                steps = torch.arange(target.shape[-1]) - (target.shape[-1] - 1) / 2
                places = (cells[:, None, None] + factors[:, None] * steps) / ((maps.shape[-1] - 1) / 2)
                xs, ys = places
                grid = torch.stack(torch.broadcast_tensors(xs[:, None, :], ys[:, :, None]), dim=-1)
                windows = F.grid_sample(
                    maps.expand(len(factors), -1, -1, -1), grid, padding_mode="border", align_corners=True
                )
                similarities.append(F.cosine_similarity(windows.flatten(1), target.flatten(1)))
        mean = torch.stack(similarities).mean(dim=0)
        return int(self.as_scales_count(mean, factors).argmax())

    def as_scales_count(self, values: Tensor, factors: Tensor) -> Tensor:
        """Of each scale: penalised, but for the middle one, and tilted."""
        is_middle = torch.arange(len(factors)) == len(factors) // 2
        penalised = torch.where(is_middle, values, values * self.config.scale_penalty)
        return penalised * factors**self.config.scale_tilt

    def search_side(self, size: Tensor) -> Tensor:
        width, height = size
        padding = self.config.context * (width + height)
        return torch.sqrt((width + padding) * (height + padding)) * 255 / 127

    def upsample(self, response: Tensor, geometry: Upsampling) -> Tensor:
        """[n, 1, 17, 17] -> [n, 1, 272, 272]."""
        if geometry == "tf1":
            return self.table @ response @ self.table.T
        return F.interpolate(response, size=(272, 272), mode="bicubic", align_corners=geometry == "corners")


def recalibrate(features: Maps, weights: Maps) -> Maps:
    return {m: {layer: maps * weights[m][layer] if m in weights else maps for layer, maps in layers.items()}
            for m, layers in features.items()}  # fmt: skip


def crops(frame: Tensor, centre: Tensor, sides: Tensor, fill: Tensor) -> Tensor:
    """[n, 3, 255, 255]: one square a side around `centre`, sampled bilinearly from end to end."""
    height, width, _ = frame.shape
    steps = torch.linspace(-0.5, 0.5, 255)
    xs, ys = (centre[axis] + steps * (sides[:, None] - 1) for axis in (0, 1))
    grid = torch.stack(torch.broadcast_tensors(
        2 * xs[:, None, :] / (width - 1) - 1, 2 * ys[:, :, None] / (height - 1) - 1), dim=-1)  # fmt: skip
    image = frame.permute(2, 0, 1).float().expand(len(sides), -1, -1, -1)
    sampled = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
    x_inside, y_inside = (xs >= 0) & (xs <= width - 1), (ys >= 0) & (ys <= height - 1)
    inside = x_inside[:, None, None, :] & y_inside[:, None, :, None]
    return torch.where(inside, sampled, fill[:, None, None])


def fuse(maps: list[Tensor], strategy: Strategy, weights: tuple[float, ...]) -> Tensor:
    """Weighted sum of maps, each divided by its maximum over scales and positions in the soft strategies."""
    total = torch.zeros_like(maps[0])
    for response, weight in zip(maps, weights, strict=True):
        share = 1.0 if strategy == "soft_mean" else weight
        total = total + share * (response if strategy == "hard" else response / response.max())
    return total


def balanced_logistic(responses: Tensor, positive: Tensor) -> Tensor:
    """Logistic loss of each response map [..., h, w]: cells on the target, and those beside it, weigh one half."""
    share = torch.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    return (share * F.softplus(torch.where(positive, -responses, responses))).sum(dim=(-2, -1))


def tf1_weights() -> Tensor:
    """[272, 17]: TensorFlow 1's corners-aligned bicubic weights, from its table of 1024 fractions a cell."""
    weights = torch.zeros(272, 17, dtype=torch.float64)
    for sample in range(272):
        position = torch.tensor(float(sample)) * torch.tensor(16 / 271)  # in float32, as TensorFlow does
        first = math.floor(position)
        t = round(float((position - first) * 1024)) / 1024  # round() takes ties to even
        taps = (-0.75 * t * (1 - t) ** 2, 1.25 * t**3 - 2.25 * t**2 + 1)
        taps = (*taps, -1.25 * t**3 + 1.5 * t**2 + 0.75 * t, -0.75 * t**2 * (1 - t))
        for offset, weight in enumerate(taps):
            weights[sample, min(max(first + offset - 1, 0), 16)] += weight
    return weights.float()


def load(network: MFST, params: Params) -> None:
    """Fills every weight of `network` from the Flax variables of `params`."""

    def tensor(array) -> Tensor:
        return torch.from_numpy(np.array(array))

    filled = {}
    for model in network.backbones:
        for name, leaves in params.variables["params"][model].items():
            here = f"backbones.{model}.{name}"
            if name.startswith("bn"):
                statistics = params.variables["batch_stats"][model][name]
                filled[f"{here}.weight"], filled[f"{here}.bias"] = tensor(leaves["scale"]), tensor(leaves["bias"])
                filled[f"{here}.running_mean"] = tensor(statistics["mean"])
                filled[f"{here}.running_var"] = tensor(statistics["var"])
                filled[f"{here}.num_batches_tracked"] = torch.tensor(0)
                continue
            filled[f"{here}.weight"] = tensor(leaves["kernel"]).permute(3, 2, 0, 1)  # HWIO -> OIHW
            if "bias" in leaves:
                filled[f"{here}.bias"] = tensor(leaves["bias"])
    for model in network.se:
        for layer, block in params.variables["params"][f"{model}_se"].items():
            for name, dense in block.items():
                filled[f"se.{model}.{layer}.{name}.weight"] = tensor(dense["kernel"]).T
                filled[f"se.{model}.{layer}.{name}.bias"] = tensor(dense["bias"])
    network.load_state_dict(filled)
