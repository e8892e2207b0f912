"""What a page is made of: headings with lines, tables, pictures and forms under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from stackwright.workflows.outcome import Table


@dataclass(frozen=True)
class Link:
    """A cell that leads to another page."""

    text: str
    href: str


@dataclass(frozen=True)
class State:
    """A cell that says how something does: ``ok``, ``alarm``, ...; coloured, and written out."""

    text: str


@dataclass(frozen=True)
class Field:
    """A field of a form.

    Args:
        name: how it is sent.
        label: what it is called.
        value: what stands in it.
        choices: what can be chosen; without any, a text is written.
        hint: said beneath it.
    """

    name: str
    label: str
    value: str = ""
    choices: Sequence[str] = ()
    hint: str = ""
    secret: bool = False
    required: bool = False


@dataclass(frozen=True)
class Form:
    """A form.

    Args:
        action: where it is sent.
        button: what its button says.
        changes: it changes something: sent by POST, shown to who has unlocked the console.
        hidden: fields that are sent as they are.
    """

    action: str
    button: str
    fields: Sequence[Field] = ()
    changes: bool = False
    posted: bool = False
    hidden: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """How it is sent."""
        return "post" if self.changes or self.posted else "get"


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it; empty ones are left out.

    Args:
        heading: one line.
        lines: a list, or one sentence.
        tables: tables, empty ones are left out.
        pictures: SVG, as it stands.
        forms: forms.
        links: pages to go on to.
    """

    heading: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[str] = ()
    forms: Sequence[Form] = ()
    links: Sequence[Link] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands under the heading."""
        filled = any(table.rows for table in self.tables)
        return not (self.lines or filled or self.pictures or self.forms or self.links)


@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        title: the heading.
        lead: a sentence under it.
        here: the entry of the navigation that it belongs to.
        sections: what it holds.
    """

    title: str
    here: str
    lead: str = ""
    sections: Sequence[Section] = ()


Asked = Mapping[str, str]
"""What was asked: the query, or the fields of a form."""


def to(*parts: str, **query: Any) -> str:
    """Return the path of a page; parts may hold anything."""
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path


def with_cells(table: Table, **turn: Callable[[Any], Any]) -> Table:
    """Return a table whose cells under some headings (blanks as ``_``) are turned into links or states."""
    turns = [turn.get(heading.replace(" ", "_")) for heading in table.headings]
    rows = [
        [cell if change is None else change(cell) for cell, change in zip(row, turns, strict=True)]
        for row in table.rows
    ]
    return Table(table.headings, rows)


def paged(rows: Sequence[Any], asked: Asked, size: int) -> tuple[Sequence[Any], int, int]:
    """Return the rows of the page that was asked for, its number from 1, and how many pages there are."""
    pages = max(1, -(-len(rows) // size))
    text = asked.get("page", "1")
    number = min(max(int(text), 1), pages) if text.isdecimal() and len(text) < 9 else 1
    return rows[(number - 1) * size : number * size], number, pages


def turning(asked: Asked, path: str, number: int, pages: int) -> list[Link]:
    """Return the links to the pages before and after one."""
    others = {name: value for name, value in asked.items() if name != "page"}
    found = []
    if number > 1:
        found.append(Link("Newer", to(path, **others, page=number - 1)))
    if number < pages:
        found.append(Link("Older", to(path, **others, page=number + 1)))
    return found
