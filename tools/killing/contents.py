"""Contents of a folder in which a command was killed, and what is wrong with them."""

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.numpy

from mfst_jax.checkpoints import digest


def content_of(out: Path) -> dict[str, Any]:
    """What is in a folder, by path: bytes, but for what holds times. Hidden folders are what is not complete yet."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        parts = name.split("/")
        if not path.is_file() or any(part.startswith(".") or "orbax-checkpoint-tmp" in part for part in parts):
            continue
        if "tensorboard" in parts or "checkpoints" in parts or "times" in parts:
            continue
        if name.endswith(".html"):
            found[name] = path.read_bytes().rstrip().endswith(b"</html>")
        elif path.name == "metrics.jsonl":
            found[name] = metrics_in(path)
        elif parts[0] == "weights":
            continue  # an Orbax directory, which is verified as a whole
        else:
            found[name] = path.read_bytes()
    for description in sorted(out.glob("weights/mfst_jax.json")):
        found["weights"] = orbax_content(description.parent)
    return found


def orbax_content(folder: Path) -> str:
    """Where the weights of a directory come from, if each of its files is the one that was written; else "damaged".

    Orbax itself would keep this process from forking.
    """
    described = json.loads((folder / "mfst_jax.json").read_text())
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "mfst_jax.json")
    digests = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return json.dumps(described["provenance"]) if digests == described["files"] else "damaged"


def metrics_in(path: Path) -> list[dict[str, Any]]:
    """Lines of the metrics without times, and without a last one that was cut short."""
    lines = []
    for text in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append({key: value for key, value in json.loads(text).items() if key != "seconds"})
    return lines


def is_whole(checkpoint: bytes) -> bool:
    """Whether a safetensors file of ours holds the arrays that were written."""
    length = int.from_bytes(checkpoint[:8], "little")
    try:
        metadata = json.loads(json.loads(checkpoint[8 : 8 + length])["__metadata__"]["mfst_jax"])
        return metadata["sha256"] == digest(safetensors.numpy.load(checkpoint))
    except (ValueError, KeyError, safetensors.SafetensorError):
        return False


def hidden_in(out: Path) -> list[str]:
    """Names of what is not complete: what no finished run may leave."""
    found = (path.relative_to(out).as_posix() for path in out.rglob("*"))
    return sorted(each for each in found if "/.part" in each or each.endswith((".part", ".lock", "checkpoint-tmp")))


def after_a_kill(found: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is wrong with the files that a killed run has left."""
    problems = [f"{name} is lost" for name in old if name not in found]
    for name, value in found.items():
        if name.endswith("metrics.jsonl"):
            if value != new[name][: len(value)]:
                problems.append(f"{name} has other lines")
        elif name.endswith((".part", ".version")):  # a download, which goes on
            continue
        elif "/downloads/" in name:
            continue  # checked before it got its name; gone in the end
        elif name.endswith("best.safetensors") and is_whole(value):
            continue  # the best so far, of an earlier epoch
        elif value not in (old.get(name), new.get(name)):
            problems.append(f"{name} is neither the old one nor the new one")
    return problems
