"""What a workflow did: one line, tables for people, JSON values for programs, an HTML form for notebooks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows under headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __str__(self) -> str:
        cells = [[show(cell) for cell in row] for row in self.rows]
        widths = [max(len(text) for text in column) for column in zip(self.headings, *cells, strict=True)]
        lines = [self.headings, *cells]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(heading)}</th>" for heading in self.headings)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(show(cell))}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class Outcome:
    """What a workflow did.

    Args:
        title: one line.
        data: JSON values; what ``--json`` prints.
        tables: what is worth showing.
        notes: warnings and next steps, a line each.
        ok: ``False`` where a problem was found (exit code 1).
    """

    title: str
    data: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    ok: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints; NaN and infinity, which JSON lacks, are null."""
        document: dict[str, Any] = finite({"ok": self.ok, **self.data})
        return document

    def __str__(self) -> str:
        return "\n".join([self.title, *(str(table) for table in self.tables if table.rows), *self.notes])

    def _repr_html_(self) -> str:
        tables = "".join(table._repr_html_() for table in self.tables if table.rows)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<div><p><strong>{escape(self.title)}</strong></p>{tables}{notes}</div>"


def finite(value: Any) -> Any:
    """Return JSON values with null for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(value: Any) -> str:
    """Return a cell's text: short numbers, a dash for nothing."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(show, value)) or "-"
    return str(value)


def counted(number: int, what: str) -> str:
    """Return how many there are of something whose plural ends with an s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
