"""Augmentation of curated crops, on the batch and jitted: flip, stretch and shift, blur, grey, colour.

Each can be off, and is then not compiled at all; with all of them off an image is the exact middle of its crop.
"""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt8

from mfst_jax.backbones import LUMINANCE
from mfst_jax.crops import EXEMPLAR_SIZE, SEARCH_SIZE
from mfst_jax.fields import require
from mfst_jax.train.data.curation import CROP_SIZE, MARGIN

BLUR_TAPS = 3
"""Pixels on each side that a blur reaches."""

Images = Float[Array, "n side side 3"]


@dataclass(frozen=True)
class Augmentation:
    """Strength of each augmentation. Raises `InputError` where a crop has no room for it.

    Attributes:
      flip: Whether half of the pairs are flipped left to right, both images of a pair.
      stretch: Greatest relative change of each side of each image (SiamFC: 0.05).
      shift: Greatest shift of each image on each axis, in samples (SiamFC: 4). Labels stay.
      grey: Share of pairs seen in grey (SiamFC: 0.25).
      colour: Greatest relative change of each of an image's channels.
      blur: Greatest standard deviation of a Gaussian blur, in samples; each image has its own.
    """

    flip: bool = False
    stretch: float = 0.0
    shift: float = 0.0
    grey: float = 0.0
    colour: float = 0.0
    blur: float = 0.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            require(0 <= value <= 127, field.name, "0 or more", value)
        require(
            self.grey <= 1 and self.colour <= 1 and self.stretch < 1, "grey, colour, stretch", "at most 1", vars(self)
        )
        reach = (SEARCH_SIZE - 1) / 2 * self.stretch + self.shift
        require(reach <= MARGIN, "stretch and shift", f"a reach of at most {MARGIN} samples", reach)

    @property
    def active(self) -> bool:
        """Whether any augmentation is on."""
        return any(vars(self).values())


def augment(
    key: Key[Array, ""],
    exemplars: UInt8[Array | np.ndarray, "n 287 287 3"],
    searches: UInt8[Array | np.ndarray, "n 287 287 3"],
    by: Augmentation,
) -> tuple[Float[Array, "n 127 127 3"], Float[Array, "n 255 255 3"]]:
    """Exemplar and search images from the crops of a batch, RGB in 0..255.

    Args:
      key: of the random draws.
      exemplars: crops of the exemplars.
      searches: crops of the search regions.
      by: the augmentation.
    """
    count = len(exemplars)
    keys = dict(zip(vars(by), jax.random.split(key, len(vars(by))), strict=True))
    of_exemplars = _augment_one_of_each_pair(keys, exemplars, by, drawn=slice(count), side=EXEMPLAR_SIZE)
    return of_exemplars, _augment_one_of_each_pair(keys, searches, by, drawn=slice(count, None), side=SEARCH_SIZE)


def _augment_one_of_each_pair(
    keys: dict[str, Key[Array, ""]],
    crops: UInt8[Array | np.ndarray, "n 287 287 3"],
    by: Augmentation,
    *,
    drawn: slice,
    side: int,
) -> Images:
    """Middles of one crop of each pair, augmented.

    Args:
      keys: of the random draws, by the names of `by`.
      crops: the crops.
      by: the augmentation.
      drawn: which of the draws for the images of all pairs, first all exemplars, are those of these crops.
      side: of the middles, in pixels.
    """
    count = len(crops)

    def of_pairs(name: str, share: float) -> Array:
        return jax.random.bernoulli(keys[name], share, (count,))[:, None, None, None]

    def of_images(name: str, *shape: int, low: float = -1.0) -> Array:
        return jax.random.uniform(keys[name], (2 * count, *shape), minval=low)[drawn]

    flipped = of_pairs("flip", 0.5)[:, 0, 0, 0] if by.flip else None
    images = jnp.asarray(crops, jnp.float32)
    if by.stretch or by.shift or by.blur:
        scale = 1 + by.stretch * of_images("stretch", 2) if by.stretch else jnp.ones((count, 2))
        shift = by.shift * of_images("shift", 2) if by.shift else jnp.zeros((count, 2))
        deviations = by.blur * of_images("blur", low=0.0) if by.blur else None
        images = resample(images, scale, shift, side=side, flipped=flipped, deviations=deviations)
    else:
        margin = (CROP_SIZE - side) // 2
        images = images[:, margin:-margin, margin:-margin]
        if flipped is not None:
            images = jnp.where(jnp.expand_dims(flipped, (1, 2, 3)), images[:, :, ::-1], images)
    if by.grey:
        luminance = jnp.einsum("nhwc,c->nhw", images, jnp.asarray(LUMINANCE.ravel()))
        grey = jnp.broadcast_to(luminance[..., None], images.shape)
        images = jnp.where(of_pairs("grey", by.grey), grey, images)
    if by.colour:
        images = jnp.clip(images * (1 + by.colour * of_images("colour", 1, 1, 3)), 0, 255)
    return images


def resample(
    crops: Float[Array, "n 287 287 3"],
    scale: Float[Array, "n 2"],
    shift: Float[Array, "n 2"],
    *,
    side: int,
    flipped: Bool[Array, " n"] | None = None,
    deviations: Float[Array, " n"] | None = None,
) -> Float[Array, "n {side} {side} 3"]:
    """Middles of crops by bilinear interpolation.

    Both axes are matrix products, one matrix each for all that happens along it: gathering takes CPUs many times as
    long, and so does a blur by itself.

    Args:
      crops: the crops.
      scale: stretch (x, y) around the centre.
      shift: movement (x, y) in pixels, of what is stretched.
      side: of the middles, in pixels.
      flipped: which crops are flipped left to right before all else; None: none.
      deviations: standard deviation in pixels of a Gaussian blur of each, as the last thing; None: no blur.
    """
    reach = 0 if deviations is None else BLUR_TAPS
    cells = jnp.arange(-reach, side + reach).astype(jnp.float32)[None, None] - (side - 1) / 2
    # The sample at c comes from (c - shift) / scale.
    positions = (CROP_SIZE - 1) / 2 + (cells - shift[..., None]) / scale[..., None]
    along_crop = jnp.arange(CROP_SIZE).astype(jnp.float32)[None, None, None]
    distances = jnp.clip(positions, 0, CROP_SIZE - 1)[..., None] - along_crop
    shares = jnp.maximum(0, 1 - jnp.abs(distances))
    if deviations is not None:
        shares = _blur_rows(shares, deviations, side)
    across, down = shares[:, 0], shares[:, 1]
    if flipped is not None:
        across = jnp.where(flipped[:, None, None], across[..., ::-1], across)
    with jax.default_matmul_precision("highest"):
        tall = jnp.einsum("nij,njck->nick", down, jnp.swapaxes(crops, 2, 3))
        return jnp.swapaxes(jnp.einsum("nick,nlk->nicl", tall, across), 2, 3)


def _blur_rows(
    shares: Float[Array, "n 2 _ 287"], deviations: Float[Array, " n"], side: int
) -> Float[Array, "n 2 {side} 287"]:
    """Matrices of `resample` with their rows blurred by a Gaussian, which is cut off at 3 pixels."""
    taps = jnp.arange(-BLUR_TAPS, BLUR_TAPS + 1).astype(jnp.float32)
    weights = jnp.exp(-jnp.square(taps)[None] / (2 * jnp.square(deviations)[:, None] + 1e-6))
    weights = (weights / weights.sum(axis=1, keepdims=True))[:, :, None, None, None]
    rows = [weights[:, tap] * shares[:, :, tap : tap + side] for tap in range(2 * BLUR_TAPS + 1)]
    return jnp.asarray(sum(rows))
