"""Mutation testing: do tests notice when a module is changed? `python tools/mutation.py [NAME ...] [--list]`.

Each mutant is a module with one small change: `+` for `-`, `<=` for `<`, another number or string, a condition turned
round, an entry of a table left out. It is killed if a test of the module fails. Starting JAX anew for each would take
longer than the tests, so every mutant runs in a fork of a process that has imported everything but our own packages,
and what is compiled is kept from one to the next. How to read what survives: CONTRIBUTING.md.
"""

import argparse
import ast
import copy
import importlib.machinery
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Target:
    """Module to change, and the tests that should notice.

    Attributes:
      module: Name of the module.
      tests: What pytest is given.
      shared: Our own packages that do without the module: they need not be imported anew for each mutant.
    """

    module: str
    tests: tuple[str, ...]
    shared: tuple[str, ...] = ()


OF_TRACKER = (
    "tests/test_tracker_input.py::test_a_track_begins_with_a_box_or_goes_on_from_a_state",
    "tests/test_tracker.py::test_a_video_in_chunks_is_the_same_track",
    "tests/test_tracker.py::test_track_equals_a_loop_of_steps_and_a_scan",
    "tests/test_tracker_compilations.py",
    "tests/test_transformations.py::test_one_argument_that_is_mapped_makes_a_video_one_scan",
    "tests/test_transformations.py::test_frames_stay_on_their_device",
)
BY_HAND = (  # the others track
    "layers_are_alexnets_and_are_padded_to_sides_with_small_factors",
    "a_filters_response_is_that_of_a_dense_solution",
    "between_cells_a_map_is_met_as_cubic_interpolation_has_it",
    "cells_have_about_one_norm_by_hand",
    "the_share_of_the_filters_by_hand",
    "a_filter_that_finds_less_than_it_has_learned_counts_less",
    "a_template_is_a_running_mean_of_maps_with_the_target_at_their_centre",
    "maps_have_cells_of_one_norm_and_channels_of_mean_zero_and_zero_maps_stay",
    "a_filter_answers_where_the_target_has_moved",
    "a_filter_tells_the_target_from_what_lay_around_it_in_the_first_frame",
)
OF_CORRELATION_FILTER = tuple(f"tests/test_correlation_filter.py::test_{name}" for name in BY_HAND)
OF_SECOND_LOOK = (
    "tests/test_second_look_regions.py",
    "tests/test_second_look.py::test_a_value_of_any_track_is_a_batchs",
)
TARGETS = {
    "fusion": Target("mfst_jax.fusion", ("tests/test_fusion.py",)),
    "crops": Target("mfst_jax.crops", ("tests/test_crops.py",)),
    "localisation": Target("mfst_jax.localisation", ("tests/test_localisation.py",)),
    "scale_from_features": Target("mfst_jax.scale_from_features", ("tests/test_scale_from_features.py",)),
    "correlation_filter": Target("mfst_jax.correlation_filter", OF_CORRELATION_FILTER),
    "second_look": Target("mfst_jax.second_look", OF_SECOND_LOOK),
    "tracker": Target("mfst_jax.tracker", OF_TRACKER),
    "stages": Target("mfst_jax.stages", ("tests/test_stages.py",)),
    "tables": Target("weight_port.name_tables", ("tests/porting/test_name_tables.py",), ("mfst_jax",)),
    "rules": Target(
        "weight_port.rules", ("tests/porting/test_rules.py", "tests/porting/test_beside_the_network.py"), ("mfst_jax",)
    ),
}
SWAPPED: dict[type, type] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift},
    **{ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}
NAMES = {
    **{"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "argmax": "argmin", "argmin": "argmax"},
    **{"floor": "ceil", "ceil": "floor", "sum": "max", "any": "all", "all": "any", "zeros": "ones", "ones": "zeros"},
}
"""Other functions that take the same arguments."""


def changes_of(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Each small change of one node of a syntax tree: in words, and the node that takes its place."""

    def changed(**fields: Any) -> ast.AST:
        other = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPPED:
            yield f"{type(op).__name__} -> {SWAPPED[type(op)].__name__}", changed(op=SWAPPED[type(op)]())
        case ast.Compare(ops=[op, *rest]):
            yield f"{type(op).__name__} -> {SWAPPED[type(op)].__name__}", changed(ops=[SWAPPED[type(op)](), *rest])
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield f"{type(node.op).__name__} left out", operand
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield "condition turned round", changed(test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[test, *rest]):
            yield "condition turned round", changed(ifs=[ast.UnaryOp(ast.Not(), test), *rest])
        case ast.Constant(value=bool(value)):
            yield f"{value} -> {not value}", changed(value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} -> {value + 1}", changed(value=value + 1)
        case ast.Constant(value=str(value)):
            yield f"{value!r:.40} -> another", changed(value=f"{value}_")
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{name} -> {NAMES[name]}", changed(attr=NAMES[name])
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield f"{name} -> {NAMES[name]}", changed(id=NAMES[name])
        case ast.Tuple(elts=entries, ctx=ast.Load()) | ast.List(elts=entries, ctx=ast.Load()) if len(entries) > 1:
            for place in range(len(entries)):
                yield f"entry {place} left out", changed(elts=[*entries[:place], *entries[place + 1 :]])
        case ast.Dict(keys=keys, values=values) if len(keys) > 1:
            for at in range(len(keys)):
                yield (
                    f"entry {at} left out",
                    changed(keys=keys[:at] + keys[at + 1 :], values=values[:at] + values[at + 1 :]),
                )
        case ast.Expr(value=ast.Call()):
            yield "call left out", ast.Pass()


TYPES = ("Bool", "Callable", "Float", "Float32", "Int", "Mapping", "UInt8", "dict", "list", "tuple")
"""What stands before the brackets of a type that has a name of its own."""


def fields_of(node: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    """Nodes below a node, with the field and place where they stand, but for types, docstrings and messages."""
    is_type = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in TYPES
    for name, value in ast.iter_fields(node):
        if is_type or name in ("annotation", "returns", "type_params") or isinstance(node, ast.Raise | ast.JoinedStr):
            continue
        for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_text:
                yield name, place, child


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """Every module with one small change: the line, the change in words, and the whole syntax tree."""

    def walk(node: ast.AST, line: int) -> Iterator[tuple[int, str, ast.Module]]:
        line = getattr(node, "lineno", line)
        for name, place, child in fields_of(node):
            for words, other in changes_of(child):
                put(node, name, place, ast.copy_location(other, child) if hasattr(child, "lineno") else other)
                yield getattr(child, "lineno", line), words, ast.fix_missing_locations(copy.deepcopy(tree))
                put(node, name, place, child)
            yield from walk(child, line)

    def put(node: ast.AST, name: str, place: int | None, child: ast.AST) -> None:
        if place is None:
            setattr(node, name, child)
        else:
            getattr(node, name)[place] = child

    yield from walk(tree, 1)


class Mutated(importlib.machinery.SourceFileLoader):
    """Loader, and its finder, of one module from a changed syntax tree."""

    def __init__(self, name: str, path: str, tree: ast.Module):
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> Any:
        """Code of the changed module."""
        return compile(self._tree, self.path, "exec")

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Specification of the module; None for any other."""
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None


def fails(target: Target, path: Path, tree: ast.Module, limit: float) -> bool:
    """Whether a test fails, or takes longer than `limit` seconds, when the module is `tree`."""
    child = os.fork()
    if child == 0:
        import pytest

        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.meta_path.insert(0, Mutated(target.module, str(path), tree))
        plain = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:jaxtyping"]
        os._exit(int(pytest.main([*plain, "-o", "addopts=", "-m", "not slow", "--hypothesis-seed=0", *target.tests])))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def import_all_but_ours(folder: str) -> None:
    """Imports what tests and the library import, as tests/conftest.py has it; no device of JAX may be touched yet."""
    os.environ |= {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_PLATFORMS": "cpu"}
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    os.environ |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "HYPOTHESIS_STORAGE_DIRECTORY": folder}
    names = (
        "flax.linen",
        "hypothesis.strategies",
        "jax.numpy",
        "jaxtyping",
        "PIL.Image",
        "safetensors.numpy",
        "scipy.io",
    )
    for name in (*names, "pytest", "tyro", "rich.progress", "orbax.checkpoint"):
        importlib.import_module(name)


def test(name: str, target: Target, only: int | None, every: int) -> tuple[int, int]:
    """Numbers of killed mutants and of all, and a line for each that survives."""
    for package in target.shared:
        importlib.import_module(package)
    path = ROOT.joinpath(*target.module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    start = time.monotonic()
    for _ in range(2):  # the second one finds what the first has compiled
        start = time.monotonic()
        if fails(target, path, tree, 600):
            raise SystemExit(f"{name}: its tests fail as it is: {' '.join(target.tests)}")
    limit = 20 + 5 * (time.monotonic() - start)
    killed = count = 0
    with suppress(KeyboardInterrupt):  # what was found so far is told
        for number, (line, words, mutant) in enumerate(mutants(tree)):
            if number % every or (only is not None and line != only):
                continue
            survives = not fails(target, path, mutant, limit)
            count, killed = count + 1, killed + (not survives)
            if survives:
                print(f"{path.relative_to(ROOT)}:{line}: {words}", flush=True)
    return killed, count


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*TARGETS, []], help="which modules; by default all")
    parser.add_argument("--line", type=int, help="only what is changed in this line")
    parser.add_argument("--every", type=int, default=1, help="each so many of them, for a first impression")
    parser.add_argument("--list", action="store_true", help="print the changes and run nothing")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT)]
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        if not options.list:
            import_all_but_ours(folder)
        # Those that share nothing come first.
        for name in sorted(options.names or TARGETS, key=lambda name: len(TARGETS[name].shared)):
            target = TARGETS[name]
            if options.list:
                path = ROOT.joinpath(*target.module.split(".")).with_suffix(".py")
                for line, words, _ in mutants(ast.parse(path.read_text(encoding="utf-8"))):
                    print(f"{path.relative_to(ROOT)}:{line}: {words}")
                continue
            start = time.monotonic()
            killed, count = test(name, target, options.line, options.every)
            share = killed / max(count, 1)
            print(f"{name}: {killed} of {count} killed, {share:.0%}, in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
