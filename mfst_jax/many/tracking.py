"""Tracking of one job into its table, and what all jobs of a run have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mfst_jax import checkpoints
from mfst_jax.config import Config
from mfst_jax.errors import InputError, one_line, reason
from mfst_jax.following.loop import follow_all
from mfst_jax.following.quick_start import ReusedParams
from mfst_jax.many.jobs import Job
from mfst_jax.many.outcomes import Outcomes
from mfst_jax.params import Params, choose_config
from mfst_jax.presets import Preset
from mfst_jax.program import run_records
from mfst_jax.program.jax_health import backend_problem


@dataclass(frozen=True)
class Setup:
    """Setup that all tables of a folder are made with.

    Attributes:
      params: The weights.
      config: How to track.
      provenance: Where the weights come from.
      stop_when_lost: Number of lost frames in a row that ends a track; None for none.
    """

    params: Params
    config: Config
    provenance: Mapping[str, Any]
    stop_when_lost: int | None = None

    @classmethod
    def of(
        cls,
        weights: str | None = None,
        preset: Preset | None = None,
        settings: list[str] | None = None,
        stop_when_lost: int | None = None,
    ) -> "Setup":
        """Setup by what a command line says.

        Args:
          weights: a name, an Orbax directory or a .safetensors file; by default the built-in ones.
          preset: how to track; by default what the weights imply.
          settings: fields of the configuration to change, as `key=value`.
          stop_when_lost: number of lost frames in a row that ends a track.

        Raises:
          InputError: weights that cannot be read, or settings that are none.
        """
        if stop_when_lost is not None and stop_when_lost < 1:
            raise InputError(f"--stop-when-lost: expected a number of frames of at least 1, found {stop_when_lost}")
        params = checkpoints.load(weights)
        config = choose_config(params.contents, preset, settings or [])
        return cls(params, config, checkpoints.provenance(weights), stop_when_lost)

    @cached_property
    def weights(self) -> ReusedParams:
        """Weights, of which each preparation is kept for the jobs to come."""
        return ReusedParams(self.params)

    def begin(self, folder: Path) -> None:
        """Makes sure that a folder is for tables of this setup alone, and says so in its `run.json`.

        Raises:
          InputError: it holds tables of another setup, or others' files, or cannot be written.
        """
        record = run_records.describe_run(self.params, self.config, self.provenance)
        record["stop_when_lost"] = self.stop_when_lost
        run_records.begin(folder, record, results=folder.glob("*.csv"), what="tables", advice="another --out")


@dataclass(frozen=True)
class Tracked:
    """What came of one job.

    Attributes:
      name: Name of the job.
      frames: Number of frames that were tracked; 0 where it failed.
      problem: Reason why it failed; None where it did not.
    """

    name: str
    frames: int = 0
    problem: str | None = None


def track_job(job: Job, setup: Setup, outcomes: Outcomes) -> Tracked:
    """Tracks the targets of one source from end to end, and writes its table and record, or why it could not.

    Args:
      job: what to track.
      setup: what with.
      outcomes: where it is written.

    Raises:
      InputError: nothing can be written there.
    """
    outcomes.begin(job)
    try:
        source, targets = job.open()
        followed = follow_all(
            source,
            targets,
            setup.weights,
            setup.config,
            table=outcomes.table(job),
            source_path=job.source,
            stop_when_lost=setup.stop_when_lost,
            quiet=True,
        )
    except InputError as error:
        problem = str(error)
    except Exception as error:  # whatever is wrong with one video, the others are to be tracked
        if backend_problem() is not None:
            raise
        problem = one_line(f"{type(error).__name__}: {reason(error)}")
    else:
        return Tracked(job.name, len(followed.boxes))
    outcomes.fail(job, problem)
    return Tracked(job.name, problem=problem)
