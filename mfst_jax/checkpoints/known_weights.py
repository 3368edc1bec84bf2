"""Known weights: sets that have a name, what each holds, where it comes from, and where it lies on this machine.

A set comes with the package, or `mfst weights get NAME` puts it together from files that others have published and
keeps it in the user's cache. Nothing here downloads anything. A new set is one more entry of `KNOWN`, and one of
`PUBLISHED` for each of its files that is not there yet.
"""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from mfst_jax.cache import CACHE_VARIABLE, cache_folder
from mfst_jax.errors import InputError
from mfst_jax.params import Contents


@dataclass(frozen=True)
class Published:
    """File of weights that others have published.

    Attributes:
      url: Address that it is published at.
      about: Description in words.
      terms: What its authors let others do with it, as far as they say.
      sha256: SHA-256 of the file; None where nobody has published one.
      size: Size in bytes; None where it is not known.
    """

    url: str
    about: str
    terms: str
    sha256: str | None
    size: int | None = None

    @property
    def name(self) -> str:
        """Name of the file on disk: the last part of the address."""
        return self.url.rsplit("/", 1)[1]


_OXFORD = "https://www.robots.ox.ac.uk/~luca/stuff/siam-fc_nets"
_SIAMFC_TERMS = "no licence of its own; its authors' code is under the MIT licence"
PUBLISHED = {
    "siamfc": Published(
        f"{_OXFORD}/2016-08-17.net.mat", "SiamFC-3s in colour, by its authors (MatConvNet)", _SIAMFC_TERMS, None
    ),
    "siamfc-grey": Published(
        f"{_OXFORD}/2016-08-17_gray025.net.mat",
        "SiamFC-3s trained with a quarter in grey, by its authors (MatConvNet)",
        _SIAMFC_TERMS,
        None,
    ),
    "alexnet": Published(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "torchvision's AlexNet, trained on ImageNet (PyTorch)",
        "BSD-3-Clause; trained on ImageNet, whose terms may apply too",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
    ),
    "alexnet-caffe": Published(
        "https://www.cs.toronto.edu/~guerzhoy/tf_alexnet/bvlc_alexnet.npy",
        "Caffe's AlexNet, trained on ImageNet, as the authors of MFST have it (NumPy)",
        "unrestricted use; trained on ImageNet, whose terms may apply too",
        "1294ef51496c52f2e4879ee3b5e1da22c35d61f3240937491b4469403d5428cc",
    ),
}
"""Published files by the words that `weight_port fetch` takes."""


@dataclass(frozen=True)
class WeightSet:
    """Set of weights with a name.

    Attributes:
      about: Description in words.
      contents: Contents of the weights once loaded, with the SE-blocks that come with this package.
      sources: Files that it is put together from, as keys of `PUBLISHED`; none for a set that comes with the package.
      packaged: File of a set that comes with the package; None for any other.
      terms: What is to be known of its terms beside those of published files.
    """

    about: str
    contents: Contents
    sources: tuple[str, ...] = ()
    packaged: Path | None = None
    terms: str = ""


KNOWN = {
    "builtin": WeightSet(
        "A (torchvision's AlexNet) and an S that was trained here beside it, rounded to float16",
        Contents(siamfc=True, alexnet="torchvision", siamfc_variant="alexnet"),
        packaged=Path(__file__).parents[1] / "weights" / "builtin.safetensors",
        terms="S was trained further here, on videos of which DAVIS's are under CC BY-NC 4.0 "
        "(mfst_jax/weights/README.md)",
    ),
    "paper": WeightSet(
        "both backbones of the paper, S (SiamFC-3s) and A (torchvision's AlexNet), and SE-blocks trained here",
        Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True),
        sources=("siamfc", "alexnet"),
    ),
}
"""Known sets by name; `builtin` is the default."""


def find(name: str) -> WeightSet:
    """Set of weights of this name. Raises `InputError`, which suggests a similar name, where there is none."""
    if name not in KNOWN:
        raise InputError(f"weights {name!r}: expected one of {', '.join(KNOWN)}, found no such name{_meant(name)}")
    return KNOWN[name]


def place(name: str) -> Path:
    """Path of a known set of weights, whether it is there or not: in the package, or a safetensors file in the cache.

    Raises:
      InputError: there is no such name, or no cache folder.
    """
    return find(name).packaged or weights_folder() / f"{name}.safetensors"


def weights_folder() -> Path:
    """Folder of the cache for sets of weights, whether it is there or not.

    Raises:
      InputError: there is no cache folder.
    """
    try:
        return cache_folder() / "weights"
    except RuntimeError:
        raise InputError(f"cache: expected a home folder, or the variable {CACHE_VARIABLE}, found neither") from None


def downloads_folder() -> Path:
    """Folder of the cache for published files until their set is put together.

    Raises:
      InputError: there is no cache folder.
    """
    return weights_folder() / "downloads"


def locate(weights: str | Path | None) -> Path:
    """Path of weights that are given by path or by name.

    Text with a slash is a path. Any other is a path where something is there, else a name. None is `builtin`.

    Raises:
      InputError: a name that is not known, or whose set is not in the cache yet: the message has the command that gets
        it.
    """
    if weights is None:
        return place("builtin")
    name = _as_name(weights)
    if name is None or _exists(name) or (name not in KNOWN and Path(name).suffix):
        return Path(weights)
    if name not in KNOWN:
        raise InputError(f"weights {name!r}: expected a path or one of {', '.join(KNOWN)}, found neither{_meant(name)}")
    path = place(name)
    if not path.exists():
        raise InputError(
            f"weights {name!r}: expected them at {path}, found nothing there; download them: mfst weights get {name}"
        )
    return path


def is_shadowed(weights: str | Path | None) -> bool:
    """Whether weights given by a known name are a path, since the current folder has something of that name."""
    name = _as_name(weights)
    return name in KNOWN and _exists(name)


def remedy(weights: str | Path | None) -> str:
    """Advice to add to the reason why these weights do not load; empty where there is none."""
    name = _as_name(weights)
    if name not in KNOWN:
        return ""
    if is_shadowed(weights):
        return f"; a path goes before a name: the weights called {name!r} belong at {place(name)}"
    return f"; download them again: mfst weights get {name}" if KNOWN[name].sources else ""


def _as_name(weights: str | Path | None) -> str | None:
    """Text that may be a name; None for what cannot be one."""
    text = "" if weights is None else str(weights)
    return None if not text or any(mark and mark in text for mark in (os.sep, os.altsep)) else text


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # too long for a file name
        return False


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), KNOWN, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
