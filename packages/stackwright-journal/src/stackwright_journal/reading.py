"""Reading the prediction log: whole lines only, as records or as an Arrow table."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
import pyarrow as pa

from stackwright_features.arrow import INSTANT, arrow_type
from stackwright_interfaces.errors import ObjectNotFound
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.types import Field, Kind
from stackwright_journal.predictions import FOLDER, SUFFIX
from stackwright_journal.records import SCHEMA, rfc3339, utc_day

KEY: Final = "key."
FEATURE: Final = "feature."

_BASE: Final[Mapping[str, Any]] = {
    "prediction_id": pa.string(),
    "request_id": pa.string(),
    "model": pa.string(),
    "version": pa.int64(),
    "digest": pa.string(),
    "blueprint": pa.string(),
    "arm": pa.string(),
    "asked_at": INSTANT,
    "predicted_at": INSTANT,
    "prediction": pa.float64(),
    "lower": pa.float64(),
    "upper": pa.float64(),
}
_CHUNK: Final = 20_000
_AHEAD: Final = 8


@dataclass
class ReadCounts:
    """What was passed over while reading.

    Args:
        segments: segments read.
        torn: last lines without an end, as a killed writer leaves them.
        damaged: other lines that are no record.
        unknown_schema: records of another layout.
        duplicates: records whose prediction id came before.
    """

    segments: int = 0
    torn: int = 0
    damaged: int = 0
    unknown_schema: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Predictions:
    """Predictions as a table.

    Args:
        table: ``pyarrow.Table``, ordered by ``predicted_at``: ``prediction_id``, ``request_id``, ``model``,
            ``version``, ``digest``, ``blueprint``, ``arm``, ``asked_at``, ``predicted_at``, ``prediction``, ``lower``,
            ``upper``, then ``key.NAME`` and ``feature.NAME`` as asked for (null where the value is missing or not of
            that type).
        statuses: feature → name of a status that is not ``PRESENT`` → rows.
        counts: what was passed over.
    """

    table: Any
    statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    counts: ReadCounts = field(default_factory=ReadCounts)


class PredictionReader:
    """Reads what the writers of all processes wrote; they may go on writing meanwhile.

    Args:
        storage: opened on the journal's folder or URL.
        spool: opened on the folder in which segments wait for the storage, if they do.
    """

    def __init__(self, storage: Storage, *, spool: Storage | None = None) -> None:
        # The spool first: a segment leaves it only when the storage has it, so none is missed.
        self._places = (storage,) if spool is None else (spool, storage)

    def close(self) -> None:
        """Close the storages."""
        for place in self._places:
            place.close()

    def records(
        self, *, start: datetime | None = None, end: datetime | None = None, counts: ReadCounts | None = None
    ) -> Iterator[dict[str, Any]]:
        """Give records as they were written, times as RFC 3339 texts, a segment after the other.

        Args:
            start: the least ``predicted_at``.
            end: ``predicted_at`` is before it.
            counts: told what was passed over.
        """
        counts = counts if counts is not None else ReadCounts()
        low = rfc3339(start) if start else ""
        high = rfc3339(end) if end else "~"
        for data in self._fetched(self._keys(start, end)):
            counts.segments += 1
            for record in _records(data, counts):
                if low <= record["predicted_at"] < high:
                    yield record

    def read(
        self,
        *,
        model: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        keys: Sequence[Field] = (),
        features: Sequence[Field] = (),
    ) -> Predictions:
        """Return predictions of a model, or of all, with the entity keys and features that are asked for.

        Of records with one prediction id the first counts.

        Args:
            model: name of the model.
            start: the least ``predicted_at``.
            end: ``predicted_at`` is before it.
            keys: entity keys, each read as its declared type.
            features: features; bool, int64 and float64 are read as float64.
        """
        counts = ReadCounts()
        columns = _Columns(keys, features)
        seen: set[str] = set()
        for record in self.records(start=start, end=end, counts=counts):
            if model is not None and record["model"] != model:
                continue
            if record["prediction_id"] in seen:
                counts.duplicates += 1
                continue
            seen.add(record["prediction_id"])
            columns.add(record)
        return Predictions(columns.table().sort_by("predicted_at"), columns.status_names(), counts)

    def find(self, prediction_id: str) -> dict[str, Any] | None:
        """Return the record of one prediction, or ``None``."""
        return self.find_all([prediction_id]).get(prediction_id)

    def find_all(self, prediction_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return prediction id → record of those that are in the log."""
        wanted = set(prediction_ids)
        found: dict[str, dict[str, Any]] = {}
        needle = orjson.dumps(next(iter(wanted))) if len(wanted) == 1 else b""
        for data in self._fetched(self._keys(None, None)):
            if len(found) == len(wanted):
                break
            if needle in data:
                for record in _records(data, ReadCounts()):
                    if record["prediction_id"] in wanted:
                        found.setdefault(record["prediction_id"], record)
        return found

    def _keys(self, start: datetime | None, end: datetime | None) -> list[str]:
        """Return the segments of the days asked for."""
        low, high = utc_day(start) if start else "", utc_day(end) if end else "~"
        keys = sorted({key for place in self._places for key in place.list(f"{FOLDER}/") if key.endswith(SUFFIX)})
        return [key for key in keys if low <= key.split("/")[1] <= high]

    def _fetched(self, keys: Sequence[str]) -> Iterator[bytes]:
        """Give the content of segments in order; some are fetched ahead, because a storage may be far away."""
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(_AHEAD) as pool:
            try:
                for key in keys:
                    waiting.append(pool.submit(self._data, key))
                    if len(waiting) == _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _data(self, key: str) -> bytes:
        for place in self._places:
            with suppress(ObjectNotFound):
                return place.get(key).data
        return b""


def _records(data: bytes, counts: ReadCounts) -> Iterator[dict[str, Any]]:
    lines = data.split(b"\n")
    counts.torn += bool(lines.pop())
    for line in lines:
        try:
            record = orjson.loads(line)
            schema, _, _, _ = (record[name] for name in ("schema", "prediction_id", "predicted_at", "model"))
        except (ValueError, KeyError, TypeError):
            counts.damaged += 1
            continue
        if schema == SCHEMA:
            yield record
        else:
            counts.unknown_schema += 1


class _Columns:
    """Gathers records into Arrow columns, a chunk at a time."""

    def __init__(self, keys: Sequence[Field], features: Sequence[Field]) -> None:
        self._keys = [(item.name, _reader(item)) for item in keys]
        self._features = [(item.name, _feature_reader(item)) for item in features]
        fields = [
            *_BASE.items(),
            *((KEY + item.name, arrow_type(item.type)) for item in keys),
            *((FEATURE + item.name, _feature_type(item)) for item in features),
        ]
        self._schema = pa.schema(fields)
        self._rows: list[tuple[Any, ...]] = []
        self._chunks: list[Any] = []
        self._statuses: dict[str, Counter[int]] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        keys, features = record.get("keys") or {}, record.get("features") or {}
        record = {"arm": "live", **record}
        base = [_number(record.get(name)) if kind == pa.float64() else record.get(name) for name, kind in _BASE.items()]
        found = (read(keys.get(name)) for name, read in self._keys)
        values = (read(features.get(name)) for name, read in self._features)
        self._rows.append((*base, *found, *values))
        for name, code in (record.get("statuses") or {}).items():
            self._statuses.setdefault(name, Counter())[code] += 1
        if len(self._rows) >= _CHUNK:
            self._flush()

    def table(self) -> Any:
        """Return all that was added."""
        self._flush()
        return pa.Table.from_batches(self._chunks, schema=self._schema)

    def status_names(self) -> dict[str, dict[str, int]]:
        """Return feature → status → rows."""
        return {
            name: {Status(code).name: rows for code, rows in sorted(tally.items())}
            for name, tally in sorted(self._statuses.items())
        }

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [
            pa.array(values, pa.string()).cast(INSTANT) if kind == INSTANT else pa.array(values, kind)
            for values, kind in zip(columns, self._schema.types, strict=True)
        ]
        self._chunks.append(pa.record_batch(arrays, schema=self._schema))
        self._rows = []


def _feature_type(item: Field) -> Any:
    return pa.float64() if item.type.kind in {Kind.BOOL, Kind.INT64, Kind.FLOAT64} else pa.string()


def _feature_reader(item: Field) -> Callable[[Any], Any]:
    return _number if _feature_type(item) == pa.float64() else _text


def _reader(item: Field) -> Callable[[Any], Any]:
    return {Kind.INT64: _integer, Kind.BOOL: _boolean, Kind.BYTES: _bytes}.get(item.type.kind, _text)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _bytes(value: Any) -> bytes | None:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return None
