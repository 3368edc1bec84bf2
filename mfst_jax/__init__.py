"""MFST, the Multi-Features Siamese Tracker, in pure JAX.

Public are the names in `__all__` and the modules in `MODULES`; all else may change at any time.
"""

# ruff: noqa: E402 - a bad release of JAX is refused before what it breaks, such as Flax, is imported.

from importlib import import_module
from types import ModuleType

from mfst_jax.jax_release import refuse_bad_release

refuse_bad_release()

from mfst_jax.checkpoints import load, save
from mfst_jax.config import Config
from mfst_jax.errors import InputError
from mfst_jax.fast import PreparedParams, prepare
from mfst_jax.multi import MultiTracker
from mfst_jax.params import Params
from mfst_jax.presets import ADAPTIVE, ADAPTIVE_ALEXNET, ADAPTIVE_CONV5, ALEXNET, AUTHORS, PAPER, REALTIME, SIAMFC
from mfst_jax.random_weights import random_params
from mfst_jax.state import Output, Result, State
from mfst_jax.streaming import Tracker, warmup
from mfst_jax.tracker import init, step, track
from mfst_jax.version import __version__

__all__ = [
    "ADAPTIVE",
    "ADAPTIVE_ALEXNET",
    "ADAPTIVE_CONV5",
    "ALEXNET",
    "AUTHORS",
    "PAPER",
    "REALTIME",
    "SIAMFC",
    "Config",
    "InputError",
    "MultiTracker",
    "Output",
    "Params",
    "PreparedParams",
    "Result",
    "State",
    "Tracker",
    "__version__",
    "init",
    "load",
    "prepare",
    "random_params",
    "save",
    "step",
    "track",
    "warmup",
]

MODULES = ("media", "tracks", "padding", "cache", "checkpoints", "page", "sequences", "evaluation")
"""Names of the public modules. Public in each is its `__all__`; it is imported when it is first asked for."""


def __dir__() -> list[str]:
    return sorted([*__all__, *MODULES])


def __getattr__(name: str) -> ModuleType:
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
