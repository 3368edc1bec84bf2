"""Processes of the commands that are killed: forks of this one, which has imported our code."""

import importlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path

LIMIT = 1800
"""Seconds after which a run counts as hanging."""


def start(words: list[str], out: Path, log: Path) -> int:
    """Process id of a fork that runs a command; its output goes to `log`."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.environ["MFST_JAX_CACHE"] = str(out / "cache")
        program = importlib.import_module("mfst_jax.cli" if words[0] == "mfst" else "weight_port.__main__")
        status = program.main(words[1:])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, seconds: float) -> int | None:
    """Exit status of a process, waited for at most so long; None where it still runs."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def run(words: list[str], out: Path, log: Path) -> float:
    """Seconds that a command takes that nobody kills. Raises `RuntimeError` where it fails or hangs."""
    begin, child = time.monotonic(), start(words, out, log)
    status = wait(child, LIMIT)
    if status != 0:
        if status is None:
            kill(child)
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"exit status {status}: {' '.join(last):.300}")
    return time.monotonic() - begin


def kill(child: int) -> None:
    """Ends a process at once."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
