"""The API reference: every public name is in it, once, with a docstring that says what goes in and what comes out."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
import types
from collections import Counter

import pytest
from code_blocks import PAGES, ROOT

import mfst_jax

sys.path.insert(0, str(ROOT / "tools"))
import api_reference
from api_reference import PUBLIC, Entry, as_rst, entries, fields, pages, public_names, signature

FUNCTIONS = [entry for entry in entries() if entry.kind == "function"]
CLASSES = [entry for entry in entries() if entry.kind == "class"]
SHAPELESS = ("AnyArray", "AnyNumbers", "np.ndarray", "jax.Array", "ArrayLike")
"""Types of arrays that say nothing of a shape, as the source calls them."""


def title(entry: Entry) -> str:
    return f"{entry.module}.{entry.name}"


def methods(entry: Entry) -> list[str]:
    """Public methods and properties that a class defines itself."""
    found = vars(entry.value).items()
    return [n for n, v in found if not n.startswith("_") and (inspect.isfunction(v) or isinstance(v, property))]


def parameters(function) -> dict[str, str]:
    """Parameters of a function, each with its type as the source has it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation) for each in given if each.annotation is not None}


def described(docstring: str) -> dict[str, str]:
    """What the section `Args:` of a docstring says of each parameter."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", docstring, re.MULTILINE)
    given = r"^ {2,4}(\w+): ((?:.*\n?)(?:^ {4,}(?!\w+: ).*\n?)*)"
    return dict(re.findall(given, section[1] if section else "", re.MULTILINE))


def names_of(module: str) -> set[str]:
    """Public names of a module."""
    return {*public_names(module)}


def begins_with_a_verb(docstring: str) -> bool:
    """Whether it says what is done (`Finds the target`), not what is returned (`Weights from a file`)."""
    return bool(re.match(r"[A-Z]\w+s ((the|an?|and|all|on|what)\b|`)", docstring))


def test_every_public_name_is_in_the_reference_once():
    text = pages()
    assert names_of("mfst_jax") == {*mfst_jax.__all__} - {"__version__"}
    counted: Counter[tuple[str, int]] = Counter()
    for module in PUBLIC:
        for name in names_of(module):
            counted[name, id(getattr(importlib.import_module(module), name))] += 0
    for entry in entries():
        constant, other = f".. py:data:: {entry.name}\n", f".. auto{entry.kind}:: {title(entry)}\n"
        directive = constant if entry.kind == "data" else other
        counted[entry.name, id(entry.value)] += text[f"{entry.module}.rst"].count(directive)
    assert set(counted.values()) == {1}


def test_every_public_module_has_a_page_that_the_index_lists():
    assert set(pages()) == {"index.rst", *(f"{module}.rst" for module in PUBLIC)}
    assert [line.strip() for line in pages()["index.rst"].splitlines() if line.strip() in PUBLIC] == PUBLIC


def test_every_module_that_the_documentation_imports_is_public():
    statement = re.compile(r"^(?:from|import) ((?:mfst_jax|weight_port)[\w.]*)", re.MULTILINE)
    imported = {name for page in PAGES for name in statement.findall(page.read_text("utf-8"))}
    assert {"mfst_jax", "weight_port"} <= imported <= set(PUBLIC)


@pytest.mark.parametrize("entry", entries(), ids=title)
def test_a_public_name_has_a_docstring(entry: Entry):
    assert re.match(r"[A-Z`(]", entry.docstring)
    assert entry.docstring.split("\n\n")[0].rstrip().endswith((".", ":")), "its first paragraph is no sentence"


@pytest.mark.parametrize("entry", FUNCTIONS, ids=title)
def test_a_function_says_what_goes_in(entry: Entry):
    said = described(entry.docstring)
    for name, annotation in parameters(entry.value).items():
        shaped = re.search(r"\[.*, '[^']*'\]", annotation)
        assert name in said or shaped or re.search(rf"\b{name}\b", entry.docstring), f"nothing is said of {name}"
        if any(each in annotation for each in SHAPELESS) and not shaped:
            shape = re.search(r"\[\w.*\]|\(\w+, \w+.*\)| as `?[\w.]+`? takes it", said.get(name, ""))
            assert shape, f"nothing is said of the shape of {name}"


@pytest.mark.parametrize("entry", FUNCTIONS, ids=title)
def test_a_function_says_what_comes_out(entry: Entry):
    found = signature(entry.value)
    assert found is not None
    assert found[1] is not None, "it has no type of what it returns"
    if found[1] != "None" and begins_with_a_verb(entry.docstring):
        assert "\nReturns:\n" in entry.docstring or re.search(r"\breturns\b", entry.docstring.split("\n\n")[0])


@pytest.mark.parametrize("entry", CLASSES, ids=title)
def test_a_class_says_what_each_of_its_fields_and_methods_is(entry: Entry):
    public = [name for name in fields(entry.value) if not name.startswith("_")]
    missing = [name for name in public if not re.search(rf"^ +{name}: ", entry.docstring, re.MULTILINE)]
    assert not missing
    for name in methods(entry):
        assert inspect.getdoc(getattr(entry.value, name)), f"{name} has no docstring"


def test_a_signature_is_as_short_as_in_the_source_and_its_types_are_the_public_ones():
    assert signature(mfst_jax.step) == (
        "(params: AnyParams, state: ~mfst_jax.State, frame: AnyArray, *, config: ~mfst_jax.Config | None=None)",
        "tuple[~mfst_jax.State, ~mfst_jax.Output]",
    )
    assert signature(len) is None


def test_fields_have_their_shapes_and_defaults():
    assert fields(mfst_jax.Output)["box"] == "Float[Array, '*batch 4']"
    assert fields(mfst_jax.Config)["scale_count"] == "int = 3"


def test_backticks_become_literals_and_public_names_become_links():
    assert as_rst("a `b c` and ``d``") == "a ``b c`` and ``d``"
    assert (
        as_rst("`step`, `mfst_jax.load`") == ":py:obj:`step <mfst_jax.step>`, :py:obj:`mfst_jax.load <mfst_jax.load>`"
    )
    assert as_rst("`read`") == "``read``"
    assert as_rst("`read`", "weight_port") == ":py:obj:`read <weight_port.read>`"


def test_a_name_without_words_would_be_noticed(monkeypatch: pytest.MonkeyPatch):
    """The tests above, on a module that breaks every rule."""
    bad = types.ModuleType("bad")
    exec("def undocumented(frame: 'AnyArray'):\n    pass\n", bad.__dict__)
    monkeypatch.setitem(sys.modules, "bad", bad)
    bad.__dict__["__all__"] = ["undocumented"]
    monkeypatch.setattr(api_reference, "PUBLIC", [*PUBLIC, "bad"])
    entry = entries()[-1]
    assert (entry.module, entry.docstring) == ("bad", "")
    with pytest.raises(AssertionError):
        test_a_public_name_has_a_docstring(entry)
    assert begins_with_a_verb("Finds the target.")
    assert not begins_with_a_verb("Weights from a file.")
    assert described("Takes.\n\nArgs:\n  frame: [H, W, 3],\n    or more.\n  box: (x, y).\n\nReturns:\n  A.") == {
        "frame": "[H, W, 3],\n    or more.\n",
        "box": "(x, y).\n",
    }
