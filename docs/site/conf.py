"""Sphinx's configuration of the documentation site; `tools/build_docs.py` calls Sphinx with it."""

import inspect
import re
from typing import Any

from api_reference import PUBLIC, as_rst, fields, signature

import mfst_jax

project = "mfst_jax"
version = release = mfst_jax.__version__
copyright = "the mfst_jax authors"
html_title = "mfst_jax"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "index"
nitpicky = False
highlight_language = "sh"  # of indented blocks, which are commands

myst_heading_anchors = 4
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 88
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Registers what turns our signatures and docstrings into Sphinx's."""
    app.connect("autodoc-process-signature", _as_in_source)
    app.connect("autodoc-process-docstring", _to_rst, priority=400)  # before napoleon


def _as_in_source(
    app: Any, what: str, name: str, value: Any, options: Any, found_by_sphinx: str | None, *_: Any
) -> tuple[str, str | None] | None:
    if what == "class":
        if found_by_sphinx is None:  # of a TypedDict; it has no place for another then
            return None
        made_by_hand = "__init__" in vars(value) and not hasattr(value, "__dataclass_fields__")
        found = signature(value.__init__) if made_by_hand else None
        return (found[0], None) if found else ("", None)
    return signature(value)


def _to_rst(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    if what == "class" and inspect.isclass(value):
        if "__init__" in vars(value) and value.__init__.__doc__ and not hasattr(value, "__dataclass_fields__"):
            # What it is made from, below what it is.
            _, _, arguments = inspect.cleandoc(value.__init__.__doc__).partition("\nArgs:\n")
            lines += ["", "Args:", *arguments.splitlines(), ""] if arguments else []
        types = fields(value)
        for number, line in enumerate(lines):
            match = re.match(r"(\s+)(\w+): (.*)", line)
            if match and match[2] in types:
                lines[number] = f"{match[1]}{match[2]} (`{types[match[2]]}`): {match[3]}"
    module = max((each for each in PUBLIC if name.startswith(f"{each}.")), key=len)
    lines[:] = as_rst("\n".join(lines), module).split("\n")
