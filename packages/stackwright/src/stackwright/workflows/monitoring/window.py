"""What is known of the predictions of a window: columns counted as they stream by, truths joined, a few rows whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring.subject import Watched
from stackwright_interfaces.types import Field
from stackwright_journal.counting import ColumnCounts
from stackwright_journal.join import Joined, join
from stackwright_journal.lines import ReadCounts
from stackwright_journal.reading import FEATURE, Batch, PredictionReader, Span, status_names
from stackwright_journal.tabulating import BASE, FALLBACKS, IDENTITY, Wanted

_LEFT_OUT = ("request_id", "digest", "blueprint")


@dataclass(frozen=True)
class Seen:
    """What is known of a window.

    Args:
        joined: the model's predictions with their labels.
        counted: the columns of the version's predictions that were asked for in the window.
        statuses: feature → status that is not ``PRESENT`` → rows, of the same predictions.
        counts: what was passed over while reading.
        sample: some of the window's predictions, features and all, spread evenly.
        position: of the label log.
    """

    joined: Joined
    counted: ColumnCounts
    statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    counts: ReadCounts = field(default_factory=ReadCounts)
    sample: Any = None
    position: int = 0


def see(
    stack: Stack,
    watched: Watched,
    *,
    start: datetime | None,
    end: datetime | None,
    at: datetime,
    position: int | None = None,
    back: timedelta | None = None,
    by: Sequence[str] = (),
    sample: int = 0,
) -> Seen:
    """Read the journal as it was known at an instant.

    Args:
        start: begin of the window; ``None`` is open.
        end: end of the window, exclusive; ``None`` is open.
        at: what was asked or observed later is passed over.
        position: labels that were ingested after it are passed over.
        back: how far before the window predictions are joined; ``None`` takes all.
        by: text features that are joined too.
        sample: rows to keep whole.
    """
    labels = journal.labels(stack, watched.target)
    counts = ReadCounts()
    counted, statuses = ColumnCounts(watched.histograms), dict[str, Counter[int]]()
    kept = Sample(sample)
    window = Span(start, min(end, at) if end else at, "asked_at")
    early = None if start is None or back is None else start - back
    with closing(journal.predictions(stack)) as reader:
        for batch in _columns(reader, watched, window, counts):
            mine = batch.table.filter(pc.equal(batch.table.column("version"), watched.version.version))
            counted.add(mine)
            kept.add(batch.table)
            for name, tally in batch.statuses.items():
                statuses.setdefault(name, Counter()).update(tally)
        told = labels.read(known_at=at, position=position)
        everything = _everything(reader, watched, Span(early, window.end, "asked_at"), _named(labels, told), by)
    joined = join(everything, told, watched.target, at=at, time="asked_at", keys=watched.keys)
    return Seen(
        joined=joined,
        counted=counted,
        statuses=status_names(statuses),
        counts=counts,
        sample=kept.table(),
        position=labels.position if position is None else position,
    )


def _columns(reader: PredictionReader, watched: Watched, span: Span, counts: ReadCounts) -> Iterator[Batch]:
    base = ("version", "arm", "asked_at", "prediction")
    wanted = Wanted((), watched.signature.inputs, base, (IDENTITY,), compact=True)
    return reader.batches(wanted, model=watched.name, span=span, counts=counts)


def _everything(
    reader: PredictionReader, watched: Watched, span: Span, ids: Sequence[str], by: Sequence[str]
) -> pa.Table:
    """Return the predictions of a span as far as the join and the numbers need them: millions must fit into memory."""
    base = [name for name in BASE if name not in _LEFT_OUT and (name != "prediction_id" or ids)]
    known: dict[str, Field] = {item.name: item for item in watched.signature.inputs}
    features = [known[name] for name in dict.fromkeys([*watched.signature.categories, *by]) if name in known]
    wanted = Wanted(watched.service.request_keys, features, tuple(base), (IDENTITY, FALLBACKS), compact=True)
    tables = [batch.table for batch in reader.batches(wanted, model=watched.name, span=span)]
    return pa.concat_tables([wanted.schema.empty_table(), *tables]).unify_dictionaries()


def _named(labels: Any, told: pa.Table) -> Sequence[str]:
    """Return the ids of predictions that labels name; mostly none, and then ids need not be read."""
    name = labels.names.prediction_id
    return () if name is None else told.column(name).drop_null().slice(0, 1).to_pylist()


class Sample:
    """Keeps about so many rows of tables that stream by, spread evenly over all of them."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._stride = 1
        self._skip = 0
        self._held = 0
        self._parts: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Take some rows of a table."""
        if not self._rows:
            return
        places = np.arange(self._skip, len(table), self._stride)
        self._skip = (self._skip - len(table)) % self._stride
        self._parts.append(table.take(pa.array(places)))
        self._held += len(places)
        while self._held > 2 * self._rows:
            whole = pa.concat_tables(self._parts)
            self._parts = [whole.take(pa.array(np.arange(0, len(whole), 2)))]
            self._skip += self._stride if self._held % 2 else 0
            self._stride *= 2
            self._held = len(self._parts[0])

    def table(self) -> pa.Table | None:
        """Return the rows kept; ``None`` where none were wanted or came."""
        return pa.concat_tables(self._parts) if self._parts else None


def as_learned(seen: Seen, watched: Watched) -> pa.Table:
    """Return the sample under the names of the model's inputs, with answers and, where they are known, truths."""
    fields = watched.signature.inputs
    if seen.sample is None:
        return pa.table({name: pa.array([], pa.float64()) for name in (*(item.name for item in fields), "prediction")})
    sample, joined = seen.sample, seen.joined.table
    place = pc.index_in(sample.column(IDENTITY), value_set=joined.column(IDENTITY).combine_chunks())
    columns = {item.name: _plain(sample.column(FEATURE + item.name)) for item in fields}
    truth = joined.column("target").combine_chunks().take(place.combine_chunks())
    return pa.table({**columns, "prediction": sample.column("prediction"), "target": truth.cast(pa.float64())})


def _plain(column: Any) -> Any:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
