"""What an online read gives, the arrays of which are made when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from numpy.typing import NDArray

from stackwright_interfaces.feature_store import FeatureRows, Watermark

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class LazyRows(FeatureRows):
    """Feature rows of which columns and event times are made by the first look at them.

    Dozens of arrays of one value each cost as much as all else in the read of one key, and few callers look at events.
    """

    _make_columns: Callable[[], Arrays]
    _make_events: Callable[[], Arrays]

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        columns: Callable[[], Arrays],
        statuses: Arrays,
        events: Callable[[], Arrays],
        watermarks: Mapping[str, Watermark],
        at: datetime,
    ) -> LazyRows:
        """Return rows, given what :class:`FeatureRows` has, and what makes columns and events."""
        rows = cls.__new__(cls)
        rows.__dict__.update(
            names=names, _make_columns=columns, statuses=statuses, _make_events=events, watermarks=watermarks, at=at
        )
        return rows

    @cached_property
    def columns(self) -> Arrays:
        """Name → values, one a row."""
        return self._make_columns()

    @cached_property
    def events(self) -> Arrays:
        """View reference → event times."""
        return self._make_events()

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, for copies and pickles."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
