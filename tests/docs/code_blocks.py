"""The blocks of code in README.md and docs/: Python, and commands as a reader would type them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = re.compile("(mfst|python) ")
"""How a command begins that runs one of our programs."""


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
