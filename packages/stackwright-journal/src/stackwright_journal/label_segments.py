"""The segments of one label log: Parquet objects in order, of which many are merged into one now and then.

::

    labels/sale_price/000000000031.parquet           one ingestion
    labels/sale_price/000000000032-merged.parquet    all until the 32nd: only this one and those after it count
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stackwright_interfaces.errors import ObjectNotFound, PreconditionFailed, StorageError
from stackwright_interfaces.storage import Storage

FOLDER: Final = "labels"

MANY: Final = 32
"""Segments that are worth merging: on S3 a reader fetches so many in about a second."""

_NAME: Final = re.compile(r"(?P<position>\d{12})(?P<merged>-merged)?\.parquet")


class LabelSegments:
    """What is stored of a label log. A segment appears whole or not at all, and never changes.

    Args:
        storage: opened on the journal's folder or URL.
        name: of the log.
        schema: of its rows, as ``pyarrow.Schema``.
    """

    def __init__(self, storage: Storage, name: str, schema: Any) -> None:
        self._storage = storage
        self._prefix = f"{FOLDER}/{name}/"
        self._schema = schema

    def current(self) -> dict[int, str]:
        """Return position → key of the segments that count: the newest merged one and those after it."""
        found = {place: key for key in self._storage.list(self._prefix) if (place := self._parse(key))}
        merged = max((position for position, is_merged in found if is_merged), default=0)
        return {
            position: key
            for (position, is_merged), key in sorted(found.items())
            if position > merged or (is_merged and position == merged)
        }

    def add(self, position: int, rows: Any) -> str:
        """Store the rows of an ingestion; return the key.

        Raises:
            PreconditionFailed: another ingestion has the position.
        """
        key = f"{self._prefix}{position:012d}.parquet"
        self._storage.put_if_absent(key, _parquet(rows))
        return key

    def read(self, key: str, columns: list[str] | None = None) -> Any:
        """Return the rows of one segment as a ``pyarrow.Table``.

        Raises:
            ObjectNotFound: it was merged, and removed since.
            StorageError: it is damaged.
        """
        data = self._storage.get(key).data
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
        except pa.ArrowException as error:
            raise StorageError(key, f"not a segment of labels ({error})", "Restore it from a backup.") from error

    def fetch(self, segments: Mapping[int, str], folder: Path) -> list[Path]:
        """Write segments into a folder, in the order of ingestion; none is held whole.

        Raises:
            ObjectNotFound: one was merged, and removed since.
            StorageError: one cannot be read, or the folder cannot be written.
        """
        found = []
        for key in segments.values():
            path = folder / key.rpartition("/")[2]
            try:
                self._storage.fetch(key, path)
            except OSError as error:
                raise StorageError(
                    str(path), f"cannot be written ({error})", "Free space or allow writing there."
                ) from error
            found.append(path)
        return found

    def rows(self, segments: Mapping[int, str], columns: Collection[str] | None = None) -> Any:
        """Return the rows of segments in the order of ingestion, with all columns or these."""
        wanted = [name for name in self._schema.names if columns is None or name in columns]
        parts = [self.read(key, wanted) for key in segments.values()]
        return pa.concat_tables([self._schema.empty_table().select(wanted), *parts]).combine_chunks()

    def merge(self, least: int) -> int:
        """Merge all segments into one, where they are so many; return how many were merged.

        A folder is not listed in one instant. Who lists it while some go and another comes could find neither, so those
        that were merged stay until the next time: removed are those that the last merged one holds. And of two that
        come meanwhile the first may be missed, so that none behind a gap is merged.

        Raises:
            StorageError: segments cannot be read, stored or removed; nothing is lost.
        """
        segments = _without_gap(self.current())
        if len(segments) < max(least, 2):
            return 0
        first, oldest = next(iter(segments.items()))
        if self._parse(oldest) == (first, True):
            self._remove(until=first, but=oldest)
        try:
            merged = f"{self._prefix}{max(segments):012d}-merged.parquet"
            self._storage.put_if_absent(merged, _parquet(self.rows(segments)))
        except (PreconditionFailed, ObjectNotFound):  # another merged them meanwhile
            return 0
        return len(segments)

    def _remove(self, *, until: int, but: str) -> None:
        for key in list(self._storage.list(self._prefix)):
            found = self._parse(key)
            if found and found[0] <= until and key != but:
                self._storage.delete(key)

    def _parse(self, key: str) -> tuple[int, bool] | None:
        """Return a segment's position and whether it was merged."""
        found = _NAME.fullmatch(key.removeprefix(self._prefix))
        return (int(found["position"]), bool(found["merged"])) if found else None


def _without_gap(segments: Mapping[int, str]) -> dict[int, str]:
    """Return the segments up to the first position that is not there."""
    start = min(segments, default=0)
    return {at: key for place, (at, key) in enumerate(segments.items()) if at == start + place}


def _parquet(rows: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()
