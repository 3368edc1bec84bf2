"""Wire format of Protocol Buffers: messages as the values of their fields by number, without any schema.

Reference: the Protocol Buffers documentation, "Encoding".
"""

import struct

Value = int | bytes
"""Value of a field: a varint or a fixed-size integer, unsigned; or text, bytes or a message within."""
Message = dict[int, list[Value]]


def loads(data: bytes | memoryview) -> Message:
    """Values of each field of a message, in its order.

    Raises:
      ValueError: it ends within a field or has a field of no known kind.
    """
    fields: Message = {}
    at = 0
    while at < len(data):
        tag, at = load_varint(data, at)
        value: Value
        match tag & 7:
            case 0:
                value, at = load_varint(data, at)
            case 2:
                size, at = load_varint(data, at)
                value, at = _take(data, at, size)
            case 1 | 5 as kind:
                taken, at = _take(data, at, 8 if kind == 1 else 4)
                value = int.from_bytes(taken, "little")
            case kind:
                raise ValueError(f"expected fields of wire type 0, 1, 2 or 5, found {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def integer(message: Message, field: int) -> int:
    """Value of a field that holds one integer; 0 where it is missing.

    Raises:
      ValueError: it holds something else.
    """
    match message.get(field, [0])[-1]:
        case int(value):
            return value
    raise ValueError(f"expected an integer in field {field}, found bytes")


def messages(message: Message, field: int) -> list[Message]:
    """Messages in a field.

    Raises:
      ValueError: it holds something else.
    """
    values = message.get(field, [])
    found = [loads(value) for value in values if isinstance(value, bytes)]
    if len(found) < len(values):
        raise ValueError(f"expected messages in field {field}, found an integer")
    return found


def dump_integer(field: int, value: int) -> bytes:
    """Field with a varint; nothing where it is 0, which a message may leave out."""
    return dump_varint(field << 3) + dump_varint(value) if value else b""


def dump_fixed32(field: int, value: int) -> bytes:
    """Field with a fixed-size integer of 32 bits."""
    return dump_varint(field << 3 | 5) + struct.pack("<I", value)


def dump_bytes(field: int, value: bytes) -> bytes:
    """Field with text, bytes or a message within, also where that is empty."""
    return dump_varint(field << 3 | 2) + dump_varint(len(value)) + value


def load_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """Unsigned integer at `at`, seven bits in each byte, the lowest first; and the offset after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            break
        octet = data[at]
        value, at = value | (octet & 0x7F) << shift, at + 1
        if octet < 0x80:
            return value & 2**64 - 1, at
    raise ValueError(f"expected an integer of at most 10 bytes, found one without end at {at}")


def dump_varint(value: int) -> bytes:
    """Unsigned integer as a varint, seven bits in each byte, the lowest first."""
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def _take(data: bytes | memoryview, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError(f"expected {size} bytes at {at}, found {len(data) - at}")
    return bytes(data[at : at + size]), at + size
