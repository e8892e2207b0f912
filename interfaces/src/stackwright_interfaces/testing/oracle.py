"""What is right, by brute force: plain Python over lists of rows, independent of any store's code.

Every function looks at all rows for every question it is asked. Values are plain Python: ``None`` is null, NaN a float.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stackwright_interfaces.definitions import AT, Aggregate, FeatureService, FeatureView, Selection, Window
from stackwright_interfaces.feature_store import Watermark

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Fact:
    """A row of a view.

    Args:
        key: parts of the key, in the order of the sorted key names.
        event: when it became true.
        created: when it was written down.
        values: stored column → value; a column left out is null.
        position: sequence number of its ingestion.
        rank: what decides between rows of one event and created time; any values that compare.
    """

    key: Key
    event: datetime
    created: datetime
    values: Mapping[str, Any] = field(default_factory=dict)
    position: int = 1
    rank: Any = 0

    @property
    def order(self) -> tuple[datetime, datetime, Any]:
        """Rows of one key are ordered by this."""
        return (self.event, self.created, self.rank)


@dataclass(frozen=True)
class Answer:
    """What a view says of a key at an instant: the event time of the row it took, or ``None``, and the features."""

    event: datetime | None
    values: Mapping[str, Any]


def answer(
    view: FeatureView,
    facts: Iterable[Fact],
    key: Key,
    at: datetime,
    *,
    known_by: bool = False,
    as_of: Watermark | None = None,
) -> Answer:
    """Return every feature of a view for one key as of one instant."""
    known = [
        fact
        for fact in sorted(facts, key=lambda fact: fact.order)
        if fact.key == key
        and fact.event <= at
        and (not known_by or fact.created <= at)
        and (as_of is None or admitted(fact, as_of))
    ]
    newest = known[-1] if known and None not in key else None
    if newest is not None and view.max_age is not None and newest.event < at - view.max_age:
        newest = None
    values = {column.name: None if newest is None else newest.values.get(column.name) for column in view.fields}
    for window in view.windows:
        values[window.name] = None if None in key else window_value(view, window, known, at)
    return Answer(None if newest is None else newest.event, values)


def admitted(fact: Fact, mark: Watermark) -> bool:
    """Tell whether a row counts at a watermark."""
    return fact.position <= mark.position and fact.event <= mark.due


def changes(
    facts: Iterable[Fact], since: Watermark | None, until: Watermark, history: timedelta | None = None
) -> list[Fact]:
    """Return the rows admitted by ``until`` but not by ``since``; with ``history`` all such keys' rows of that span."""
    known = [fact for fact in facts if admitted(fact, until)]
    new = [fact for fact in known if since is None or not admitted(fact, since)]
    if history is None:
        return new
    kept = []
    for key in {fact.key for fact in new}:
        rows = sorted((fact for fact in known if fact.key == key), key=lambda fact: fact.order)
        kept += [fact for fact in rows if fact.event >= until.due - history or fact is rows[-1]]
    return kept


def window_value(view: FeatureView, window: Window, known: Sequence[Fact], at: datetime) -> Any:
    """Return what a window says at an instant.

    Args:
        view: the window's view.
        window: what to compute.
        known: the rows of one key that may be known, in their order.
        at: the instant.
    """
    edge = at - window.length
    if window.slide is not None:
        edge -= (edge - EPOCH) % window.slide
    counted: dict[Any, Fact] = {}
    for fact in known:
        if edge <= fact.event < at:
            event_id = None if view.event_id is None else fact.values.get(view.event_id)
            counted[fact.event, event_id] = fact
    rows = sorted(counted.values(), key=lambda fact: fact.order)
    if window.column is None:
        return len(rows)
    column = [fact.values.get(window.column) for fact in rows]
    if window.aggregate is Aggregate.LAST_N and window.n is not None:
        return [value for value in column if value is not None][-window.n :] or None
    if window.aggregate is Aggregate.RATIO:
        below = (
            len(rows) if window.over is None else aggregate(Aggregate.SUM, [f.values.get(window.over) for f in rows])
        )
        above = aggregate(Aggregate.SUM, column)
        return None if above is None or not below else above / below + 0.0
    return aggregate(window.aggregate, column)


def aggregate(kind: Aggregate, column: Sequence[Any]) -> Any:
    """Aggregate the values of a window's rows, oldest first; nulls are passed over."""
    values = [value for value in column if value is not None]
    if kind is Aggregate.COUNT:
        return len(values)
    if kind is Aggregate.DISTINCT:
        return len({"NaN" if value != value else value for value in values})
    if not values or (kind is Aggregate.STD and len(values) < 2):
        return None
    if kind is Aggregate.LAST:
        return values[-1]
    if any(value != value for value in values):
        return math.nan
    return _NUMBERS[kind](values)


_NUMBERS: Final[Mapping[Aggregate, Callable[[Sequence[Any]], Any]]] = {
    Aggregate.SUM: math.fsum,
    Aggregate.MEAN: lambda values: math.fsum(values) / len(values),
    Aggregate.MIN: min,
    Aggregate.MAX: max,
    Aggregate.STD: lambda values: statistics.stdev(map(float, values)),
}


@dataclass(frozen=True)
class Oracle:
    """What a service says.

    Args:
        service: the service.
        facts: view reference → its rows.
        functions: transform → the same function over plain values, one row at a time.
    """

    service: FeatureService
    facts: Mapping[str, Sequence[Fact]]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def row(
        self,
        asked: Mapping[str, Any],
        at: datetime,
        *,
        known_by: bool = False,
        as_of: Mapping[str, Watermark] | None = None,
    ) -> dict[str, Any]:
        """Return the service's outputs, in order.

        Args:
            asked: request keys and request fields.
            at: the asked instant.
            known_by: pass over rows created after it.
            as_of: view reference → how much to know.
        """
        held: dict[str, Any] = {}
        found: dict[str, Any] = {}
        waves = sorted(self.service.selections, key=_is_derived)
        for selection in waves:
            view = selection.view
            key = tuple(held[source] if "." in source else asked[source] for source in selection.key_sources)
            rows = self.facts.get(view.ref, ())
            values = answer(view, rows, key, at, known_by=known_by, as_of=(as_of or {}).get(view.ref)).values
            held |= {f"{view.name}.{name}": value for name, value in values.items()}
            for name, output in zip(selection.features, selection.outputs, strict=True):
                missing = values[name] is None and output.has_default
                found[output.name] = output.default if missing else values[name]
        for item in self.service.request:
            value = asked[item.name]
            found[item.name] = item.default if value is None and item.has_default else value
        for step in self.service.transforms:
            found[step.name] = self.functions[step.name](*((found | {AT: at})[name] for name in step.inputs))
        return {output.name: found[output.name] for output in self.service.output_fields}


def _is_derived(selection: Selection) -> bool:
    return any("." in source for source in selection.key_sources)


def encoded(values: Sequence[str | None], known: Sequence[str]) -> list[float]:
    """Return the codes of categories: the place, the number of known ones if unknown, NaN if missing."""
    return [math.nan if value is None else float(_place(value, known)) for value in values]


def _place(value: str, known: Sequence[str]) -> int:
    return next((place for place, category in enumerate(known) if category == value), len(known))


def microseconds(instant: datetime) -> int:
    """Return the microseconds between 1970-01-01 UTC and an instant."""
    return (instant - EPOCH) // timedelta(microseconds=1)
