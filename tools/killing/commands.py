"""Commands that are killed, with how many of the moments each of them gets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal["convert", "port", "weights", "track", "export", "train", "eval"]
SHARES: dict[str, int] = {"convert": 35, "port": 25, "weights": 35, "track": 30, "export": 20, "train": 30, "eval": 25}
"""Of 200 moments, how many each command gets."""
CHEAP = ("--preset", "alexnet", "--set", "scale_count=1", "alexnet_layers=conv3")


@dataclass(frozen=True)
class Command:
    """Command of a campaign.

    Attributes:
      words: Program and arguments, from the material, where to write, and whether it is the version that comes first.
      replaces: Whether half of the moments fall on a run that replaces the files of another one.
    """

    words: Callable[[Path, Path, bool], list[str]]
    replaces: bool = False


def track(material: Path, out: Path, older: bool) -> list[str]:
    """Track with every kind of output."""
    box = "60,40,30,30" if older else "62,45,36,28"
    files = ["--boxes", str(out / "boxes.csv"), "--out", str(out / "out.mp4"), "--page", str(out / "page.html")]
    return ["mfst", "track", str(material / "clips" / "Deer" / "img"), "--box", box, *CHEAP, *files]


def evaluate(material: Path, out: Path, older: bool) -> list[str]:
    """Evaluation with its report, in a folder that may hold part of it."""
    return ["mfst", "eval", str(material / "clips"), "--protocol", "folder", "--out", str(out), *CHEAP]


def train(material: Path, out: Path, older: bool) -> list[str]:
    """Training of SE-blocks, in a folder that may hold part of it."""
    places = ["--data", str(material / "clips"), "--cache", str(out / "cache"), "--out", str(out / "run")]
    return ["mfst", "train", str(material / "recipe.py"), *places]


def convert(material: Path, out: Path, older: bool) -> list[str]:
    """Conversion to an Orbax directory."""
    return ["weight_port", "convert", str(material / f"net{int(older)}.pth"), "--out", str(out / "weights")]


def port(material: Path, out: Path, older: bool) -> list[str]:
    """Export to PyTorch's layout."""
    source = str(material / f"net{int(older)}.pth")
    return ["weight_port", "export", source, "--to", "torchvision-alexnet", "--out", str(out / "back.pth")]


def export(material: Path, out: Path, older: bool) -> list[str]:
    """Export of the tracker."""
    step = "scale_step=1.05" if older else "scale_step=1.03"
    words = ["mfst", "export", "--to", "stablehlo", "--frame-size", "160x120", "--out", str(out / "t.stablehlo")]
    return [*words, *CHEAP, step]


def weights(material: Path, out: Path, older: bool) -> list[str]:
    """Weights by name, from the server."""
    return ["mfst", "weights", "get", "paper", "--from", (material / "server").read_text()]


COMMANDS = {
    "track": Command(track, replaces=True),
    "eval": Command(evaluate),
    "train": Command(train),
    "convert": Command(convert, replaces=True),
    "port": Command(port, replaces=True),
    "export": Command(export, replaces=True),
    "weights": Command(weights),
}
