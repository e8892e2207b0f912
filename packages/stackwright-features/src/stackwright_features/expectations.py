"""Rows of which a view's expectations do not hold: set aside with their reasons, before anything is ingested."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import arrow_type
from stackwright_features.normalise import Incoming
from stackwright_features.times import Clock
from stackwright_interfaces.definitions import Expectation, FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.types import Kind, Type

REASON: Final = "__reason"


@dataclass(frozen=True)
class Sifted:
    """Rows of an ingestion, parted.

    Args:
        kept: the rows that may be ingested, as they came.
        set_aside: the others, as they came, with ``__reason`` behind them.
    """

    kept: Any
    set_aside: Any


class Sieve:
    """Parts the rows of an ingestion, a piece after the other.

    Set aside are rows without a key or event time, and those of which an expectation does not hold.

    Args:
        view: the view.

    Attributes:
        rows: how many came, so far.
        set_aside: how many of them were set aside.
    """

    def __init__(self, view: FeatureView) -> None:
        self.rows = self.set_aside = 0
        self._view = view
        self._clock = Clock.of(view.source)
        self._missing = [0] * len(view.expect)
        self._reasons: Counter[str] = Counter()

    @property
    def reasons(self) -> dict[str, int]:
        """Reason → rows it applies to, the most frequent first."""
        return dict(sorted(self._reasons.items(), key=lambda item: (-item[1], item[0])))

    def part(self, rows: Any) -> Sifted:
        """Part some rows.

        Args:
            rows: ``pyarrow.Table``, as it would be ingested.

        Raises:
            MissingColumn: a column is not there.
            WrongType: a column or value cannot be what it is declared to be.
        """
        source = self._view.source
        incoming = Incoming(rows, source.rename, f"view {self._view.ref!r}", self._clock, self.rows)
        faults = [(f"{key.name} is missing", pc.is_null(incoming.field(key))) for key in self._view.entity.keys]
        faults.append((f"{source.event_time} is missing", pc.is_null(incoming.time(source.event_time).times)))
        for number, expectation in enumerate(self._view.expect):
            field = self._view.stored(expectation.column)
            column = incoming.field(field)
            self._missing[number] += column.null_count
            faults += _faults(expectation, column, field.type)
        sifted = _parted(rows, faults)
        self.rows += len(rows)
        self.set_aside += len(sifted.set_aside)
        self._reasons.update(counted(sifted.set_aside))
        return sifted

    def finish(self) -> None:
        """See that no more values are missing, of all rows, than is expected.

        Raises:
            DataError: there are; nothing is to be ingested.
        """
        for expectation, missing in zip(self._view.expect, self._missing, strict=True):
            share = missing / self.rows if self.rows else 0.0
            if share > expectation.max_missing:
                found = f"{share:.1%} of {expectation.column!r} is missing"
                found += f", at most {expectation.max_missing:.1%} is expected"
                todo = "Mend the source, or raise max_missing. Nothing was ingested."
                raise DataError(f"view {self._view.ref!r}", found, todo)


def counted(set_aside: Any) -> Counter[str]:
    """Return reason → rows of a ``pyarrow.Table`` with ``__reason`` that it applies to."""
    return Counter(reason for reasons in set_aside.column(REASON).to_pylist() for reason in reasons.split("; "))


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
