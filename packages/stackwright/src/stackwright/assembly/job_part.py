"""``[jobs.NAME]``: a table that is scored again and again, and where its predictions go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from stackwright.assembly.reading import Problem, Reader
from stackwright_interfaces.errors import did_you_mean

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Place = tuple[str, str | None]
"""An output, and the table to append to where it is a database."""


@dataclass(frozen=True, kw_only=True)
class JobPart:
    """``[jobs.NAME]``.

    Args:
        source: keys, or whole feature rows: a path below the project, ``s3:``, a database, or ``env:NAME`` for a secret
            address.
        out: one output or several, of folders one at most: a file, a folder, ``s3:``, or
            ``{ url = "...", into = "TABLE" }`` for a database.
        model: NAME, NAME@VERSION or NAME@ALIAS; a name alone is its champion, empty the only model's.
        table: the table to read, where the source is a database.
        query: a SELECT to read, instead.
        keep: columns of the source that are written; none named writes all.
        zone: IANA zone of its days: without ``--at`` a run asks for the beginning of the present day there.
        journal: its predictions enter the journal, as live ones do.
    """

    name: str
    place: str
    source: str
    out: tuple[Place, ...]
    model: str = ""
    table: str | None = None
    query: str | None = None
    keep: tuple[str, ...] = ()
    zone: str = "UTC"
    journal: bool = True


def read_job(reader: Reader, name: str, table: Any) -> JobPart:
    """Read a job, noting what is wrong with it."""
    where = reader.section(f"jobs.{name}")
    if not isinstance(table, Mapping):
        reader.add(where, f"is {table!r}", "Write a table.")
        table = {}
    if not _NAME.fullmatch(name):
        reader.add(where, f"{name!r} is not a usable name", "Use letters, digits, underscores and hyphens.")
    reader.keys(where, table, [key for key in JobPart.__dataclass_fields__ if key not in ("name", "place")])
    keep = reader.take(where, table, "keep", list, [])
    if not all(isinstance(column, str) for column in keep):
        reader.add(where, f"keep is {keep!r}", "Give names of columns.")
    return JobPart(
        name=name,
        place=where,
        source=reader.required(where, table, "source"),
        out=_places(reader, where, table.get("out")),
        model=reader.take(where, table, "model", str, ""),
        table=reader.take(where, table, "table", str, None),
        query=reader.take(where, table, "query", str, None),
        keep=tuple(map(str, keep)),
        zone=_zone(reader, where, reader.take(where, table, "zone", str, "UTC")),
        journal=reader.take(where, table, "journal", bool, default=True),
    )


def check(part: JobPart, models: Iterable[str]) -> Iterable[Problem]:
    """Give what is wrong with a job beside the models of its blueprint."""
    known, name = list(models), part.model.partition("@")[0]
    if known and name and name not in known:
        yield Problem(part.place, f"no model {name!r}", did_you_mean(name, known) or f"Defined: {', '.join(known)}.")
    if not name and len(known) > 1:
        yield Problem(part.place, f"{len(known)} models are defined", f"Add model, one of: {', '.join(known)}.")


def _places(reader: Reader, where: str, given: Any) -> tuple[Place, ...]:
    found = [_place(item) for item in (given if isinstance(given, list) else [given])]
    if not found or None in found:
        todo = 'Write a text, { url = "...", into = "TABLE" }, or a list of them.'
        reader.add(where, "out is missing" if given is None else f"out is {given!r}", todo)
    return tuple(place for place in found if place is not None)


def _place(item: Any) -> Place | None:
    if isinstance(item, str) and item:
        return item, None
    if not isinstance(item, Mapping) or set(item) != {"url", "into"}:
        return None
    url, into = item["url"], item["into"]
    return (url, into) if isinstance(url, str) and isinstance(into, str) else None


def _zone(reader: Reader, where: str, name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        reader.add(where, f"zone is {name!r}", "Write an IANA zone, Europe/Zurich say.")
        return "UTC"
    return name
