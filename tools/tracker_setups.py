"""Setups that `fuzz_tracker.py` tries: a configuration, weights and a frame's shape each, which are compiled once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal
from unittest import mock

import jax
import numpy as np
from jax import lax

import mfst_jax
from mfst_jax import InputError, stages
from mfst_jax.backbones import CHANNELS
from mfst_jax.config import COLDEST, LARGEST, MOST_CONTEXT, SMALLEST, WIDEST, Config
from mfst_jax.fast import AnyParams, PreparedParams, prepare_for
from mfst_jax.params import Contents
from mfst_jax.presets import ALEXNET, PRESETS, REALTIME

NARROW = dict.fromkeys(CHANNELS, (4, 8, 8, 8, 8))
"""Numbers of filters of the small random networks, by variant: a step takes a few milliseconds."""
SIZE = 48, 64
"""Height and width of most frames, padding included."""


@dataclass(frozen=True)
class Setup:
    """Setup of some cases.

    Attributes:
      name: What the setup is called.
      config: The configuration.
      kind: Whether one target is followed, several by `MultiTracker`, or several videos under `vmap`.
      weights: Small random networks, or the built-in weights.
      shape: Height and width of the frames, padding included.
      floats: Whether frames are float32.
      rounds: Whether operands of matrix products and convolutions are rounded to bfloat16, as accelerators do it by
        `precision="default"`.
      share: Weight of the setup among all, were a step equally long in all.
    """

    name: str
    config: Config
    kind: Literal["one", "several", "batch"] = "one"
    weights: Literal["narrow", "built-in"] = "narrow"
    shape: tuple[int, int] = SIZE
    floats: bool = False
    rounds: bool = False
    share: float = 1.0

    @property
    def cases(self) -> float:
        """Share of the cases: the more search regions a step has, the fewer."""
        return self.share / len(self.config.region_factors())


EXTREMES: dict[str, dict[str, Any]] = {
    "scale is kept": {"scale_min": 1.0, "scale_max": 1.0},
    "scale runs away": {"scale_step": 2.0, "scale_count": 5, "scale_damping": 1.0, "scale_min": 1e-3, "scale_max": 1e3},
    "tilt to growth": {"scale_tilt": 10.0, "scale_penalty": 1.0, "scale_step": 1.5, "scale_damping": 1.0},
    "tilt to shrinking": {"scale_tilt": -10.0, "scale_step": 1.5, "scale_damping": 1.0, "scale_search": "crops"},
    "no window, no context": {"window_influence": 0.0, "context": 0.0},
    "window alone, wide context": {"window_influence": 1.0, "context": 4.0},
    "soft peak": {"peak_temperature": 0.01, "fill": "first"},
    "hottest peak": {"peak_temperature": LARGEST},
    "coldest peak": {"peak_temperature": COLDEST},
    "least factors": {"alexnet_factors": (SMALLEST,) * 3, "alexnet_fusion": "hard"},
    "greatest factors": {"alexnet_factors": (LARGEST,) * 3, "alexnet_fusion": "soft_mean"},
    "greatest weights": {
        **{"alexnet_factors": (LARGEST,) * 3, "alexnet_weights": (LARGEST,) * 3, "alexnet_fusion": "hard"}
    },
    "steepest score": {"score_slope": LARGEST, "score_midpoint": -LARGEST},
    "greatest context": {"context": MOST_CONTEXT},
    "greatest growth": {
        **{"scale_step": WIDEST, "scale_damping": 1.0, "scale_min": 1e-6, "scale_max": 1e6, "scale_tilt": 2.0}
    },
    "corners": {"upsampling": "corners"},
    "always the centre": {"centre_search": 32.0, "score_midpoint": 0.0},
    "always a second look": {"second_look": 1.0, "score_slope": 1.0},
    "filters alone": {"filter_share": 1.0},
    "recent features alone": {"recent_share": 1.0, "scale_search": "features"},
    "filters and always a second look": {"filter_share": 0.5, "second_look": 1.0, "score_slope": 1.0},
}
"""Configurations at the ends of what `Config` takes, by how they differ from ALEXNET."""


def random_config(rng: np.random.Generator) -> Config:
    """Random configuration; each field is drawn from its range, ends included."""

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    def some(names: tuple[Any, ...]) -> tuple[Any, ...]:
        chosen = tuple(name for name in names if rng.random() < 0.6)
        return chosen or (pick(*names),)

    def triple(low: float, high: float) -> Any:
        return tuple(float(10 ** rng.uniform(low, high)) for _ in range(3))

    while True:
        try:
            return Config(
                models=some(("siamfc", "alexnet")),
                siamfc_layers=some(("conv3", "conv4", "conv5")),
                siamfc_fusion=pick("hard", "soft_mean", "soft"),
                siamfc_factors=triple(-12, 6),
                alexnet_layers=some(("conv3", "conv4", "conv5")),
                alexnet_fusion=pick("hard", "soft_mean", "soft"),
                alexnet_weights=triple(-6, 6),
                alexnet_factors=triple(-12, 6),
                model_fusion=pick("hard", "soft_mean", "soft"),
                se=pick(None, False),
                se_statistics=pick("exemplar", "each"),
                scale_search=pick("crops", "features"),
                scale_step=pick(1.0, 1.025, 1.2, 3.0),
                scale_count=pick(1, 1, 3, 5),
                scale_penalty=pick(1e-6, 0.5, 0.99, 1.0),
                scale_tilt=pick(-10.0, 0.0, 0.1, 10.0),
                scale_damping=pick(0.0, 0.59, 1.0),
                scale_min=pick(1e-6, 0.2, 1.0),
                scale_max=pick(1.0, 5.0, 1e6),
                centre_search=pick(0.0, 8.0, 32.0),
                second_look=pick(0.0, 0.5, 1.0),
                filter_share=pick(0.0, 0.0, 0.5, 1.0),
                recent_share=pick(0.0, 0.5, 1.0),
                window_influence=pick(0.0, 0.176, 1.0),
                peak_temperature=pick(0.0, 0.0, 1e-4, 0.01, 1e6),
                upsampling=pick("tf1", "corners", "half_pixel"),
                context=pick(0.0, 0.5, 10.0),
                fill=pick("frame", "first"),
                score_midpoint=pick(-1e6, 0.188, 1e6),
                score_slope=pick(1e-6, 22.5, 1e6),
            )
        except InputError:  # fields that do not go together
            continue


def setups(random_configs: int = 16) -> list[Setup]:
    """Setups of a campaign, so many of them with a random configuration."""
    found = [Setup(f"preset {name}", config, share=2) for name, config in PRESETS.items()]
    found += [Setup(name, replace(ALEXNET, **changes)) for name, changes in EXTREMES.items()]
    rng = np.random.default_rng(20)
    found += [Setup(f"random {number}", random_config(rng)) for number in range(random_configs)]
    for name, config in (("realtime", REALTIME), ("paper", PRESETS["paper"])):
        found += [Setup(f"float32 frames, {name}", config, floats=True, share=2)]
        found += [Setup(f"bfloat16, {name}", replace(config, precision="default"), rounds=True, share=2)]
        for shape in ((1, 1), (1, 61), (53, 1)):
            found += [Setup(f"frames of {shape[1]} x {shape[0]}, {name}", config, shape=shape, share=0.5)]
    one_region = replace(ALEXNET, centre_search=8.0)
    found += [Setup("several targets, realtime", REALTIME, kind="several", share=0.5)]
    found += [Setup("several videos under vmap, paper", PRESETS["paper"], kind="batch", share=0.5)]
    found += [Setup("several videos under vmap, realtime", REALTIME, kind="batch", share=0.5)]
    found += [Setup("built-in weights", one_region, weights="built-in", share=1)]
    return found


@cache
def weights_for(setup: Setup) -> AnyParams:
    """Prepared weights of a setup; random ones are the same each time."""
    if setup.weights == "built-in":
        return mfst_jax.prepare(mfst_jax.load(), setup.config)
    with mock.patch.dict(CHANNELS, NARROW):
        models = setup.config.models
        alexnet = "caffe" if setup.config == PRESETS["authors"] else "torchvision"
        contents = Contents("siamfc" in models, alexnet if "alexnet" in models else None)
        if setup.config.se is not False:
            contents = replace(contents, siamfc_se=contents.siamfc, alexnet_se=contents.alexnet is not None)
        return prepare_for(mfst_jax.random_params(contents, seed=1), setup.config, "quick")


@contextmanager
def rounding(setup: Setup) -> Iterator[None]:
    """Within the block a step that is compiled rounds to bfloat16, where the setup does."""
    if not setup.rounds:
        yield
        return
    with mock.patch.object(stages, "search_frame", partial(_rounded, stages.search_frame)):
        yield


def _rounded(function: Callable[..., Any], params: PreparedParams, state: Any, **options: Any) -> Any:
    """Result of a function of arrays whose matrix products and convolutions see operands rounded to bfloat16."""
    trees = []
    leaves, tree = jax.tree.flatten((params, state, options.pop("frame")))

    def of_leaves(leaves: list[Any]) -> list[Any]:
        params, state, frame = jax.tree.unflatten(tree, leaves)
        result = function(params, state, frame=frame, **options)
        trees.append(jax.tree.structure(result))
        return jax.tree.leaves(result)

    traced = jax.make_jaxpr(of_leaves)(leaves)
    return jax.tree.unflatten(trees[0], _evaluate(traced, leaves))


def _evaluate(closed: Any, arguments: list[Any]) -> list[Any]:
    """Results of a traced function, with rounded operands."""
    values = dict(zip(closed.jaxpr.invars, arguments, strict=True))
    values |= dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if hasattr(variable, "val") else values[variable]

    for equation in closed.jaxpr.eqns:
        found = [read(variable) for variable in equation.invars]
        match equation.primitive.name:
            case "dot_general" | "conv_general_dilated":
                found = [lax.reduce_precision(each, 8, 7) for each in found]
                results = equation.primitive.bind(*found, **equation.params)
            case "jit" | "pjit":
                results = _evaluate(equation.params["jaxpr"], found)
            case "cond":
                branches = [partial(_branch, branch) for branch in equation.params["branches"]]
                results = lax.switch(found[0], branches, *found[1:])
            case _:
                bound = equation.primitive.get_bind_params(equation.params)
                subfuns, bound = bound if isinstance(bound, tuple) else ((), bound)  # older JAX
                results = equation.primitive.bind(*subfuns, *found, **bound)
        results = results if equation.primitive.multiple_results or isinstance(results, list) else [results]
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in closed.jaxpr.outvars]


def _branch(closed: Any, *arguments: Any) -> list[Any]:
    return _evaluate(closed, list(arguments))
