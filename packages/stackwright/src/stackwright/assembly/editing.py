"""Putting another part into a blueprint's text: its own lines change, and no other byte."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stackwright.assembly.toml_places import Path, Statement, statements
from stackwright_interfaces.errors import BlueprintError

_ADAPTER: Final = "adapter"


@dataclass(frozen=True)
class Edit:
    """A blueprint's text with another part in one place.

    Args:
        text: the whole text as it becomes.
        before: what stood in that place: a value, or the lines of a table.
        after: what stands there now.
    """

    text: str
    before: str
    after: str


def put_part(text: str, path: Path, adapter: str, options: Mapping[str, Any]) -> Edit:
    """Return a text in which the part at a path is this one; comments stay.

    Args:
        text: a blueprint.
        path: keys that lead to the part, ``("feature_store", "online")`` say.

    Raises:
        BlueprintError: the part is not there, or is written in a form that cannot be changed by a machine.
    """
    part = {_ADAPTER: adapter, **options}
    placed = list(statements(text))
    found = next((item for item in placed if item.path == path), None)
    if found is None:
        raise BlueprintError(_where(path), "there is no such part", "Write it into the blueprint by hand.")
    if found.header:
        start, end = _table(text, placed, found)
        changed = _in_table(
            text[start:end], [_moved(item, -start) for item in placed if start <= item.start < end], path, part
        )
    else:
        start, end = found.value, found.end
        changed = _inline(text[start:end], part)
    return _checked(text, path, part, Edit(text[:start] + changed + text[end:], text[start:end], changed))


def put_value(text: str, path: Path, value: Any) -> Edit:
    """Return a text in which the value at a path is this one.

    Raises:
        BlueprintError: it is not there, or not written as one value.
    """
    found = next((item for item in statements(text) if item.path == path and not item.header), None)
    if found is None:
        raise BlueprintError(_where(path), "is not written as one value", "Change it by hand.")
    changed = to_toml(value)
    before = text[found.value : found.end]
    return _checked(text, path, value, Edit(text[: found.value] + changed + text[found.end :], before, changed))


def put_back(text: str, path: Path, before: str, after: str) -> Edit | None:
    """Return a text in which a place has the characters that it had once; ``None`` where it has changed since.

    Args:
        before: what stood there once.
        after: what must stand there now.
    """
    placed = list(statements(text))
    found = next((item for item in placed if item.path == path), None)
    if found is None:
        return None
    start, end = _table(text, placed, found) if found.header else (found.value, found.end)
    return Edit(text[:start] + before + text[end:], after, before) if text[start:end] == after else None


def to_toml(value: Any) -> str:
    """Return a value as TOML writes it in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {to_toml(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return repr(value)


def _key(name: str) -> str:
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isalnum() and bare.isascii() else to_toml(name)


def _inline(old: str, part: Mapping[str, Any]) -> str:
    """Return a part as a value: a name alone where one stood there, and no option is given."""
    return to_toml(part[_ADAPTER]) if len(part) == 1 and not old.startswith("{") else to_toml(part)


def _table(text: str, placed: list[Statement], header: Statement) -> tuple[int, int]:
    """Return where a table begins, and where the last line ends that belongs to it or to a table within it."""
    within = [header]
    for item in placed[placed.index(header) + 1 :]:
        if item.path[: len(header.path)] != header.path:
            break
        within.append(item)
    return header.start, _line_end(text, max(item.end for item in within))


def _in_table(text: str, placed: list[Statement], path: Path, part: Mapping[str, Any]) -> str:
    """Return the lines of a table with other keys: those that stay keep their place and comments."""
    own = [item for item in placed[1:] if len(item.path) == len(path) + 1]
    written = {item.path[-1]: item for item in own if not item.header}
    was = tomllib.loads(text)
    for key in path:
        was = was[key]
    changes: list[tuple[int, int, str]] = []
    for item in placed[1:]:
        key = item.path[len(path)]
        if key not in part:
            changes.append((_line_start(text, item.start), _line_end(text, item.end), ""))
        elif item in written.values() and was[key] != part[key]:
            changes.append((item.value, item.end, to_toml(part[key])))
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    new = "".join(f"{_key(key)} = {to_toml(value)}{end_of_line}" for key, value in part.items() if key not in was)
    last = max((item.end for item in written.values() if item.path[-1] in part), default=placed[0].end)
    after = _line_end(text, last)
    changes.append((after, after, new if text[:after].endswith("\n") or not new else f"{end_of_line}{new}"))
    for start, end, put in sorted(set(changes), reverse=True):
        text = text[:start] + put + text[end:]
    return text


def _moved(item: Statement, by: int) -> Statement:
    return Statement(item.path, item.start + by, item.value + by, item.end + by, item.header)


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def _checked(text: str, path: Path, value: Any, edit: Edit) -> Edit:
    """See that an edit says what it should and nothing else: the text is read again and compared.

    Raises:
        BlueprintError: it does not.
    """
    wanted = tomllib.loads(text)
    parent = wanted
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    try:
        found = tomllib.loads(edit.text)
    except tomllib.TOMLDecodeError:
        found = {}
    bare = isinstance(value, Mapping) and set(value) == {_ADAPTER}
    if bare and found != wanted:
        parent[path[-1]] = value[_ADAPTER]
    if found != wanted:
        told = "is written in a form that cannot be changed by a machine"
        raise BlueprintError(_where(path), told, "Change it by hand.")
    return edit


def _where(path: Path) -> str:
    return f"blueprint.toml [{'.'.join(path)}]"
