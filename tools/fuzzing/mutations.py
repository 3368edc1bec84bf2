"""Mutations: sound content with a few changes, to its bytes or to what text is made of."""

import random
import re

NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
"""Numbers that are written over 1, 2, 4 or 8 bytes: those at which sizes and signs go wrong."""
WRITTEN = (
    *(
        "0",
        "-0",
        "1",
        "-1",
        "2",
        "255",
        "256",
        "65536",
        "1e9",
        "1e10",
        "1e308",
        "1e309",
        "-1e400",
        "nan",
        "-inf",
        "inf",
    ),
    *("2147483647", "2147483648", "4294967295", "9007199254740993", "9223372036854775807", "9223372036854775808"),
    *("99999999999999999999", "1" * 400, "9" * 5000, "0x10", "0b1", "1_000", "+5", "5.", ".5", "1e-400", "01", "1,5"),
    *("\N{ARABIC-INDIC DIGIT ONE}", "\N{SUPERSCRIPT TWO}", "\N{FULLWIDTH DIGIT FIVE}", "\N{ROMAN NUMERAL FIVE}"),
    *("None", "null", "true", "True", "NaN", "Infinity", "-Infinity", "", " ", "1 2", "1;2", "1j", "\N{MINUS SIGN}1"),
)
"""Numbers as text has them, and what stands in their place."""
PIECES = (
    *("\0", "\r", "\n", "\r\n", "\t", "\v", "\f", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x85", "\u2028", "\u202e"),
    *("\ufeff", "\ud800", "\udcff", "\U0001f3c3", "e\u0301", "%s", "%n", "{0}", "{name}", "$x", "\\", "\\\\", "\\x00"),
    *(
        "../",
        "..\\",
        "/etc/passwd",
        "//host/share",
        "C:\\",
        "http://127.0.0.1:9/x",
        "file:///etc/passwd",
        "|id",
        "`id`",
    ),
    *(
        '"',
        "'",
        "<",
        ">",
        "&",
        "&lt;",
        "&#0;",
        "]]>",
        "<!--",
        "</script>",
        "<script>",
        "<!DOCTYPE a>",
        "<!ENTITY b 'c'>",
    ),
    *("[", "]", "{", "}", "(", ")", ",", ",,", ";", ":", "=", "#", "*", "?", "**", "~", "[" * 3000, "{" * 50),
    *('{"a":' * 3000, "<a>" * 3000, "(" * 3000, "a" * 300, "a" * 5000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 200),
)
VALUES = (
    *("null", "true", "false", "[]", "{}", "[[]]", '""', '"x"', "0", "-1", "1.5", "1e999", "-1e999", "NaN", "[1,2,3]"),
    *(
        "[null,null,null,null]",
        "[1,2,3,4]",
        '{"a":1}',
        "[1e308,1e308,1e308,1e308]",
        "99999999999999999999",
        '"\\u0000"',
    ),
    *(
        '"\\ud800"',
        '["a","b"]',
        '"../../x"',
        '"/etc/passwd"',
        "[" * 200 + "]" * 200,
        '{"x":null}',
        '"1"',
        "[[1,2],[3,4]]",
    ),
)
"""JSON values."""
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+]?\d+(?:\.\d+)?|null|true|false|\[[^\[\]]*\]|\{[^{}]*\}')
_WORD = re.compile(rb"[A-Za-z_]+")


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Data with one to eight changes to its bytes, mostly one or two."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        size = chance.choice((1, 1, 2, 4, 8, 16, 64))
        piece = data[at : at + size]
        match chance.randrange(7):
            case 0 if piece:
                data = data[:at] + bytes([piece[0] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case 1:
                data = data[:at] + chance.randbytes(len(piece)) + data[at + size :]
            case 2:
                width = chance.choice((1, 2, 4, 4, 8))
                number = (chance.choice(NUMBERS) & 256**width - 1).to_bytes(width, chance.choice(("little", "big")))
                data = data[:at] + number + data[at + width :]
            case 3:
                data = data[:at]
            case 4:
                data = data[:at] + data[at + size :]
            case 5:
                data = data[:at] + chance.randbytes(size) + data[at:]
            case _:
                data = data[:at] + piece * chance.choice((2, 3, 100)) + data[at + size :]
    return data


def rewritten(data: bytes, chance: random.Random) -> bytes:
    """Text with one to four changes: to its numbers, values, words, lines, or its encoding."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        match chance.randrange(12):
            case 0 | 1 | 2:
                data = _replaced(data, _NUMBER, chance.choice(WRITTEN), chance)
            case 3 | 4 | 5:
                data = _replaced(data, _VALUE, chance.choice(VALUES), chance)
            case 6 | 7:
                at = chance.choice([0, len(data), *(found.start() for found in _WORD.finditer(data))])
                data = data[:at] + _encoded(chance.choice(PIECES)) + data[at:]
            case 8:
                data = _replaced(data, _WORD, chance.choice(PIECES), chance)
            case 9:
                words = _WORD.findall(data) or [b"x"]
                data = _replaced(data, _WORD, chance.choice(words).decode(), chance)
            case 10:
                data = _lines(data, chance)
            case _:
                data = _said_otherwise(data, chance)
    return data


def _replaced(data: bytes, pattern: re.Pattern[bytes], text: str, chance: random.Random) -> bytes:
    """Data with one match of a pattern replaced, or now and then all matches that are the same."""
    found = [*pattern.finditer(data)]
    if not found:
        return data + _encoded(text)
    one = chance.choice(found)
    if chance.random() < 0.1:
        return data.replace(one[0], _encoded(text), 1000)
    return data[: one.start()] + _encoded(text) + data[one.end() :]


def _lines(data: bytes, chance: random.Random) -> bytes:
    """Data with lines left out, repeated, swapped or joined."""
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            del lines[one]
        case 1:
            lines[one:one] = [lines[one]] * chance.choice((1, 2, 50))
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case 3:
            lines = lines[:one]
        case _:
            return data.replace(b"\n", chance.choice((b"", b"\r", b"\n\n", b" ", b"\0")))
    return b"\n".join(lines)


def _said_otherwise(data: bytes, chance: random.Random) -> bytes:
    """Data in another encoding, with a mark before it, with other separators, or much longer."""
    match chance.randrange(6):
        case 0:
            return data.decode("utf-8", "replace").encode(chance.choice(("utf-16", "utf-16-be", "utf-32", "utf-7")))
        case 1:
            return chance.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) + data
        case 2:
            one, other = chance.choice(
                ((b",", b"\t"), (b",", b";"), (b",", b" "), (b'"', b"'"), (b":", b"="), (b" ", b""))
            )
            return data.replace(one, other)
        case 3:
            return b""
        case 4:
            at = chance.randrange(len(data) + 1)
            return data[:at] + data[at : at + chance.choice((1, 5, 20))] * chance.choice((1000, 20_000)) + data[at:]
        case _:
            return bytes(reversed(data)) if chance.random() < 0.2 else data.upper()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
