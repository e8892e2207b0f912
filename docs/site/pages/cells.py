"""Tables in Markdown, and what docstrings say of fields."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give the lines of a table, and an empty one."""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def meanings(of: type) -> Mapping[str, str]:
    """Return field → what the docstring of a dataclass says of it, in Markdown."""
    return {name: prose(text) for name, text in _ARGUMENT.findall(inspect.getdoc(of) or "")}


def prose(text: str) -> str:
    """Return text of a docstring as one line of Markdown that a cell can hold."""
    return cell(" ".join(re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`").split()))


def default(item: dataclasses.Field[Any]) -> str:
    """Return the default of a field as TOML writes it; nothing for one that has a table of its own, or no value."""
    value = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
    if value is dataclasses.MISSING:
        return "*needed*"
    return "" if value is None or dataclasses.is_dataclass(value) else f"`{cell(toml(value))}`"


def toml(value: object) -> str:
    """Return a value as a blueprint writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {toml(item)}' for name, item in value.items())} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, int | float):
        return f"{value:.0e}".replace("e-0", "e-") if 0 < value < 1e-3 else f"{value!r}"
    return f'"{value}"'


def cell(text: object) -> str:
    """Return text that does not end its cell."""
    return str(text).replace("|", "\\|")
