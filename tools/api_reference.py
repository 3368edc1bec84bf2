"""The pages of the API reference, written from the public names themselves: what stands in `PUBLIC`, and nothing else.

`tools/build_docs.py` puts them into the documentation site; tests/docs/test_api_reference.py checks them.
"""

import ast
import importlib
import inspect
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import mfst_jax

PUBLIC = ["mfst_jax", *(f"mfst_jax.{name}" for name in mfst_jax.MODULES), "weight_port"]
"""Public modules in the order of the reference; `public_names` says what is public in each."""
TYPES = ("AnyParams", "AnyArray", "AnyNumbers")
"""Names that signatures use for unions of types; the reference says once what they stand for."""

Kind = Literal["function", "class", "exception", "data"]
TITLES: dict[Kind, str] = {
    "function": "Functions",
    "class": "Classes",
    "exception": "Exceptions",
    "data": "Constants",
}


@dataclass(frozen=True)
class Entry:
    """One public name of a module.

    Attributes:
      module: the module that it is public in, such as `mfst_jax`.
      name: the name itself.
    """

    module: str
    name: str

    @property
    def value(self) -> Any:
        """What the name stands for."""
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def kind(self) -> Kind:
        """What kind of thing it is."""
        if inspect.isclass(self.value):
            return "exception" if issubclass(self.value, BaseException) else "class"
        return "function" if inspect.isroutine(self.value) else "data"

    @property
    def docstring(self) -> str:
        """Its docstring, as `inspect.cleandoc` leaves it; of a constant the string below its assignment."""
        if self.kind == "data":
            _, text = constants(self.module.partition(".")[0])[self.name]
        else:
            text = self.value.__doc__
        return inspect.cleandoc(text or "")


def entries() -> list[Entry]:
    """All public names in the order of the reference, without those that begin with two underscores.

    What two modules have in common is listed where it comes first.
    """
    found: dict[tuple[str, int], Entry] = {}
    for module in PUBLIC:
        for name in public_names(module):
            entry = Entry(module, name)
            found.setdefault((name, id(entry.value)), entry)
    return [*found.values()]


def public_names(module: str) -> list[str]:
    """Names in a module's `__all__`, or else of its own functions and classes; without `__version__` and the like."""
    imported = importlib.import_module(module)
    own = [name for name, value in vars(imported).items() if getattr(value, "__module__", None) == module]
    return [name for name in getattr(imported, "__all__", own) if not name.startswith("_")]


def pages() -> dict[str, str]:
    """The reference in reStructuredText: file name -> text, `index.rst` and a page for each public module."""
    listed = {module: [entry for entry in entries() if entry.module == module] for module in PUBLIC}
    written = {f"{module}.rst": _page(module, of_module) for module, of_module in listed.items()}
    rows = [f"   * - :doc:`{module}`\n     - {summary(importlib.import_module(module))}\n" for module in PUBLIC]
    types = "\n\n".join(f"``{name}`` = ``{{}}``\n   {{}}".format(*constants("mfst_jax")[name]) for name in TYPES)
    written["index.rst"] = (
        f"{_title('API reference', '=')}"
        "What is listed here is public and `stays <../CONTRIBUTING.html#what-stays-and-for-how-long>`__; "
        "everything else may change in any release.\n\n"
        ".. list-table::\n   :widths: auto\n\n" + "".join(rows) + "\n"
        ".. toctree::\n   :hidden:\n\n" + "".join(f"   {module}\n" for module in PUBLIC) + "\n"
        f"{_title('Types in signatures', '-')}{as_rst(types)}\n"
    )
    return written


def summary(value: Any) -> str:
    """First sentence of a docstring, in reStructuredText."""
    first = inspect.cleandoc(value.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return as_rst(first)


def signature(value: Any) -> tuple[str, str | None] | None:
    """Parameters and returned type of a function or method as its source has them; None where there is no source.

    Signatures that `inspect` prints spell out every union, which fills the page.
    """
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    names = _Names(inspect.unwrap(value).__globals__)
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if each is not None and each.annotation is not None:
            each.annotation = names.visit(each.annotation)
    returns = None if node.returns is None else names.spell(ast.unparse(names.visit(node.returns)))
    return names.spell(f"({ast.unparse(arguments)})"), returns


def fields(cls: type) -> dict[str, str]:
    """Fields of a class, each with its type and default as the source has them: `Float[Array, '4']`, `int = 3`."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__[:-1]):
        try:
            (node,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        except (OSError, TypeError):
            continue
        assert isinstance(node, ast.ClassDef)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                default = statement.value
                simple = default is not None and not isinstance(default, ast.Call)
                shown = f" = {ast.unparse(default)}" if simple and default is not None else ""
                found[statement.target.id] = ast.unparse(statement.annotation) + shown
    return found


def as_rst(text: str, module: str = "mfst_jax") -> str:
    """Docstring in reStructuredText: what stands between backticks becomes a literal, or a link if it is public.

    Args:
      text: the docstring.
      module: the module whose names go before those of the others.
    """

    def literal(match: re.Match[str]) -> str:
        code = match[1]
        for place in (f"{module}.{code}", f"mfst_jax.{code}", code):
            if place in _places():
                return f":py:obj:`{code} <{place}>`"
        return f"``{code}``"

    return re.sub(r"(?<!`)`([^`]+)`(?!`)", literal, text)


@cache
def _places() -> set[str]:
    return {f"{entry.module}.{entry.name}" for entry in entries()}


class _Names(ast.NodeTransformer):
    """Spells out which class each name of an annotation stands for, as `~package.module.Name`.

    Sphinx shows the last part of that, and links to no other class of that name.
    """

    def __init__(self, known: dict[str, Any]):
        self.known = known
        self.places: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        value = self.known.get(node.id)
        if not inspect.isclass(value) or value.__module__ == "builtins" or value.__name__ != node.id:
            return node  # a builtin, or a short name for a type of many parts
        public = next((e for e in entries() if e.name == value.__name__ and e.value is value), None)
        place = f"{public.module}.{public.name}" if public else f"{value.__module__}.{value.__qualname__}"
        key = f"NAME{len(self.places)}NAME"
        self.places[key] = place
        return ast.Name(key)

    def spell(self, source: str) -> str:
        """Source code with the names put in."""
        return re.sub(r"NAME\d+NAME", lambda match: f"~{self.places[match[0]]}", source)


@cache
def constants(package: str) -> dict[str, tuple[str, str]]:
    """Constants of a package's modules: the source of each, and the string below it or an empty one."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(Path(str(importlib.import_module(package).__file__)).parent.rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, after in zip(body, [*body[1:], None], strict=True):
            if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
                continue
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            match after:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    pass
                case _:
                    text = ""
            if isinstance(target, ast.Name) and not found.get(target.id, ("", ""))[1]:
                found[target.id] = ast.unparse(statement.value), text
    return found


def _page(module: str, of_module: list[Entry]) -> str:
    imported: ModuleType = importlib.import_module(module)
    words = as_rst(inspect.cleandoc(imported.__doc__ or ""), module)
    parts = [_title(module, "="), f".. py:module:: {module}\n\n{words}\n\n"]
    for kind, title in TITLES.items():
        chosen = [entry for entry in of_module if entry.kind == kind]
        if chosen:
            parts.append(_title(title, "-"))
            parts.extend(_directive(entry) for entry in chosen)
    return "".join(parts)


def _directive(entry: Entry) -> str:
    if entry.kind == "data":
        text = textwrap.indent(as_rst(entry.docstring, entry.module), "   ")
        value = repr(entry.value).replace("\\", "\\\\")
        return f".. py:data:: {entry.name}\n   :value: {value}\n\n{text}\n\n"
    options = "   :members:\n" if entry.kind == "class" else ""
    return f".. auto{entry.kind}:: {entry.module}.{entry.name}\n{options}\n"


def _title(text: str, underline: str) -> str:
    return f"{text}\n{underline * len(text)}\n\n"
