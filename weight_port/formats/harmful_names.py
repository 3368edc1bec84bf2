"""Harmful names: those that are in a pickle for one reason, to run a command, code or another pickle when it is loaded.

Nothing here would run them anyway. But whoever has such a file should hear that it was made to do harm, and not that an
object of it was passed over. So the list need not be complete, and it has no name that is in data for other reasons.
"""

_ANYWHERE = frozenset({"os", "posix", "subprocess", "sys", "importlib", "runpy", "ctypes"})
"""Modules, also as attributes of others: `torch.serialization.os`."""
_TOP = frozenset(
    {
        *("nt", "pty", "shutil", "socket", "codeop", "pdb", "bdb", "timeit", "webbrowser", "pip", "commands", "popen2"),
        *("pickle", "_pickle", "cPickle", "marshal", "shelve"),
    }
)
"""Top-level modules, with everything in them."""
_WITHIN = frozenset(
    {
        *("torch.hub", "torch.package", "torch.utils.cpp_extension"),
        *("numpy.testing", "numpy.f2py", "numpy.distutils"),
    }
)
"""Modules within modules, with everything in them."""
_BUILTINS = (
    *("eval", "exec", "execfile", "compile", "open", "file", "input", "raw_input", "apply", "__import__", "breakpoint"),
    *("setattr", "delattr", "globals", "locals", "vars", "map", "filter", "reduce"),
)
_NAMES = frozenset(
    {
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _BUILTINS),
        *(f"numpy.{name}" for name in ("load", "fromfile", "genfromtxt", "loadtxt", "save", "savez", "savetxt")),
        *(f"torch.{name}" for name in ("load", "jit.load", "storage._load_from_bytes", "_utils._import_dotted_name")),
        *(f"torch.serialization.{name}" for name in ("load", "_load", "_legacy_load")),
        *(f"code.{name}" for name in ("interact", "InteractiveConsole", "InteractiveInterpreter")),
        "platform.popen",
    }
)


def harmful(module: str, attribute: str) -> bool:
    """Whether a name runs something, or reaches for what Python is made of, as by the attribute `__globals__`."""
    path = f"{module}.{attribute}"
    parts = path.split(".")
    return (
        path in _NAMES
        or parts[0] in _TOP
        or not _ANYWHERE.isdisjoint(parts[:-1])
        or any(".".join(parts[:length]) in _WITHIN for length in (2, 3))
        or any(part.startswith("__") and part.endswith("__") for part in attribute.split("."))
    )
