"""Packages: imports point one way, no module is in a circle, and ARCHITECTURE.md names every file."""

import ast
import re
from functools import cache

import pytest
from code_blocks import ROOT, sources

PACKAGES = [
    {"mfst_jax", "core", "fast", "checkpoints"},
    *(
        {name}
        for name in ("sequences", "media", "tracks", "program", "export", "evaluation", "page", "select", "following")
    ),
    *({name} for name in ("many", "beam", "bench", "train", "cli")),
]
"""Rooms of mfst_jax, each of which imports itself and those before it."""
TOP = ("mfst_jax", "weight_port", "train")
SOURCES = sources()


def module_of(file: str) -> str:
    name = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    return f"mfst_jax.{name}" if name.split(".")[0] == "train" else name


FILES = {module_of(file): path for file, path in SOURCES.items()}
"""Every module by its name; those in train/ are mfst_jax.train."""


@cache
def imports(module: str, when_used: bool = True) -> frozenset[str]:
    """Modules of ours that a module imports: also those within functions, or only when it is imported itself."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    if not when_used:
        tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in FILES else node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    assert not any(name == "train" or name.startswith("train.") for name in map(str, found)), module
    return frozenset(name for name in map(str, found) if name in FILES)


def package(module: str) -> str:
    top, *rest = module.split(".")
    if top != "mfst_jax" or not rest:
        return top
    is_package = rest[0] == "cli" or len(rest) > 1 or FILES[module].stem == "__init__"
    return rest[0] if is_package else "core"


RANKS = {name: rank for rank, names in enumerate(PACKAGES) for name in names}


def test_all_rooms_have_their_place():
    assert {package(module) for module in FILES} == {*RANKS, "weight_port"}
    assert len(FILES) > 150
    assert package("mfst_jax.tracker") == "core"
    assert package("mfst_jax.media") == package("mfst_jax.media.sources") == "media"


def test_imports_point_one_way():
    back = set()
    for module in FILES:
        for other in imports(module):
            mine, theirs = package(module), package(other)
            if mine == "weight_port":
                allowed = theirs == mine or RANKS[theirs] <= RANKS["program"]
            else:
                allowed = theirs != "weight_port" and RANKS[theirs] <= RANKS[mine]
            if not allowed:
                back.add((module, other))
    assert back == {
        ("mfst_jax.program.weights_command", "weight_port.assembly"),
        ("mfst_jax.train.__main__", "mfst_jax.cli"),  # `python -m train` is `mfst train`
    }


def test_readers_of_formats_know_nothing_of_networks_but_what_the_format_is_for():
    for module in FILES:
        if module.startswith("weight_port.formats."):
            others = {each for each in imports(module) if not each.startswith("weight_port.formats.")}
            assert others <= {"mfst_jax.backbones"}, module


def test_no_module_is_in_a_circle():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(imports(module, when_used=False)):
                visit(other, (*path, module))
            done.add(module)

    for module in FILES:
        visit(module, ())


@pytest.mark.parametrize("top", TOP)
def test_the_map_names_every_file(top: str):
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Rules")[0]
    (part,) = re.findall(rf"^{top}/.*\n(?:  .*\n)+", text, re.MULTILINE)
    for file in SOURCES:
        first, *folders, name = file.split("/")
        if first == top and name not in ("__init__.py", "__main__.py"):
            if {"fast", "recipes", "curated_crops"} & {*folders}:  # packages that are named alone
                assert f"{folders[-1]}/" in part, file
            else:
                assert re.search(rf"\b{name}\b", part), file


def test_the_map_names_no_file_that_is_not_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Rules")[0]
    there = {path.name for path in FILES.values()}
    parts = re.findall(r"^(?:mfst_jax|weight_port|train)/.*\n(?:  .*\n)+", text, re.MULTILINE)
    assert len(parts) == len(TOP)
    assert {*re.findall(r"\w+\.py\b", "".join(parts))} <= there


def test_a_checkout_has_training_within_the_package_by_a_link():
    if not (ROOT / "train").is_dir():
        pytest.skip("the packages are installed, and not part of a checkout")
    link = ROOT / "mfst_jax" / "train"
    assert link.is_symlink()
    assert link.resolve() == (ROOT / "train").resolve()
