"""Offline halves that are wrong in one way each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import EVENT, ORDER, ArrowStream, Asked, Watermark
from stackwright_interfaces.testing.faults import FaultyOffline
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.testing.tables import STAMP

_FAR = timedelta(days=10_000)


def _replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _tokens(table: pa.Table, alter: Any) -> pa.Table:
    """Alter each order token; ``alter`` is given the token and the row's place."""
    tokens = [alter(token, place) for place, token in enumerate(table[ORDER].to_pylist())]
    return _replaced(table, ORDER, pa.array(tokens, pa.binary(24)))


def _moved(instants: Any, span: timedelta) -> Any:
    return pc.add(instants, pa.scalar(span, pa.duration("us")))


@dataclass
class Shifted(FaultyOffline):
    """Labels are asked at another instant: off by one at the boundary."""

    span: timedelta = US

    def labels(self, labels: pa.Table, asked: Sequence[Asked]) -> pa.Table:
        """Move the instants."""
        return _replaced(labels, EVENT, _moved(labels[EVENT], self.span))


@dataclass
class Nearest(FaultyOffline):
    """Where no row is old enough, the nearest of the future is taken."""

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Ask again, later, where there was no answer."""
        table = pa.table(labels)
        now = pa.table(self.inner.join(table, asked, known_by=known_by))
        later = _replaced(table, EVENT, _moved(table[EVENT], _FAR))
        future = pa.table(self.inner.join(later, asked, known_by=known_by))
        filled: ArrowStream = pa.table({name: pc.coalesce(now[name], future[name]) for name in now.column_names})
        return filled


@dataclass
class Ageing(FaultyOffline):
    """Another age than the declared one.

    Args:
        age: declared age → age in force.
    """

    age: Any = None

    def question(self, asked: Asked) -> Asked:
        """Ask with another age."""
        return replace(asked, view=replace(asked.view, max_age=self.age(asked.view.max_age)))


@dataclass
class OneAge(FaultyOffline):
    """All views of a join expire at the age of the strictest."""

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Ask every view with the least age."""
        age = min((item.view.max_age for item in asked if item.view.max_age is not None), default=None)
        return self.inner.join(
            labels, [replace(item, view=replace(item.view, max_age=age)) for item in asked], known_by=known_by
        )


@dataclass
class SmallestCreated(FaultyOffline):
    """Of rows of one event time the one created first wins."""

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Turn the created time in the token over."""
        return _tokens(rows, lambda token, _: token[:8] + bytes(255 - byte for byte in token[8:16]) + token[16:])


@dataclass
class ArrivalOrder(FaultyOffline):
    """A full tie goes to the row that came last."""

    rows_seen: int = 0

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Put a counter where the hash of the content was."""
        first, self.rows_seen = self.rows_seen, self.rows_seen + len(rows)
        return _tokens(rows, lambda token, place: token[:16] + (first + place).to_bytes(8, "big"))


@dataclass
class NullsPassedOver(FaultyOffline):
    """A row with a null in it does not count, so that an older one answers."""

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Leave out rows with nulls."""
        return rows.drop_null()


@dataclass
class FirstOfBatch(FaultyOffline):
    """Of the rows of a key in one batch the first is kept."""

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Keep one row a key."""
        keys = list(zip(*(rows[name].to_pylist() for name in view.entity.key_names), strict=True))
        return rows.take(pa.array([place for place, key in enumerate(keys) if keys.index(key) == place], pa.int64()))


@dataclass
class NullKeysFilled(FaultyOffline):
    """A null key is taken for zero or the empty text."""

    def labels(self, labels: pa.Table, asked: Sequence[Asked]) -> pa.Table:
        """Fill the null keys."""
        for name in {name for item in asked for name in item.keys.values()}:
            zero = pa.scalar(0 if pa.types.is_integer(labels[name].type) else "", labels[name].type)
            labels = _replaced(labels, name, pc.fill_null(labels[name], zero))
        return labels


@dataclass
class Squashed(FaultyOffline):
    """Parts of a key of two texts are made one; subclasses say how."""

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Squash the keys of rows."""
        return self._squashed(rows, list(view.entity.key_names))

    def labels(self, labels: pa.Table, asked: Sequence[Asked]) -> pa.Table:
        """Squash the keys of labels."""
        for item in asked:
            labels = self._squashed(labels, [item.keys[name] for name in item.view.entity.key_names])
        return labels

    def _squashed(self, table: pa.Table, names: list[str]) -> pa.Table:
        if len(names) != 2:
            return table
        one, other = (table[name] for name in names)
        table = _replaced(table, names[0], self.squash(one, other))
        return _replaced(table, names[1], pc.if_else(pc.is_valid(other), "", other))

    def squash(self, one: Any, other: Any) -> Any:
        """Keep the first part only."""
        return one


@dataclass
class Concatenated(Squashed):
    """Parts of a key run into each other."""

    def squash(self, one: Any, other: Any) -> Any:
        """Concatenate."""
        return pc.binary_join_element_wise(one, other, "")


@dataclass
class LateRowsKnown(FaultyOffline):
    """``known_by`` is ignored."""

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Ask without it."""
        return self.inner.join(labels, asked)


@dataclass
class AlwaysNow(FaultyOffline):
    """``as_of`` is ignored."""

    def question(self, asked: Asked) -> Asked:
        """Ask without it."""
        return replace(asked, as_of=None)


@dataclass
class WindowLength(FaultyOffline):
    """Windows are longer or shorter than declared."""

    span: timedelta = US

    def question(self, asked: Asked) -> Asked:
        """Ask for other windows."""
        windows = tuple(replace(item, length=item.length + self.span, slide=None) for item in asked.view.windows)
        return replace(asked, view=replace(asked.view, windows=windows))


@dataclass
class WindowsIncludeNow(FaultyOffline):
    """A window holds the events of the asked instant."""

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Ask for the windows one microsecond later, and one longer."""
        table = pa.table(labels)
        answer = pa.table(self.inner.join(table, asked, known_by=known_by))
        moved = _replaced(table, EVENT, _moved(table[EVENT], US))
        later = pa.table(WindowLength(self.inner).join(moved, asked, known_by=known_by))
        for item in asked:
            for window in item.view.windows:
                if window.name in item.features:
                    output = item.features[window.name]
                    answer = _replaced(answer, output, later[output])
        altered: ArrowStream = answer
        return altered


@dataclass
class Replaying(FaultyOffline):
    """An event that comes again counts again."""

    seen: set[bytes] = field(default_factory=set)

    def rows(self, view: FeatureView, rows: pa.Table) -> pa.Table:
        """Give events that came before an id of their own."""
        tokens = rows[ORDER].to_pylist()
        again = [token in self.seen for token in tokens]
        self.seen |= set(tokens)
        if view.event_id is None or not any(again):
            return rows
        ids = rows[view.event_id].to_pylist()
        new = [f"{name} again" if known else name for name, known in zip(ids, again, strict=True)]
        rows = _replaced(rows, view.event_id, pa.array(new, pa.string()))
        return _tokens(rows, lambda token, place: token[:23] + bytes([token[23] ^ again[place]]))


@dataclass
class ByEventTime(FaultyOffline):
    """Materialisation goes by event time: what comes late stays out."""

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give the rows that became true since the last time."""
        for chunk in self.inner.changes(view, None, until, history=history):
            table = pa.table(chunk)
            if since is not None:
                table = table.filter(pc.greater(table[EVENT], pa.scalar(since.due, STAMP)))
            if len(table):
                yield table


@dataclass
class EverythingAgain(FaultyOffline):
    """Each materialisation gives all rows that are known, however much was given before."""

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give everything."""
        return self.inner.changes(view, None, until, history=history)


@dataclass
class DeletesNothing(FaultyOffline):
    """History is not deleted."""

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Only say so."""
        return 2 * len(pa.table(keys))


@dataclass
class ForgetsDeletion(FaultyOffline):
    """A replay brings back what was deleted."""

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Delete as of long ago."""
        return self.inner.delete(views, keys, datetime(1900, 1, 1, tzinfo=UTC))


@dataclass
class SinceEver(FaultyOffline):
    """The watermark of an instant tells the last position, not the one of then."""

    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Tell the last position."""
        mark = self.inner.watermark(view)
        return mark if at is None else Watermark(mark.position, at)
