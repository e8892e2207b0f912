"""What a view's history consists of: its columns, its ingestions, and the files that count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import UnknownName, VersionRequired
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.types import Field, Type
from stackwright_parquet.columns import instant_of

FORMAT: Final = 1

POSITION: Final = "__position"
"""Column of the files: number of the ingestion that a row came with."""

CONTENT: Final = "__content"
"""Column of the files that hold no order token: the hash of the content in it."""

EARLIEST: Final = -(1 << 62)
LATEST: Final = 1 << 62
"""Microseconds beyond all event times."""


@dataclass(frozen=True)
class StoredColumn:
    """A column of the view and its name in the files."""

    name: str
    type: Type
    column: str


@dataclass(frozen=True, kw_only=True)
class HistoryFile:
    """A file of the history.

    Args:
        name: file name.
        first: least position among its rows.
        last: greatest position.
        rows: number of rows.
        size: bytes.
        oldest: least event time, microseconds since 1970.
        newest: greatest event time.
        fields: how many of the view's value columns it holds, where the engine must be told; later ones are null in it.
        footer: CRC-32 of the bytes after the rows, which say where what lies and which Parquet itself does not check;
            ``None`` where the engine reads no footer that is not the written one.
    """

    name: str
    first: int
    last: int
    rows: int
    size: int
    oldest: int
    newest: int
    fields: int | None = None
    footer: int | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a view's history consists of.

    Args:
        view: ``name@version``.
        keys: key columns, sorted by name.
        fields: value columns, in the order they were added.
        ingested: when each ingestion took place, microseconds since 1970; the position counts them.
        files: what holds rows.
        rewrites: how often files were replaced by others.
    """

    view: str
    keys: tuple[StoredColumn, ...]
    fields: tuple[StoredColumn, ...]
    ingested: tuple[int, ...] = ()
    files: tuple[HistoryFile, ...] = ()
    rewrites: int = 0

    @classmethod
    def of(cls, view: FeatureView) -> Self:
        """The manifest of a view without rows."""
        keys = _stored((), view.entity.keys)
        return cls(view=view.ref, keys=keys, fields=_stored(keys, view.fields))

    @property
    def position(self) -> int:
        """Number of the last ingestion."""
        return len(self.ingested)

    @property
    def key_names(self) -> list[str]:
        """The keys' names where all views are alike: ``k0, k1, ...``."""
        return [f"k{number}" for number in range(len(self.keys))]

    @property
    def columns(self) -> dict[str, StoredColumn]:
        """Keys as ``k0, k1, ...`` and value columns as ``c0, c1, ...``."""
        keys = dict(zip(self.key_names, self.keys, strict=True))
        return keys | {f"c{number}": stored for number, stored in enumerate(self.fields)}

    def field_number(self, name: str) -> int:
        """Place of a value column.

        Raises:
            UnknownName: it was never applied.
        """
        names = [stored.name for stored in self.fields]
        if name not in names:
            raise UnknownName.of(f"column of {self.view}", name, names)
        return names.index(name)

    def watermark(self, at: datetime) -> Watermark:
        """Return the last position ingested by an instant, due then."""
        instant = instant_of(at)
        done = (position for position, when in enumerate(self.ingested, 1) if when <= instant)
        return Watermark(max(done, default=0), at)

    def select(
        self, *, as_of: int | None = None, oldest: int = EARLIEST, newest: int = LATEST
    ) -> tuple[HistoryFile, ...]:
        """Return the files that may hold rows of these positions and event times."""
        return tuple(
            file
            for file in self.files
            if (as_of is None or file.first <= as_of) and file.oldest <= newest and file.newest >= oldest
        )

    def widened(self, view: FeatureView) -> Self:
        """This manifest with the columns that the view gained.

        Raises:
            VersionRequired: a column was lost or has another type.
        """
        declared = {item.name: item.type for item in (*view.entity.keys, *view.fields)}
        known = {stored.name for stored in (*self.keys, *self.fields)}
        for stored in (*self.keys, *self.fields):
            if declared.get(stored.name) != stored.type:
                now = f"is a {declared[stored.name]}" if stored.name in declared else "is gone"
                found = f"column {stored.name!r} was a {stored.type} and {now}"
                raise VersionRequired(f"view {view.ref!r}", found, "Raise the view's version.")
        new_keys = [key.name for key in view.entity.keys if key.name not in known]
        if new_keys:
            found = f"key {', '.join(map(repr, new_keys))} was added"
            raise VersionRequired(f"view {view.ref!r}", found, "Raise the view's version.")
        added = [item for item in view.fields if item.name not in known]
        return replace(self, fields=(*self.fields, *_stored((*self.keys, *self.fields), added)))

    def ingesting(self, now: int, files: Sequence[HistoryFile] = ()) -> Self:
        """This manifest after one more ingestion, which took place now and added these files."""
        return replace(self, ingested=(*self.ingested, now), files=(*self.files, *files))

    def to_json(self) -> bytes:
        """Return the JSON form."""
        document = {
            "format": FORMAT,
            "view": self.view,
            "keys": [_column_to_json(stored) for stored in self.keys],
            "fields": [_column_to_json(stored) for stored in self.fields],
            "ingested_us": list(self.ingested),
            "rewrites": self.rewrites,
            "files": [_file_to_json(file) for file in self.files],
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the JSON form.

        Raises:
            ValueError: another format, or no such document.
        """
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r}, this version reads {FORMAT}")
            return cls(
                view=document["view"],
                keys=tuple(map(_column_from_json, document["keys"])),
                fields=tuple(map(_column_from_json, document["fields"])),
                ingested=tuple(document["ingested_us"]),
                files=tuple(HistoryFile(**file) for file in document["files"]),
                rewrites=document["rewrites"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest ({error!r})") from error


def _stored(before: Sequence[StoredColumn], added: Sequence[Field]) -> tuple[StoredColumn, ...]:
    """Columns with names that engines which ignore case can tell apart."""
    taken = {stored.column.casefold() for stored in before}
    columns = []
    for item in added:
        name, number = item.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{item.name}__{number}"
        taken.add(name.casefold())
        columns.append(StoredColumn(item.name, item.type, name))
    return tuple(columns)


def _column_to_json(stored: StoredColumn) -> dict[str, Any]:
    return {"name": stored.name, "type": str(stored.type), "column": stored.column}


def _column_from_json(item: Mapping[str, Any]) -> StoredColumn:
    """Read a column; where it says nothing of its name in the files, that is its name."""
    return StoredColumn(item["name"], Type.parse(item["type"]), item.get("column", item["name"]))


def _file_to_json(file: HistoryFile) -> dict[str, Any]:
    return {name: value for name, value in asdict(file).items() if value is not None}
