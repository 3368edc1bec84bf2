"""MFST, the Multi-Features Siamese Tracker, in pure JAX."""

from mfst_jax.checkpoints import load, save
from mfst_jax.config import ALEXNET, AUTHORS, PAPER, REALTIME, SIAMFC, Config
from mfst_jax.errors import InputError
from mfst_jax.fast import PreparedParams, prepare
from mfst_jax.multi import MultiTracker
from mfst_jax.params import Params
from mfst_jax.random_weights import random_params
from mfst_jax.state import Output, Result, State
from mfst_jax.streaming import Tracker, warmup
from mfst_jax.tracker import init, step, track
from mfst_jax.version import __version__

__all__ = [
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
