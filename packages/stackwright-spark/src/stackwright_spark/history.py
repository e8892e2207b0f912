"""The history of a view on disk: a folder of Parquet files, and a manifest that says which of them count.

::

    <path>/pricing/listing@2/
        manifest.json                     replaced atomically: what it does not name is not there
        00000001-00000001.0.0.parquet     rows of ingestion 1, or the first part of them
        00000002-00000041.7.0.parquet     merged or rewritten (for the 7th time): rows of ingestions 2 to 41
        .lock                             held by whoever writes
        .tmp-...                          what is being written

Each file holds the key and value columns under their own names, ``__event`` and ``__created`` (UTC, microseconds),
``__order`` (the order token) and ``__position`` (number of the ingestion), sorted by keys and order token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import FeatureStoreError, UnknownName, VersionRequired
from stackwright_interfaces.types import Field, Type
from stackwright_spark import durable

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"

_OUR_FILE: Final = re.compile(r"\d{8,}-\d{8,}\.\d+\.\d+\.parquet")


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
        footer: CRC-32 of the bytes after the rows, which say where what lies and which Parquet itself does not check.
    """

    name: str
    first: int
    last: int
    rows: int
    size: int
    oldest: int
    newest: int
    footer: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a view's history consists of.

    Args:
        view: ``name@version``.
        keys: key columns, sorted by name.
        fields: value columns, in the order they were added; a file without one of them holds nulls.
        ingested: when each ingestion took place, microseconds since 1970; the position counts them.
        files: what holds rows.
        rewrites: how often files were replaced by others.
    """

    view: str
    keys: tuple[Field, ...]
    fields: tuple[Field, ...]
    ingested: tuple[int, ...] = ()
    files: tuple[HistoryFile, ...] = ()
    rewrites: int = 0

    @classmethod
    def of(cls, view: FeatureView) -> Self:
        """The manifest of a view without rows."""
        return cls(view=view.ref, keys=_bare(view.entity.keys), fields=_bare(view.fields))

    @property
    def position(self) -> int:
        """Number of the last ingestion."""
        return len(self.ingested)

    def field_number(self, name: str) -> int:
        """Place of a value column.

        Raises:
            UnknownName: it was never applied.
        """
        names = [item.name for item in self.fields]
        if name not in names:
            raise UnknownName.of(f"column of {self.view}", name, names)
        return names.index(name)

    def widened(self, view: FeatureView) -> Self:
        """This manifest with the columns that the view gained.

        Raises:
            VersionRequired: a column was lost or has another type.
        """
        declared = {item.name: item.type for item in (*view.entity.keys, *view.fields)}
        known = {item.name for item in (*self.keys, *self.fields)}
        for item in (*self.keys, *self.fields):
            if declared.get(item.name) != item.type:
                now = f"is a {declared[item.name]}" if item.name in declared else "is gone"
                found = f"column {item.name!r} was a {item.type} and {now}"
                raise VersionRequired(f"view {view.ref!r}", found, "Raise the view's version.")
        new_keys = [key.name for key in view.entity.keys if key.name not in known]
        if new_keys:
            found = f"key {', '.join(map(repr, new_keys))} was added"
            raise VersionRequired(f"view {view.ref!r}", found, "Raise the view's version.")
        return replace(self, fields=(*self.fields, *_bare(item for item in view.fields if item.name not in known)))

    def to_json(self) -> bytes:
        """Return the JSON form."""
        document = {
            "format": FORMAT,
            "view": self.view,
            "keys": [_field_to_json(item) for item in self.keys],
            "fields": [_field_to_json(item) for item in self.fields],
            "ingested_us": list(self.ingested),
            "rewrites": self.rewrites,
            "files": [asdict(file) for file in self.files],
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
                keys=tuple(map(_field_from_json, document["keys"])),
                fields=tuple(map(_field_from_json, document["fields"])),
                ingested=tuple(document["ingested_us"]),
                files=tuple(HistoryFile(**file) for file in document["files"]),
                rewrites=document["rewrites"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest ({error!r})") from error


def _bare(fields: Any) -> tuple[Field, ...]:
    """Names and types alone, which is what files have."""
    return tuple(Field(item.name, item.type) for item in fields)


def _field_to_json(item: Field) -> dict[str, str]:
    return {"name": item.name, "type": str(item.type)}


def _field_from_json(item: Mapping[str, Any]) -> Field:
    return Field(item["name"], Type.parse(item["type"]))


@dataclass(frozen=True)
class ViewFolder:
    """The folder of one view's history.

    Args:
        root: the folder of all views.
        ref: ``name@version``.
        lock_timeout: seconds to wait for another writer.
    """

    root: Path
    ref: str
    lock_timeout: float = 300.0
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.root / self.ref)

    def file(self, file: HistoryFile) -> Path:
        """Where a file lies."""
        return self.path / file.name

    def find(self) -> Manifest | None:
        """Return the manifest, or ``None`` where the view has never been applied.

        Raises:
            FeatureStoreError: it cannot be read.
        """
        path = self.path / MANIFEST
        try:
            return Manifest.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            todo = "Restore it from a backup; the Parquet files beside it hold the rows."
            raise FeatureStoreError(str(path), f"cannot be read: {error}", todo) from error

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            UnknownName: the view has never been applied.
            FeatureStoreError: it cannot be read.
        """
        found = self.find()
        if found is None:
            applied = [str(path.parent.relative_to(self.root)) for path in self.root.rglob(MANIFEST)]
            raise UnknownName.of("view", self.ref, applied)
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to change the history, and remove what a crashed writer left.

        Raises:
            FeatureStoreError: the folder cannot be written, or another process holds it too long.
        """
        with writing_errors(self.path):
            durable.make_folder(self.path)
            with durable.locked(self.path / ".lock", self.lock_timeout):
                self._sweep()
                yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a fresh folder for files that are being written, removed at the end. The lock must be held."""
        fresh = self.path / f"{durable.TEMPORARY}{uuid4().hex}"
        fresh.mkdir()
        try:
            yield fresh
        finally:
            durable.remove(fresh)

    def publish(self, manifest: Manifest) -> None:
        """Make this the history from now on. The lock must be held."""
        durable.write(self.path / MANIFEST, manifest.to_json())

    def _sweep(self) -> None:
        manifest = self.find()
        ours = [path for path in self.path.iterdir() if _OUR_FILE.fullmatch(path.name)]
        if manifest is None and ours:
            found = f"is missing, though {len(ours)} files of history lie beside it"
            raise FeatureStoreError(str(self.path / MANIFEST), found, "Restore it from a backup.")
        kept = {file.name for file in manifest.files} if manifest else set()
        strays = [path for path in ours if path.name not in kept]
        for path in (*strays, *self.path.glob(f"{durable.TEMPORARY}*")):
            durable.remove(path)


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Say of a failed write what it means: nothing of it counts.

    Raises:
        FeatureStoreError: an ``OSError`` came up inside.
    """
    try:
        yield
    except OSError as error:
        todo = "Nothing was changed. Check that the folder can be written and has room."
        raise FeatureStoreError(str(path), f"cannot be written: {error.strerror or error}", todo) from error
