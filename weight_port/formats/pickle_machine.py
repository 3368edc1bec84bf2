"""Machine that reads pickles without running anything of theirs.

A pickle is a program: it may call whatever it can name. This machine knows the opcodes that data needs at protocol 2 to
5, Python 2's among them. A name is looked up in a table of stand-ins; only the table's functions are called, and only
stand-ins are given a state. Any other name stands for an object that stays unread: it is never looked up, and the
arguments and the state that the pickle gives it are dropped. Harmful names are refused all the same, and in some
pickles every name is. The machine does not recurse, and time and memory stay in proportion to the file, up to a number
of opcodes.

Reference: the opcodes are those that the standard library's `pickletools` describes.
"""

import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any

from weight_port.formats.harmful_names import harmful
from weight_port.formats.pickled_values import LONGEST_NAME, Buildable, Function, LongText, Unread, fill, name, shown

_MOST_OPCODES = 500_000


def load(
    data: bytes | memoryview,
    names: Mapping[str, Any],
    *,
    start: int = 0,
    persistent: Callable[[Any], Any] | None = None,
    unread: bool = True,
) -> tuple[Any, int]:
    """Value of the pickle at `start` in `data`, and where that pickle ends.

    Args:
      data: the file.
      names: what each global, module and name, stands for: a `Function`, or a value that is passed on as it is.
      start: the first byte of the pickle.
      persistent: what a persistent id stands for; without it there may be none.
      unread: whether there may be objects of other names, which become `Unread`.

    Raises:
      pickle.UnpicklingError: a name that is refused (the message gives it), an opcode that data does not need, or
        damage.
      ValueError: text that should be a number or text and is none.
    """
    machine = _Machine(memoryview(data), start, names, persistent, unread)
    try:
        return machine.run(), machine.position
    except (IndexError, KeyError, TypeError, struct.error) as error:  # an empty stack, no such memo, wrong arguments
        reason = f"{type(error).__name__}: {error}"
        raise pickle.UnpicklingError(f"expected an intact pickle, found damage ({reason:.100})") from error


class _Machine:
    def __init__(
        self,
        data: memoryview,
        position: int,
        names: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None,
        unread: bool,
    ):
        self.data, self.position = data, position
        self.names, self.persistent, self.unread = names, persistent, unread
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stack as it was at each open mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MOST_OPCODES):
            opcode = self.data[self.position]
            self.position += 1
            if opcode in _VALUES:
                value = _VALUES[opcode](self)  # which may bring another stack to the top
                self.stack.append(value)
            elif opcode in _ACTIONS:
                _ACTIONS[opcode](self)
            elif opcode == pickle.STOP[0]:
                return self.stack.pop()
            else:
                raise pickle.UnpicklingError(f"refused the opcode {bytes([opcode])!r}, which no array needs")
        raise pickle.UnpicklingError(f"expected at most {_MOST_OPCODES} opcodes, found more")

    def number(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack_from(self.data, self.position)
        self.position += layout.size
        return value

    def bytes(self, count: struct.Struct) -> memoryview:
        size = self.number(count)
        if not 0 <= size <= len(self.data) - self.position:
            raise pickle.UnpicklingError(f"expected {size} more bytes, found {len(self.data) - self.position}")
        self.position += size
        return self.data[self.position - size : self.position]

    def text(self, count: struct.Struct) -> str | LongText:
        utf8 = self.bytes(count)
        return str(utf8, "utf-8") if len(utf8) <= LONGEST_NAME else LongText(utf8)

    def line(self) -> str:
        line, newline, _ = bytes(self.data[self.position : self.position + LONGEST_NAME]).partition(b"\n")
        if not newline:
            raise pickle.UnpicklingError(f"expected a line of at most {LONGEST_NAME} bytes, found none")
        self.position += len(line) + 1
        return line.decode("utf-8")

    def taken(self, count: int) -> list[Any]:
        """Topmost values, removed from the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def marked(self) -> list[Any]:
        """Values above the last mark, removed from the stack."""
        values, self.stack = self.stack, self.outer.pop()
        return values

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def find(self, module: Any, attribute: Any) -> Any:
        module, attribute = name(module), name(attribute)
        path = f"{module}.{attribute}"
        if path in self.names:
            return self.names[path]
        if not self.unread or harmful(module, attribute):
            raise pickle.UnpicklingError(f"refused the global {path}, which no array needs")
        return Unread(path)

    def call(self) -> Any:
        function, arguments = self.taken(2)
        if isinstance(function, Unread) and isinstance(arguments, tuple):
            return Unread(function.what)
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError(f"refused to call {shown(function)} with {shown(arguments)}")
        return function.run(*arguments)

    def instance(self, cls: Any) -> Unread:
        """Stand-in for an object of a class, which is none of those that arrays are made of."""
        if not isinstance(cls, Unread):
            raise pickle.UnpicklingError(f"refused to make an instance of {shown(cls)}, which no array needs")
        return Unread(cls.what)

    def old_instance(self) -> Unread:
        """Stand-in for an object of protocols before 2, whose opcode itself names the class."""
        self.marked()
        return self.instance(self.find(self.line(), self.line()))

    def frozen(self) -> Unread:
        self.marked()
        return Unread("builtins.frozenset")

    def refer(self) -> Any:
        identity = self.stack.pop()
        if self.persistent is None:
            raise pickle.UnpicklingError("refused a persistent id, which no array needs")
        return self.persistent(identity)

    def build(self) -> None:
        target, state = self.stack[-2], self.stack.pop()
        if isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict | Unread):  # the attributes of an OrderedDict are passed over
            raise pickle.UnpicklingError(f"refused a state for {shown(target)}")

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)
        elif not isinstance(self.stack[-1], Unread):
            raise pickle.UnpicklingError(f"expected a list to extend, found {shown(self.stack[-1])}")

    def add(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], Unread):
            raise pickle.UnpicklingError(f"expected a set to add to, found {shown(self.stack[-1])}")

    def drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]


_U8, _U16, _I32, _U32, _U64, _F64 = (struct.Struct(code) for code in ("<B", "<H", "<i", "<I", "<Q", ">d"))


def _by_number(table: dict[bytes, Callable[[_Machine], Any]]) -> dict[int, Callable[[_Machine], Any]]:
    return {opcode[0]: step for opcode, step in table.items()}


_VALUES = _by_number(
    {
        pickle.NONE: lambda machine: None,
        pickle.NEWTRUE: lambda machine: True,
        pickle.NEWFALSE: lambda machine: False,
        pickle.BININT: lambda machine: machine.number(_I32),
        pickle.BININT1: lambda machine: machine.number(_U8),
        pickle.BININT2: lambda machine: machine.number(_U16),
        pickle.INT: lambda machine: int(machine.line()),  # Python 2 has it for numbers beyond 32 bits
        pickle.LONG1: lambda machine: int.from_bytes(machine.bytes(_U8), "little", signed=True),
        pickle.LONG4: lambda machine: int.from_bytes(machine.bytes(_I32), "little", signed=True),
        pickle.BINFLOAT: lambda machine: machine.number(_F64),
        pickle.SHORT_BINUNICODE: lambda machine: machine.text(_U8),
        pickle.BINUNICODE: lambda machine: machine.text(_U32),
        pickle.BINUNICODE8: lambda machine: machine.text(_U64),
        pickle.SHORT_BINSTRING: lambda machine: machine.bytes(_U8),
        pickle.BINSTRING: lambda machine: machine.bytes(_I32),
        pickle.SHORT_BINBYTES: lambda machine: machine.bytes(_U8),
        pickle.BINBYTES: lambda machine: machine.bytes(_U32),
        pickle.BINBYTES8: lambda machine: machine.bytes(_U64),
        pickle.BYTEARRAY8: lambda machine: machine.bytes(_U64),
        pickle.EMPTY_DICT: lambda machine: {},
        pickle.EMPTY_LIST: lambda machine: [],
        pickle.EMPTY_TUPLE: lambda machine: (),
        pickle.EMPTY_SET: lambda machine: Unread("builtins.set"),
        pickle.FROZENSET: lambda machine: machine.frozen(),
        pickle.TUPLE1: lambda machine: tuple(machine.taken(1)),
        pickle.TUPLE2: lambda machine: tuple(machine.taken(2)),
        pickle.TUPLE3: lambda machine: tuple(machine.taken(3)),
        pickle.TUPLE: lambda machine: tuple(machine.marked()),
        pickle.BINGET: lambda machine: machine.memo[machine.number(_U8)],
        pickle.LONG_BINGET: lambda machine: machine.memo[machine.number(_U32)],
        pickle.GLOBAL: lambda machine: machine.find(machine.line(), machine.line()),
        pickle.STACK_GLOBAL: lambda machine: machine.find(*machine.taken(2)),
        pickle.REDUCE: lambda machine: machine.call(),
        pickle.NEWOBJ: lambda machine: machine.instance(machine.taken(2)[0]),
        pickle.NEWOBJ_EX: lambda machine: machine.instance(machine.taken(3)[0]),
        pickle.OBJ: lambda machine: machine.instance(machine.marked()[0]),
        pickle.INST: lambda machine: machine.old_instance(),
        pickle.DUP: lambda machine: machine.stack[-1],
        pickle.BINPERSID: lambda machine: machine.refer(),
    }
)
"""Opcodes that push a value."""

_ACTIONS = _by_number(
    {
        pickle.PROTO: lambda machine: machine.number(_U8),
        pickle.FRAME: lambda machine: machine.number(_U64),
        pickle.MARK: lambda machine: machine.mark(),
        pickle.BINPUT: lambda machine: machine.remember(machine.number(_U8)),
        pickle.LONG_BINPUT: lambda machine: machine.remember(machine.number(_U32)),
        pickle.MEMOIZE: lambda machine: machine.remember(len(machine.memo)),
        pickle.APPEND: lambda machine: machine.extend(machine.taken(1)),
        pickle.APPENDS: lambda machine: machine.extend(machine.marked()),
        pickle.SETITEM: lambda machine: fill(machine.stack[-3], machine.taken(2)),
        pickle.SETITEMS: lambda machine: fill(machine.outer[-1][-1], machine.marked()),
        pickle.ADDITEMS: lambda machine: machine.add(machine.marked()),
        pickle.BUILD: lambda machine: machine.build(),
        pickle.POP: lambda machine: machine.drop(),
        pickle.POP_MARK: lambda machine: machine.marked(),
    }
)
"""Opcodes that do something else."""
