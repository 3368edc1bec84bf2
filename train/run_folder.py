"""Folder of a run: what the run is, its checkpoints, its metrics. Starting again in it goes on where it stopped.

`run.json` says what the run is; `metrics.jsonl` has a line for each epoch, and `tensorboard/` the same where
tensorboardX is installed; `checkpoints/` has the last states, by Orbax; `best.safetensors` and `last.safetensors` are
weights to track with.
"""

import contextlib
import json
import logging
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from mfst_jax.checkpoints.orbax_directories import import_orbax
from mfst_jax.errors import InputError, system_errors
from mfst_jax.json_files import read_json
from mfst_jax.locks import alone_in
from mfst_jax.train import hosts
from mfst_jax.whole_files import working_name, write_atomically

KEPT = 2
"""Number of checkpoints that are kept, the last ones."""


class Run:
    """Open run; `open_run` makes one."""

    def __init__(self, folder: Path, checkpointer: Any, board: Any = None):
        self.folder = folder
        self._checkpointer, self._board = checkpointer, board

    @property
    def latest_step(self) -> int | None:
        """Step of the last complete checkpoint; None where there is none."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def resume(self, start: Any) -> Any:
        """Last state, with the shapes, types and devices of `start`, or `start` itself where there is none yet.

        Metrics of later steps are dropped.
        """
        step = self.latest_step
        lines = [line for line in self.metrics() if step is not None and line["step"] <= step]
        hosts.wait("metrics read")
        if hosts.is_first():
            write_atomically(self._metrics_path, "".join(json.dumps(line) + "\n" for line in lines))
        if step is None:
            return start
        named = _by_name(start)
        abstract = {k: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for k, x in named.items()}
        loaded = self._checkpointer.load(step, abstract)
        return jax.tree.unflatten(jax.tree.structure(start), [loaded[name] for name in named])

    def save(self, step: int, state: Any) -> None:
        """Begins to write a checkpoint, once the one before is complete. `close` waits for the last one."""
        with self._writing():
            self._checkpointer.wait()
            if self.latest_step != step:
                self._checkpointer.save_async(step, _by_name(state))

    def log(self, line: dict[str, Any]) -> None:
        """Appends to the metrics, and to TensorBoard's where tensorboardX is installed; in the first process alone."""
        if not hosts.is_first():
            return
        with self._writing(), self._metrics_path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in _scalars(line):
                self._board.add_scalar(name, value, line["step"])
            self._board.flush()

    def metrics(self) -> list[dict[str, Any]]:
        """Lines of the metrics so far, without one that was cut short by a kill or is damaged."""
        lines = []
        if self._metrics_path.is_file():
            for text in self._metrics_path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, RecursionError):
                    lines.append(json.loads(text))
        return [line for line in lines if isinstance(line, dict) and type(line.get("step")) is int]

    def wait(self) -> None:
        """Waits until the last checkpoint is complete."""
        with self._writing():
            self._checkpointer.wait()

    @property
    def _metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with system_errors():
                yield
        except OSError as error:
            raise InputError(
                f"{self.folder}: expected room for a checkpoint, found {error.strerror or error}; "
                f"the last complete one is of step {self.latest_step}"
            ) from error


@contextlib.contextmanager
def open_run(
    folder: str | Path, identity: dict[str, Any], defaults: Mapping[str, Any] = types.MappingProxyType({})
) -> Iterator[Run]:
    """Run in `folder`, a new one where it is empty or not there.

    Args:
      folder: the run's.
      identity: JSON values: everything that decides the run's numbers, by name.
      defaults: values of what the identity of a run by an older version may lack.

    Raises:
      InputError: the folder holds a run of another identity (the differences are named) or something else, or another
        process trains in it, beside those that `hosts` joins.
    """
    folder = Path(folder)
    with contextlib.ExitStack() as held:
        with hosts.first_alone(f"{folder}: opening the run"):
            if hosts.is_first():
                held.enter_context(alone_in(folder))
            _identify(folder, folder / "run.json", _as_json(identity), _as_json(dict(defaults)))
        yield held.enter_context(_open_identified(folder))


@contextlib.contextmanager
def _open_identified(folder: Path) -> Iterator[Run]:
    """Run in a folder whose identity is written, and that no other run works in."""
    v1 = import_orbax()

    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports each step of each checkpoint
    checkpointer = v1.training.Checkpointer(
        (folder / "checkpoints").absolute(),
        save_decision_policy=v1.training.save_decision_policies.FixedIntervalPolicy(
            1
        ),  # every time that it is asked to
        preservation_policy=v1.training.preservation_policies.LatestN(KEPT),
        cleanup_tmp_directories=True,
    )
    board = _tensorboard(folder) if hosts.is_first() else None
    with checkpointer, contextlib.closing(board) if board is not None else contextlib.nullcontext():
        yield Run(folder, checkpointer, board)


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON keeps them: tuples are lists."""
    return json.loads(json.dumps(values))


def _identify(folder: Path, path: Path, identity: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Writes the identity of the run to `path`, or makes sure that it is the one there.

    What the one there does not name has the value that is among `defaults`.
    """
    if path.is_file():
        found = read_json(path, "what a run is, as JSON")
        if not isinstance(found, dict):
            raise InputError(f"{path}: expected what a run is, as JSON, found {found!r:.40}")
        found = {**defaults, **found}
        names = sorted({*identity, *found})
        changed = [f"{name} {found.get(name)!r}, here {identity.get(name)!r}" for name in names]
        changed = [text for name, text in zip(names, changed, strict=True) if found.get(name) != identity.get(name)]
        if changed:
            raise InputError(
                f"{folder}: expected the run that it holds to be continued, found others: {'; '.join(changed)}"
            )
    else:
        # A process that was killed while it wrote the identity has left the folder in which it did.
        if folder.exists() and (not folder.is_dir() or {*folder.iterdir()} - {working_name(path)}):
            raise InputError(f"{folder}: expected a run, an empty folder or a place for one, found something else")
        write_atomically(path, json.dumps(identity, indent=2))


def _scalars(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of a line by their paths: `losses/conv3`."""
    for key, value in line.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key not in ("step", "epoch"):
            yield prefix + key, value


def _tensorboard(folder: Path) -> Any:
    """Writer of event files, or None without tensorboardX."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def _by_name(state: Any) -> dict[str, Any]:
    """Arrays of a state by their paths, so that files do not depend on our classes."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
