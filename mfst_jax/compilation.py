"""Compilation: `jax.jit` with the compiler options that are best on this machine, chosen in one place."""

import functools
import os
import threading
from collections.abc import Callable, Collection, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

Options = dict[str, str | bool | int | float]

# XLA may send a CPU's float32 convolutions to YNNPACK, slow for these shapes. Only the empty string is accepted.
NO_YNNPACK: Options = {"xla_cpu_experimental_ynn_fusion_type": ""}
LEVEL = "xla_backend_optimization_level"
"""XLA option for how hard LLVM tries. Level 1 compiles sooner than the highest, XLA's default; steps are as fast."""
USUAL: Options = {LEVEL: 1}
QUICK: Options = {LEVEL: 0, "xla_cpu_use_fusion_emitters": False}
"""Options that compile a step on the library's convolutions in a quarter of the time, for steps half as fast."""

_quick: ContextVar[bool] = ContextVar("quick", default=False)


def jit(function: Callable[..., Any], static_argnames: Collection[str] = ()) -> "Program":
    """`Program` of a function, which stands in the place of `jax.jit(function)`.

    It is compiled with `compiler_options()` where the caller is not being traced itself. JAX takes compiler options at
    the outermost `jit` alone; inside the caller's own `jit`, `vmap`, `grad` or `scan` this is a plain `jax.jit`.

    Args:
      function: the function.
      static_argnames: names of arguments that are no arrays; they are passed by keyword.
    """
    return Program(function, static_argnames)


class Program:
    """Function compiled as `jit` describes it, which can also be traced and compiled before it is called."""

    def __init__(self, function: Callable[..., Any], static_argnames: Collection[str] = ()):
        def flat(leaves: list[Any], tree: Any, static: tuple[tuple[str, Any], ...]) -> Any:
            args, kwargs = jax.tree.unflatten(tree, leaves)
            return function(*args, **kwargs, **dict(static))

        flat.__name__ = function.__name__
        functools.update_wrapper(self, function)
        self._static = frozenset(static_argnames)
        self._nested = jax.jit(function, static_argnames=tuple(static_argnames))
        self._asked: set[Any] = set()
        self._ready: set[Any] = set()
        self._locks: dict[Any, Any] = {}

        @functools.cache
        def outermost(quick: bool) -> Any:
            # Of leaves alone: JAX would put descriptions of arrays into trees whose classes are made for arrays.
            options = compiler_options(quick=quick)
            return jax.jit(flat, static_argnames=("tree", "static"), compiler_options=options)

        self._jitted = outermost

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Result of the function, compiled at the outermost call."""
        leaves, rest = self._flatten(args, kwargs)
        if _sees_tracers(leaves):
            return self._nested(*args, **kwargs)
        with self._compiling_alone(_key(leaves, rest)):
            return self._outermost()(leaves, **rest)

    def is_new(self, *args: Any, **kwargs: Any) -> bool:
        """Whether this is the first time that it is asked about arguments of these shapes and types."""
        key = _key(*self._flatten(args, kwargs))
        is_new = key not in self._asked
        self._asked.add(key)
        return is_new

    def compile(self, *args: Any, **kwargs: Any) -> Any:
        """Compiles the function, so that its first call with arguments like these finds the program.

        Returns:
          What JAX compiled (`jax.stages.Compiled`), which tells its memory.
        """
        with self._compiling_alone(_key(*self._flatten(args, kwargs))):
            return self._traced(args, kwargs).lower().compile()

    def zeros(self, *args: Any, **kwargs: Any) -> Any:
        """Zeros of the shapes and types that the function returns; it is traced, and nothing is computed.

        They are committed to where its results will be, as far as that is known without compiling it: where all
        committed arguments have one sharding, by which each device has all of them.
        """
        traced = self._traced(args, kwargs)
        where = _common_sharding(jax.tree.leaves((args, kwargs)))
        leaves = [jax.device_put(np.zeros(leaf.shape, leaf.dtype), where) for leaf in traced.jaxpr.out_avals]
        return jax.tree.unflatten(traced.lower().out_tree, leaves)

    @contextmanager
    def compiled_beside(self, *args: Any, **kwargs: Any) -> Generator[None]:
        """Compiles the function on a thread of its own while the block runs.

        Its first call with arguments like these then finds the program. If it cannot be compiled, that call raises the
        error. Leaving the block waits for the compiler.
        """
        lowered = self._traced(args, kwargs).lower()
        key = _key(*self._flatten(args, kwargs))

        def compile() -> None:
            with self._compiling_alone(key):
                lowered.compile()

        with ThreadPoolExecutor(1, "compiling") as thread:
            thread.submit(compile)
            yield

    @contextmanager
    def _compiling_alone(self, key: Any) -> Generator[None]:
        """Keeps other threads waiting that need the same program, until it is compiled; JAX would compile it for each.

        A program that is ready makes nobody wait.
        """
        lock = self._locks.setdefault(key, threading.RLock())
        with ExitStack() as stack:
            if key not in self._ready:
                stack.enter_context(lock)
            if key in self._ready:  # by now
                stack.close()
            yield
            self._ready.add(key)

    def _traced(self, args: Any, kwargs: Any) -> Any:
        leaves, rest = self._flatten(args, kwargs)
        return self._outermost().trace(leaves, **rest)

    def _flatten(self, args: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arrays among the arguments, and what is static: the tree that they are of, and the static arguments."""
        arrays = {name: value for name, value in kwargs.items() if name not in self._static}
        leaves, tree = jax.tree.flatten((args, arrays))
        static = tuple((name, kwargs[name]) for name in sorted(self._static & kwargs.keys()))
        return leaves, {"tree": tree, "static": static}

    def _outermost(self) -> Any:
        return self._jitted(_quick.get())


def _key(leaves: list[Any], static: dict[str, Any]) -> Any:
    """What a compiled program depends on: equal for calls that share one."""
    types = ((getattr(leaf, "shape", ()), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)
    return _quick.get(), *static.values(), tuple(types)


def _common_sharding(leaves: list[Any]) -> jax.sharding.Sharding | None:
    """Sharding of the committed arrays among `leaves`, if they all have it and are whole on each device; else None."""
    found = {leaf.sharding for leaf in leaves if isinstance(leaf, jax.Array) and leaf.committed}
    common = found.pop() if len(found) == 1 else None
    return common if common is not None and common.is_fully_replicated else None


@contextmanager
def quickly() -> Generator[None]:
    """Makes every `Program` of the block compile sooner and run slower, as a program of its own.

    That is for CPUs; it makes no difference to accelerators.
    """
    token = _quick.set(True)
    try:
        yield
    finally:
        _quick.reset(token)


def is_traced(tree: Any) -> bool:
    """Whether a JAX transformation is active: an array of `tree` is a tracer, or every new array would be one.

    It costs microseconds: no array is made to find out.
    """
    return _sees_tracers(jax.tree.leaves(tree))


def is_mapped(array: Any) -> bool:
    """Whether `vmap` maps over an array, as far as that can be seen: not from within a `jit` or `grad` inside it."""
    return isinstance(array, jax.core.Tracer) and getattr(array, "batch_dim", None) is not None


def _sees_tracers(leaves: list[Any]) -> bool:
    return _under_jit() or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def _under_jit() -> bool:
    """Whether new arrays are tracers: inside `jit`, `scan`, `checkpoint` and the like, but not inside a bare `vmap`."""
    # JAX says so in this place alone, and makes no promise to keep it.
    known = getattr(jax.extend.core, "unsafe_am_i_under_a_jit_DO_NOT_USE", None)
    return known() if known is not None else isinstance(jnp.zeros(()), jax.core.Tracer)


@functools.cache
def compiler_options(*, quick: bool = False, thorough: bool = False) -> Options | None:
    """Compiler options for the default backend; None where there are none, or where this JAX does not know them.

    Args:
      quick: for programs that are to be compiled soon rather than to run fast.
      thorough: for programs that run for so long that compiling them is nothing.
    """
    if jax.default_backend() != "cpu":
        return None
    wanted = dict(NO_YNNPACK)
    if quick:
        wanted |= QUICK
    elif not thorough and LEVEL not in os.environ.get("XLA_FLAGS", ""):
        wanted |= USUAL
    if not _are_known(wanted):
        wanted = {name: value for name, value in wanted.items() if _are_known({name: value})}
    return wanted or None


def _are_known(options: Options) -> bool:
    """Whether this JAX takes the options, of which experimental ones may go in any release."""
    try:
        number = jax.ShapeDtypeStruct((), np.float32)
        jax.jit(lambda x: x + 1, compiler_options=options).lower(number).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
