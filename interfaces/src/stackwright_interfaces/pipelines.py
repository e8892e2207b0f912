"""How a view's rows come to be: computed from other views, expected to hold, and looked after on a schedule.

Users import these from ``definitions``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from stackwright_interfaces.checks import require
from stackwright_interfaces.types import Kind, Type, fit

if TYPE_CHECKING:
    from stackwright_interfaces.views import FeatureView

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ORDERED: Final = frozenset({Kind.INT64, Kind.FLOAT64, Kind.TIMESTAMP, Kind.DECIMAL})


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What holds of a column of every ingested row. A row of which it does not hold is set aside, with the reason.

    Args:
        column: a stored column of the view.
        required: that it is not null.
        low: the least value it may have; of numbers, NaN is below any.
        high: the greatest.
        one_of: the only values it may have.
        pattern: a regular expression that the whole text matches.
        max_missing: the greatest share of nulls (0 to 1) in an ingestion; with more, the whole ingestion is refused.
    """

    column: str
    required: bool = False
    low: Any = None
    high: Any = None
    one_of: tuple[Any, ...] = ()
    pattern: str = ""
    max_missing: float = 1.0

    def __post_init__(self) -> None:
        where = f"expectation of {self.column!r}"
        require(0 <= self.max_missing <= 1, where, f"max_missing is {self.max_missing}", "Give a share from 0 to 1.")
        try:
            re.compile(self.pattern)
        except re.error as error:
            require(False, where, f"pattern {self.pattern!r} cannot be read ({error})", "Correct it.")  # noqa: FBT003
        object.__setattr__(self, "one_of", tuple(self.one_of))

    def fitted(self, where: str, type: Type) -> Expectation:
        """Return it with its values as columns of a type hold them.

        Raises:
            DefinitionError: they do not fit the type.
        """
        where = f"{where}: expectation of {self.column!r}"
        ordered = self.low is None and self.high is None
        require(ordered or type.kind in _ORDERED, where, f"a {type} has no order", "Leave low and high out.")
        text = not self.pattern or type.kind is Kind.STRING
        require(text, where, f"a {type} is no text", "Leave pattern out.")
        plain = not self.one_of or type.kind not in (Kind.LIST, Kind.VECTOR)
        require(plain, where, f"a {type} cannot be listed", "Leave one_of out.")
        values = [self.low, self.high, *self.one_of]
        try:
            low, high, *one_of = [None if value is None else fit(value, type) for value in values]
        except (ValueError, ArithmeticError) as error:
            require(False, where, f"a value does not fit {type} ({error})", "Correct it.")  # noqa: FBT003
            raise
        return Expectation(
            column=self.column,
            required=self.required,
            low=low,
            high=high,
            one_of=tuple(one_of),
            pattern=self.pattern,
            max_missing=self.max_missing,
        )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a view is looked after, by ``stackwright tick``.

    Args:
        every: a run is due at each multiple of this span since 1970-01-01 UTC.
        offset: put on top of each multiple.
        freshness: the objective: the last run that succeeded was due no longer ago than this.
        retries: how often a run that fails is tried again within one tick; it stays due after that.
    """

    every: timedelta
    offset: timedelta = timedelta(0)
    freshness: timedelta | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        require(self.every > timedelta(0), "schedule", f"every is {self.every}", "Give a positive span.")
        within = timedelta(0) <= self.offset < self.every
        require(within, "schedule", f"offset is {self.offset}", f"Give a span from 0 to below {self.every}.")
        right = self.freshness is None or self.freshness > timedelta(0)
        require(right, "schedule", f"freshness is {self.freshness}", "Give a positive span.")
        require(self.retries >= 0, "schedule", f"retries is {self.retries}", "Give 0 or more.")

    def last_due(self, at: datetime) -> datetime:
        """Return the last instant, not after ``at``, at which a run was due."""
        return at - (at - _EPOCH - self.offset) % self.every


class Frame(StrEnum):
    """What a function that computes rows takes and gives."""

    ARROW = "arrow"
    PANDAS = "pandas"
    POLARS = "polars"


@dataclass(frozen=True, kw_only=True)
class Computation:
    """How rows are computed from other views, an interval ``[start, end)`` at a time.

    Each input holds its view's rows of ``[start - lookback, end)``, revised ones left out: keys, fields, and the
    columns ``event_time`` and ``created_time``. The result holds keys and fields of the computed view. Where it has no
    column for the view's event time, its rows are of ``end``: what was computed from an interval is known when it ends.
    Its own event times must lie after ``start`` and not after ``end``.

    Args:
        inputs: the views it reads.
        sql: a SELECT over tables named like the inputs (a slash in a name becomes ``_``), and ``interval``, one row
            with ``start_time`` and ``end_time``. Needs an offline store that runs SQL.
        function: ``file.py:name``, relative to the project: gets one frame an input, in their order, and ``start`` and
            ``end`` if it has parameters of these names.
        frame: what the function takes and gives.
        lookback: how much history before the interval it reads.
        code: SHA-256 of the function and of the project's code it uses, filled in by ``apply``.
        call: the function itself, where it was defined in this process.
    """

    inputs: tuple[FeatureView, ...]
    sql: str = ""
    function: str = ""
    frame: Frame = Frame.ARROW
    lookback: timedelta = timedelta(0)
    code: str = ""
    call: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        where = "computation"
        object.__setattr__(self, "inputs", tuple(self.inputs))
        require(bool(self.inputs), where, "it reads no view", "Name its inputs.")
        given = bool(self.sql) + bool(self.function or self.call)
        require(given == 1, where, "it needs sql or a function, one of them", "Give one.")
        require(self.lookback >= timedelta(0), where, f"lookback is {self.lookback}", "Give a span of 0 or more.")
        names = [table_name(view.name) for view in self.inputs]
        require(len({*names, "interval"}) == len(names) + 1, where, f"inputs {names}", "Name each view once.")

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.function.partition(":")[2] or getattr(self.call, "__name__", "sql")

    def arguments(self, function: Callable[..., Any], start: datetime, end: datetime) -> Mapping[str, datetime]:
        """Return those of ``start`` and ``end`` that a function asks for."""
        asked = inspect.signature(function).parameters
        return {name: value for name, value in (("start", start), ("end", end)) if name in asked}


def table_name(name: str) -> str:
    """Return what the SQL of a computation calls a view."""
    return name.replace("/", "_")


def computed(
    *, inputs: tuple[FeatureView, ...], frame: Frame | str = Frame.ARROW, lookback: timedelta = timedelta(0)
) -> Callable[[Callable[..., Any]], Computation]:
    """Turn a function into a :class:`Computation` (a decorator)."""

    def decorate(function: Callable[..., Any]) -> Computation:
        return Computation(inputs=inputs, call=function, frame=Frame(frame), lookback=lookback)

    return decorate
