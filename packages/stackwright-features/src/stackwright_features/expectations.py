"""Rows of which a view's expectations do not hold: set aside with their reasons, before anything is ingested."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import arrow_type, read_table
from stackwright_features.casts import cast
from stackwright_features.normalise import Incoming
from stackwright_features.times import Clock, to_utc
from stackwright_interfaces.definitions import Expectation, FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.types import Kind, Type

REASON: Final = "__reason"


@dataclass(frozen=True)
class Sifted:
    """An ingestion, parted.

    Args:
        kept: the rows that may be ingested, as they came.
        set_aside: the others, as they came, with ``__reason`` behind them.
    """

    kept: Any
    set_aside: Any

    @property
    def reasons(self) -> dict[str, int]:
        """Reason → rows it applies to, the most frequent first."""
        counted: dict[str, int] = {}
        for reasons in self.set_aside.column(REASON).to_pylist():
            for reason in reasons.split("; "):
                counted[reason] = counted.get(reason, 0) + 1
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def sift(table: object, view: FeatureView) -> Sifted:
    """Part the rows of an ingestion.

    Set aside are rows without a key or event time, and those of which an expectation does not hold.

    Args:
        table: anything with ``__arrow_c_stream__``, as it would be ingested.
        view: the view.

    Raises:
        DataError: more values of a column are missing than expected; nothing is to be ingested.
        MissingColumn: a column is not there.
        WrongType: a column or value cannot be what it is declared to be.
    """
    where, source, clock = f"view {view.ref!r}", view.source, Clock.of(view.source)
    rows = read_table(table, where)
    incoming = Incoming(rows, source.rename, where)
    faults: list[tuple[str, Any]] = []
    for key in view.entity.keys:
        column = cast(incoming.field(key.name), key.type, where=where, name=key.name, clock=clock)
        faults.append((f"{key.name} is missing", pc.is_null(column)))
    times = to_utc(incoming.time(source.event_time), clock, where=where, name=source.event_time).times
    faults.append((f"{source.event_time} is missing", pc.is_null(times)))
    for expectation in view.expect:
        type_ = view.stored(expectation.column).type
        column = cast(incoming.field(expectation.column), type_, where=where, name=expectation.column, clock=clock)
        _check_missing(where, expectation, column)
        faults += _faults(expectation, column, type_)
    return _parted(rows, faults)


def _check_missing(where: str, expectation: Expectation, column: Any) -> None:
    share = column.null_count / len(column) if len(column) else 0.0
    if share > expectation.max_missing:
        found = f"{share:.1%} of {expectation.column!r} is missing, at most {expectation.max_missing:.1%} is expected"
        raise DataError(where, found, "Mend the source, or raise max_missing. Nothing was ingested.")


def _faults(expectation: Expectation, column: Any, type: Type) -> list[tuple[str, Any]]:
    """Return what does not hold, and of which rows."""
    name, target = expectation.column, arrow_type(type)
    found = []
    if expectation.required:
        found.append((f"{name} is missing", pc.is_null(column)))
    if expectation.low is not None:
        below = pc.less(column, pa.scalar(expectation.low, target))
        if type.kind is Kind.FLOAT64:
            below = pc.or_(below, pc.is_nan(column))
        found.append((f"{name} is below {expectation.low}", below))
    if expectation.high is not None:
        found.append((f"{name} is above {expectation.high}", pc.greater(column, pa.scalar(expectation.high, target))))
    if expectation.one_of:
        known = pc.is_in(column, value_set=pa.array(expectation.one_of, target))
        found.append((f"{name} is none of those expected", pc.and_(pc.is_valid(column), pc.invert(known))))
    if expectation.pattern:
        fits = pc.match_substring_regex(column, f"^(?:{expectation.pattern})$")
        found.append((f"{name} does not match {expectation.pattern}", pc.invert(fits)))
    return [(reason, pc.fill_null(mask, fill_value=False)) for reason, mask in found]


def _parted(rows: Any, faults: list[tuple[str, Any]]) -> Sifted:
    wrong = reduce(pc.or_, (mask for _, mask in faults))
    if not pc.any(wrong).as_py():
        return Sifted(rows, rows.slice(0, 0).append_column(REASON, pa.array([], pa.string())))
    texts = [pc.if_else(mask.filter(wrong), reason, None) for reason, mask in faults]
    reasons = pc.binary_join_element_wise(*texts, "; ", null_handling="skip")
    return Sifted(rows.filter(pc.invert(wrong)), rows.filter(wrong).append_column(REASON, reasons))
