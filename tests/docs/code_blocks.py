"""The blocks of code in README.md and docs/: Python, and commands as a reader would type them."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = re.compile("(mfst|python) ")
"""How a command begins that runs one of our programs."""


def package(name: str) -> Path:
    """The folder of a package, which may be an installed one far from these tests."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def sources() -> dict[str, Path]:
    """Every Python file of ours by its path in a checkout, such as `train/steps.py`, wherever the packages are."""
    tops = {"mfst_jax": package("mfst_jax"), "weight_port": package("weight_port"), "train": package("mfst_jax.train")}
    found = {}
    for top, folder in tops.items():
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder)
            if (top, inner.parts[0]) != ("mfst_jax", "train"):
                found[f"{top}/{inner.as_posix()}"] = path
    return found


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a text in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def python_blocks(page: Path) -> list[str]:
    """The Python blocks of a page, in their order."""
    return blocks(page.read_text(encoding="utf-8"), "python")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Every command of a page, from fenced and from indented blocks, without its comment.

    A command that goes on in the next line is one, and so is each part of one with `&&`.
    """
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = "\n".join(blocks(text, "sh"))
    indented = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ") and OURS.match(line[4:]))
    for line in f"{fenced}\n{indented}".splitlines():
        for part in re.sub(r"\s+#.*", "", line).split(" && "):
            if part.strip():
                yield " ".join(part.split())
