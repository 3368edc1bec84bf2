"""The index "The paper in the code" of ARCHITECTURE.md: what it names is there, marked, and it lacks no mark."""

import ast
import io
import re
import tokenize

import pytest
from code_blocks import ROOT, sources

MARK = re.compile(r"\b(?:Eq\. \(\d\)|Sec\. [IVX]+(?:-[A-Z])?(?: [a-z]\))?|Fig\. \d|Table I+)")
CODE = sources()


def index() -> list[tuple[list[str], list[str]]]:
    """Rows of the index: marks, and places `file:name`."""
    (section,) = re.findall(
        r"^## The paper in the code\n(.*?)^## ", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL | re.MULTILINE
    )
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    return [(MARK.findall(marks), re.findall(r"`([^`]+:[^`]+)`", places)) for marks, _, places in rows]


def marks_of(source: str) -> dict[int, list[str]]:
    """Marks in the comments of a program, by line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: MARK.findall(token.string) for token in tokens if token.type == tokenize.COMMENT}
    return {line: marks for line, marks in comments.items() if marks}


def lines_of(source: str, name: str) -> range:
    """Lines of a function, class, method or constant; a comment above a constant belongs to it."""
    body = ast.parse(source).body
    for part in name.split("."):
        (node,) = (node for node in body if part in names_of(node))
        body = getattr(node, "body", [])
    return range(node.lineno - isinstance(node, ast.Assign), (node.end_lineno or node.lineno) + 1)


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []


@pytest.mark.parametrize(("marks", "places"), index(), ids=lambda cell: ", ".join(cell))
def test_every_place_of_the_index_is_there_with_its_marks(marks: list[str], places: list[str]):
    assert marks
    assert places
    for place in places:
        file, name = place.split(":")
        source = CODE[file].read_text(encoding="utf-8")
        within = lines_of(source, name)
        assert {mark for line, here in marks_of(source).items() if line in within for mark in here} >= set(marks), place


def test_the_index_has_all_equations_and_tables():
    marks = {mark for row, _ in index() for mark in row}
    assert marks >= {*(f"Eq. ({number})" for number in range(1, 8)), "Table I", "Table II"}


@pytest.mark.parametrize("file", CODE)
def test_every_mark_is_in_the_index(file: str):
    source = CODE[file].read_text(encoding="utf-8")
    named = [(row, *place.split(":")) for row, places in index() for place in places]
    here = [(row, lines_of(source, name)) for row, other, name in named if other == file]
    for line, marks in marks_of(source).items():
        known = {mark for row, lines in here if line in lines for mark in row}
        assert set(marks) <= known, f"{file}:{line}"
