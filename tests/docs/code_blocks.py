"""The blocks of code in README.md and docs/: Python, and commands as a reader would type them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = re.compile("(mfst|python) ")
"""How a command begins that runs one of our programs."""


def python_blocks(page: Path) -> list[str]:
    """The Python blocks of a page, in their order."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Every command of a page, from fenced and from indented blocks, without its comment.

    A command that goes on in the next line is one, and so is each part of one with `&&`.
    """
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    indented = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ") and OURS.match(line[4:]))
    for line in f"{fenced}\n{indented}".splitlines():
        for part in re.sub(r"\s+#.*", "", line).split(" && "):
            if part.strip():
                yield " ".join(part.split())
