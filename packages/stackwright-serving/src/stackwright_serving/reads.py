"""A feature store as a server reads it: left alone where it fails, caught where it lies, replaced by defaults."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import DataError, DefinitionError, FeatureStoreError, StackwrightError, StoreTimeout
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_interfaces.types import Kind
from stackwright_numerics.number_columns import NumberColumns
from stackwright_serving.breaker import Breaker
from stackwright_serving.metrics import Metrics
from stackwright_serving.scorer import FeatureReader
from stackwright_serving.settings import Settings
from stackwright_serving.telemetry import Tracing

SLOW_FOR: Final = 10.0
"""Seconds for which a store counts as slow."""

SLOW_FROM: Final = 10.0
"""What slow reads must add up to for a store to count as slow: a third of them a little slow, or several in a row.

A read may seem slow because the process was interrupted, as happens on a machine that does much else; threads, which
cost more, would make things worse then.
"""

_MOST: Final = 3.0
"""What one slow read adds at most, in times of the patience."""

_ROWS: Final = 25
"""Rows that the patience is for; of a larger read it is asked how long so many took."""

_AT_ONCE: Final = 100.0
"""Times of the patience from which one read is enough."""

_FADES: Final = 0.97
"""What is left of the sum after each further read."""

_WHERE: Final = "feature store"
_NUMBERS: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64})


@dataclass(frozen=True, kw_only=True)
class Substitutes(FeatureRows):
    """Rows of defaults, which stand in for those that could not be read.

    Args:
        reason: why they could not.
        late: whether that was for want of time.
    """

    reason: str
    late: bool


class Reads:
    """What all reads of a process share.

    Args:
        settings: limits.
        metrics: counts failures and seconds.
        tracing: tells of reads, where requests are traced.
    """

    def __init__(self, settings: Settings, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self.breaker = Breaker(settings.failures, settings.rest)
        self.metrics = metrics
        self.tracing = tracing
        self._patience = settings.patience
        self._slow_until = 0.0
        self._added_up = 0.0

    @property
    def slow(self) -> bool:
        """Whether a read may take long, so that it is better done beside the others."""
        return time.monotonic() < self._slow_until

    def took(self, seconds: float, rows: int = 1) -> None:
        """Note how long a read of so many rows took."""
        self.metrics.reads.observe(seconds)
        seconds /= max(1.0, rows / _ROWS)
        if seconds >= self._patience:
            times = seconds / max(self._patience, 1e-6)
            self._added_up = _FADES * self._added_up + min(times, _MOST)
            if self._added_up >= SLOW_FROM or times >= _AT_ONCE:
                self._slow_until = time.monotonic() + SLOW_FOR
        elif self._added_up:
            self._added_up *= _FADES

    def failed(self, kind: str) -> None:
        """Note that a read failed."""
        self.breaker.failed()
        self.metrics.read_failures.labels(kind).inc()


class GuardedReader:
    """Reads of a feature store, guarded.

    Args:
        store: the store.
        services: ``name@version`` → applied service, whose declared types are checked.
        reads: what all reads share.
        empty: a store that finds nothing, which answers where the store fails; ``None`` lets the failure through.
    """

    def __init__(
        self,
        store: FeatureReader,
        services: Mapping[str, FeatureService],
        reads: Reads,
        empty: FeatureReader | None = None,
    ) -> None:
        self._store = store
        self._reads = reads
        self._empty = empty
        self._kinds = {
            ref: {field.name: _kind(field.type.kind) for field in service.output_fields}
            for ref, service in services.items()
        }
        self._numbers = {
            ref: frozenset(name for name, kind in kinds.items() if kind == "f") for ref, kinds in self._kinds.items()
        }

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """See :meth:`stackwright_interfaces.feature_store.FeatureStore.read`.

        Raises:
            FeatureStoreError: the store failed, gave something else than declared, or is left alone for a while.
        """
        try:
            if not self._reads.breaker.lets_pass():
                raise FeatureStoreError(_WHERE, "is not asked for a while, since it kept failing", "Ask again later.")
            return self._read(service, keys, request, at, timeout)
        except FeatureStoreError as error:
            if self._empty is None:
                raise
            rows = self._empty.read(service, keys, request, at=at)
            return Substitutes(**vars(rows), reason=str(error), late=isinstance(error, StoreTimeout))

    def _read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None,
        at: datetime | None,
        timeout: float | None,
    ) -> FeatureRows:
        reads, started = self._reads, time.perf_counter()
        count = len(next(iter(keys.values()), ())) if keys else None
        span = reads.tracing.begin_part("read features") if reads.tracing is not None else None
        try:
            rows = self._store.read(service, keys, request, at=at, timeout=timeout)
            self._check(service, rows, count)
        except (DataError, DefinitionError):  # of the request or the project; the store is well
            raise
        except FeatureStoreError as error:
            reads.failed("timeout" if isinstance(error, StoreTimeout) else "error")
            raise
        except StackwrightError:
            raise
        except Exception as error:
            reads.failed("nonsense")
            found = f"answered with something that cannot be read ({type(error).__name__}: {error})"
            raise FeatureStoreError(_WHERE, found, "Look at its log; materialise again what is damaged.") from error
        finally:
            reads.took(time.perf_counter() - started, count or 1)
            if span is not None:
                span.end()
        reads.breaker.passed()
        return rows

    def _check(self, service: str, rows: FeatureRows, count: int | None) -> None:
        """Refuse columns of another type or length than declared.

        Raises:
            TypeError: there is one.
        """
        declared = self._kinds.get(service)
        if declared is None:
            return
        columns = rows.columns
        if isinstance(columns, NumberColumns) and columns.keys() <= self._numbers[service]:
            if count is not None and columns.rows != count:
                raise TypeError(f"features came as {columns.rows} values each")
            return
        for name, column in columns.items():
            kind = declared.get(name)
            if kind is not None and (column.dtype.kind != kind or (count is not None and len(column) != count)):
                raise TypeError(f"feature {name!r} came as {len(column)} values of {column.dtype}")


def _kind(kind: Kind) -> str:
    """Return the kind of numpy array that a column of a type is."""
    return "f" if kind in _NUMBERS else "M" if kind is Kind.TIMESTAMP else "O"
