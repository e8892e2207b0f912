"""The label log of one target: every truth that was ever told, and what was known when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.errors import ObjectNotFound, PreconditionFailed, StorageError
from stackwright_interfaces.storage import Storage
from stackwright_journal.label_columns import KEY, REQUEST, LabelNames
from stackwright_journal.label_parts import LabelParts, in_force, micros, parted
from stackwright_journal.label_rows import LabelRows, accepted, normalise, schema
from stackwright_journal.label_segments import MANY, LabelSegments

_ATTEMPTS: Final = 50
_ORDER: Final = ("identity", "asked", "observed", "revision", "retracted", "reason", "position")
_HASHES: Final = ["identity", "version", "content", "reason"]


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What an ingestion did.

    Args:
        rows: rows handed over.
        added: rows that were new and are labels now.
        revisions: those of them whose label was known before.
        duplicates: rows that were there already, to the last value.
        quarantined: rows that were set apart now.
        reasons: reason → rows of this table that it applies to, set apart now or before.
        assumed_utc: naive times taken as UTC.
        position: sequence number of the log after it.
    """

    rows: int
    added: int
    revisions: int = 0
    duplicates: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    assumed_utc: int = 0
    position: int = 0


Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class _Known:
    """Hashes of rows: label ids and versions of the accepted ones, contents of all."""

    identity: Hashes
    version: Hashes
    content: Hashes

    @classmethod
    def of(cls, rows: Any) -> _Known:
        identity, version, content = (rows.column(name).to_numpy() for name in ("identity", "version", "content"))
        kept = accepted(rows)
        return cls(identity[kept], version[kept], content)

    @classmethod
    def together(cls, parts: Sequence[_Known]) -> _Known:
        every = [_EMPTY, *parts]
        return cls(*(np.concatenate([getattr(part, name) for part in every]) for name in cls.__dataclass_fields__))


_EMPTY: Final = _Known(*(np.zeros(0, np.uint64) for _ in range(3)))


class LabelLog:
    """Append-only, in Parquet segments that appear whole or not at all; usable from many processes.

    A row is a label, a *revision* of one (a row of the same label id that differs), or a *retraction*. Of the rows of
    one label the last counts: by revision number where the source counts them, then by observed time, then by the
    order of ingestion. A row that is there already is a duplicate, whatever source says it again: a table may be
    ingested again, under another name too.

    Args:
        storage: opened on the journal's folder or URL.
        target: whose labels these are.
        clock: the present, in UTC.
    """

    def __init__(
        self, storage: Storage, target: Target, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._target = target
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self.names = LabelNames.of(target)
        self.schema = schema(target)
        self._segments = LabelSegments(storage, target.name, self.schema)

    def ingest(self, table: object, *, source: str = "", observed_at: datetime | None = None) -> LabelReport:
        """Add labels, durably and all or nothing.

        Rows that cannot be labels (no key, no value, observed before they happened, two truths at one time) are kept
        in quarantine with their reason.

        Args:
            table: anything with ``__arrow_c_stream__``. Columns as the target names them, and as far as it does not use
                these names itself: ``prediction_id`` (then keys, asked time, label id and censored flag may be
                missing), ``retracted`` (then value and happened may be), ``revision``, ``source``. Others are passed
                over.
            source: who says so, where the table does not.
            observed_at: when rows without an observed time were observed.

        Raises:
            MissingColumn: a column that every label needs is not there.
            WrongType: a column cannot be what it is declared to be.
            StorageError: the segment cannot be written.
        """
        incoming = normalise(
            table, self._target, source=source, observed_at=observed_at, recorded_at=self._clock().astimezone(UTC)
        )
        stored: LabelReport | None = None
        for _ in range(_ATTEMPTS):
            try:
                fresh, report = self._select(incoming, self._segments.current())
                if not len(fresh):
                    return stored or report
                key = self._segments.add(report.position, fresh)
            except (PreconditionFailed, ObjectNotFound):
                continue
            # Segments may have been merged since they were listed: then this one is part of the merged one, or came
            # into the place of one that is, and does not count. Looking again tells which.
            there = self._segments.current()
            if key in there.values():
                if len(there) >= MANY:
                    with suppress(StorageError):  # these labels are stored; the next ingestion tries it again
                        self._segments.merge(MANY)
                return report
            stored = report
        found = f"{_ATTEMPTS} attempts were each forestalled by another writer"
        raise StorageError(f"labels of {self._target.name!r}", found, "Ingest larger tables, less often.")

    def read(
        self,
        *,
        known_at: datetime | None = None,
        position: int | None = None,
        columns: Collection[str] | None = None,
    ) -> Any:
        """Return the labels in force as a ``pyarrow.Table``, ordered by asked time.

        Columns are named as in :class:`~stackwright_journal.label_columns.LabelNames`: keys, asked, happened, observed,
        value, censored, request fields, label id, prediction id, source, revision.

        Args:
            known_at: pass over what was observed after it, as if asked then.
            position: pass over what was ingested after this position of the log. Both together repeat a report to the
                letter, whatever has come since.
            columns: those that are wanted, by the names above; others are not read. ``None`` is all.
        """
        named = {name: stored for name, stored in self._names().items() if columns is None or name in columns}
        rows = self._accepted(position, {*_ORDER, *named.values()})
        if known_at is not None:
            rows = rows.filter(pc.less_equal(rows.column("observed"), pa.scalar(known_at, INSTANT)))
        identity, revision = rows.column("identity").to_numpy(), rows.column("revision").fill_null(0).to_numpy()
        rows = rows.take(pa.array(in_force(identity, revision, micros(rows, "observed"))))
        rows = rows.filter(pc.invert(rows.column("retracted")))
        order = np.lexsort((rows.column("identity").to_numpy(), micros(rows, "asked")))
        return _named(rows.take(pa.array(order)), named)

    def read_in_parts(
        self,
        folder: Path,
        *,
        size: int,
        most: int,
        known_at: datetime | None = None,
        position: int | None = None,
        columns: Collection[str],
    ) -> LabelParts:
        """Return what :meth:`read` returns of these columns, some rows at a time; labels without a time come last.

        Args:
            folder: where rows lie meanwhile, as many bytes as the columns have.
            size: rows at a time, about; those of one instant come together.
            most: parts; of more rows each holds more.

        Raises:
            StorageError: a segment is damaged, or the folder cannot be written.
        """
        named = {name: stored for name, stored in self._names().items() if name in columns}
        for _ in range(_ATTEMPTS):
            try:
                segments = self._segments.fetch(self._segments.current(), folder)
            except ObjectNotFound:
                continue
            found = parted(segments, folder, named, size=size, most=most, known_at=known_at, position=position)
            for path in segments:
                path.unlink()
            return found
        raise _vanishing(self._target)

    def history(self, label_id: str | None = None) -> Any:
        """Return every accepted row, of one label or of all, in the order of ingestion.

        Columns as in :meth:`read`; behind them ``__retracted``, ``__recorded_at`` and ``__position``.
        """
        rows = self._accepted(None)
        if label_id is not None:
            rows = rows.filter(pc.equal(rows.column("label_id"), label_id))
        named = _named(rows, self._names())
        for name in ("retracted", "recorded_at", "position"):
            named = named.append_column(f"__{name}", rows.column(name))
        return named

    def quarantine(self) -> Any:
        """Return the rows set apart: ``position``, ``recorded_at``, ``reason`` and ``row`` (JSON text)."""
        rows = self._load()
        return rows.filter(rows.column("reason").is_valid()).select(["position", "recorded_at", "reason", "row"])

    @property
    def position(self) -> int:
        """Sequence number of the last ingestion that added something; 0 is none."""
        return max(self._segments.current(), default=0)

    def compact(self) -> int:
        """Merge all segments into one. Return how many were merged. An ingestion does it where they are many."""
        return self._segments.merge(2)

    def _select(self, incoming: LabelRows, segments: Mapping[int, str]) -> tuple[Any, LabelReport]:
        """Return the rows that these segments do not hold, and what to report of them."""
        known = self._hashes(segments)
        version, content = (incoming.rows.column(name).to_numpy() for name in ("version", "content"))
        changed = (version != 0) & np.isin(version, known.version) & ~np.isin(content, known.content)
        incoming = incoming.set_apart(changed, "its revision is recorded with another content")
        rows, kept = incoming.rows, incoming.accepted
        identity, content = (rows.column(name).to_numpy() for name in ("identity", "content"))
        fresh = np.zeros(len(rows), np.bool_)
        fresh[np.unique(content, return_index=True)[1]] = True
        fresh &= ~np.isin(content, known.content)
        added = fresh & kept
        labels = np.unique(identity[added])
        report = LabelReport(
            rows=len(rows),
            added=int(added.sum()),
            revisions=int(added.sum()) - int((~np.isin(labels, known.identity)).sum()),
            duplicates=int((~fresh & kept).sum()),
            quarantined=int((fresh & ~kept).sum()),
            reasons=_tally(rows),
            assumed_utc=incoming.assumed_utc,
            position=max(segments, default=0) + bool(fresh.any()),
        )
        rows = rows.filter(pa.array(fresh))
        position = pa.repeat(pa.scalar(report.position, pa.int64()), len(rows))
        return rows.set_column(rows.column_names.index("position"), "position", position), report

    def _hashes(self, segments: Mapping[int, str]) -> _Known:
        """Return the hashes of segments, which are read once: a segment never changes."""
        self._known = {
            key: self._known.get(key) or _Known.of(self._segments.read(key, _HASHES)) for key in segments.values()
        }
        return _Known.together([*self._known.values()])

    def _accepted(self, position: int | None, columns: Collection[str] | None = None) -> Any:
        rows = self._load(columns)
        wanted = accepted(rows)
        if position is not None:
            wanted &= rows.column("position").to_numpy() <= position
        return rows.filter(pa.array(wanted))

    def _load(self, columns: Collection[str] | None = None) -> Any:
        """Return all rows, or some columns of them, in the order of ingestion."""
        for _ in range(_ATTEMPTS):
            try:
                return self._segments.rows(self._segments.current(), columns)
            except ObjectNotFound:
                continue
        raise _vanishing(self._target)

    def _names(self) -> dict[str, str]:
        """Return what labels say: the target's name of it → its column."""
        names = self.names
        found = [
            *((name, KEY + name) for name in names.keys),
            (names.asked, "asked"),
            (names.happened, "happened"),
            (names.observed, "observed"),
            (names.value, "value"),
            (names.censored, "censored"),
            *((name, REQUEST + name) for name in names.request),
            (names.label_id, "label_id"),
            (names.prediction_id, "prediction_id"),
            (names.source, "source"),
            (names.revision, "revision"),
        ]
        return {name: column for name, column in found if name is not None}


def _named(rows: Any, named: Mapping[str, str]) -> Any:
    return pa.table({name: rows.column(column) for name, column in named.items()})


def _vanishing(target: Target) -> StorageError:
    return StorageError(f"labels of {target.name!r}", "segments vanish while they are read")


def _tally(rows: Any) -> dict[str, int]:
    """Return reason → rows."""
    counted = rows.column("reason").drop_null().value_counts().to_pylist()
    return {item["values"]: item["counts"] for item in sorted(counted, key=lambda item: str(item["values"]))}
