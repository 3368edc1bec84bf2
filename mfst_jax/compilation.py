"""Compilation: `jax.jit` with the compiler options that are best on this machine, chosen in one place."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

# XLA may send a CPU's float32 convolutions to YNNPACK, slow for these shapes. Only the empty string is accepted.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


def jit(function: Function, static_argnames: tuple[str, ...] = ()) -> Function:
    """`jax.jit(function)`, compiled with `compiler_options()` where the caller is not being traced itself.

    JAX takes compiler options at the outermost `jit` alone; inside the caller's own `jit`, `vmap`, `grad` or `scan`
    this is a plain `jax.jit`.
    """
    nested = jax.jit(function, static_argnames=static_argnames)

    @functools.cache
    def outermost() -> Callable[..., Any]:
        return jax.jit(function, static_argnames=static_argnames, compiler_options=compiler_options())

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (nested if is_traced((args, kwargs)) else outermost())(*args, **kwargs)

    return cast(Function, call)


def is_traced(tree: Any) -> bool:
    """Whether a JAX transformation is active: an array of `tree` is a tracer, or every new array would be one.

    It costs microseconds: no array is made to find out.
    """
    return _under_jit() or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _under_jit() -> bool:
    """Whether new arrays are tracers: inside `jit`, `scan`, `checkpoint` and the like, but not inside a bare `vmap`."""
    # JAX says so in this place alone, and makes no promise to keep it.
    known = getattr(jax.extend.core, "unsafe_am_i_under_a_jit_DO_NOT_USE", None)
    return known() if known is not None else isinstance(jnp.zeros(()), jax.core.Tracer)


@functools.cache
def compiler_options() -> dict[str, str] | None:
    """Compiler options for the default backend; None where there are none, or where this JAX does not know them."""
    if jax.default_backend() != "cpu":
        return None
    try:
        number = jax.ShapeDtypeStruct((), np.float32)
        jax.jit(lambda x: x + 1, compiler_options=CPU_OPTIONS).lower(number).compile()
    except jax.errors.JaxRuntimeError:  # the option is experimental and may go in any release
        return None
    return dict(CPU_OPTIONS)
