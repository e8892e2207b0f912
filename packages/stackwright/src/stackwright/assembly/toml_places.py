"""Where the values of a TOML text stand, so that one can be exchanged and every other byte left alone.

``tomllib`` says what a text means and not where; this says where, of texts that ``tomllib`` has read without complaint.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Path = tuple[str, ...]

_KEY: Final = re.compile(r"""\s*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:[^"\\]|\\.)*"|'[^']*'))[ \t]*""")
_EQUALS: Final = re.compile(r"=[ \t]*")
_PLAIN: Final = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")
"""A number, a truth or a time; a time may have a space before its hours."""
_BLANK: Final = re.compile(r"(?:[\s,]|#[^\n]*)*")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


@dataclass(frozen=True)
class Statement:
    """A table's header, or a key with its value.

    Args:
        path: the keys that lead to it from the top.
        start: where it begins: the bracket of a header, the key of a value.
        value: where the value begins; of a header, where the header ends.
        end: where the value or the header ends.
        header: whether it is a header.
    """

    path: Path
    start: int
    value: int
    end: int
    header: bool = False


def statements(text: str) -> Iterator[Statement]:
    """Give every header and every key of a TOML text in their order, those within inline tables included.

    Keys of arrays of tables stand under the path of the array, however many tables it has.
    """
    table: Path = ()
    place = _past_blanks(text, 0)
    while place < len(text):
        if text[place] == "[":
            brackets = 2 if text.startswith("[[", place) else 1
            table, end = _keys(text, place + brackets)
            end += brackets
            yield Statement(table, place, end, end, header=True)
        else:
            pair, end = _pair(text, place, table)
            yield from pair
        place = _past_blanks(text, end)


def _pair(text: str, start: int, table: Path) -> tuple[list[Statement], int]:
    """Return a key with its value and the keys within that value, and where the value ends."""
    keys, equals = _keys(text, start)
    path = (*table, *keys)
    found = _EQUALS.match(text, equals)
    assert found is not None, f"no value at {equals}"
    end, inner = _value(text, found.end(), path)
    return [Statement(path, start, found.end(), end), *inner], end


def _keys(text: str, place: int) -> tuple[Path, int]:
    """Read a dotted key; return its parts, and where what follows it stands."""
    parts: list[str] = []
    while True:
        found = _KEY.match(text, place)
        assert found is not None, f"no key at {place}"
        quoted = found["quoted"]
        parts.append(found["bare"] if quoted is None else tomllib.loads(f"key = {quoted}")["key"])
        place = found.end()
        if text[place] != ".":
            return tuple(parts), place
        place += 1


def _value(text: str, start: int, path: Path) -> tuple[int, list[Statement]]:
    """Return where a value ends, and the keys within it."""
    if text[start] == "{":
        inner: list[Statement] = []
        place = _past_blanks(text, start + 1)
        while text[place] != "}":
            pair, end = _pair(text, place, path)
            inner += pair
            place = _past_blanks(text, end)
        return place + 1, inner
    if text[start] == "[":
        place = _past_blanks(text, start + 1)
        while text[place] != "]":
            place = _past_blanks(text, _value(text, place, path)[0])
        return place + 1, []
    if found := _STRING.match(text, start):
        return found.end(), []
    plain = _PLAIN.match(text, start)
    assert plain is not None, f"no value at {start}"
    return plain.end(), []


def _past_blanks(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    assert found is not None
    return found.end()
