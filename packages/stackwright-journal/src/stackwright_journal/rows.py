"""The predictions of one scoring as columns, and the lines of the log that they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

import numpy as np

from stackwright_features.times import to_microseconds
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_journal.blocks import BLOCK
from stackwright_journal.records import SCHEMA, Line, as_line, rfc3339, watermark_json
from stackwright_numerics.number_columns import NumberColumns

_BLOCK_ROWS: Final = 128
"""Rows of a line at most: what a torn one may cost."""
_AS_THEY_ARE: Final = frozenset(map(np.dtype, (np.float64, np.int64, np.bool_)))
"""Types of arrays that are written as their values are, one by one."""
_NOT_A_TIME: Final = int(np.datetime64("NaT").view(np.int64))


@dataclass(frozen=True, kw_only=True)
class PredictionRows:
    """The predictions of one scoring, as columns; made into lines off the reply path.

    Args:
        prediction_ids: one a row.
        prediction: answers, float64 of n.
        model: name of the model.
        version: its version.
        predicted_at: when the answers were made.
        features: what was read; ``None`` where callers brought ``columns``.
        columns: model columns that callers brought.
        keys: entity key → n values.
        request: request field → n values.
        lower: lower ends of the intervals.
        upper: upper ends.
        outputs: further outputs of the model: name → n values.
        request_ids: of the request of each row; none where no request asked.
        digest: of the model.
        blueprint: digest of the plan.
        arm: live, shadow, canary, batch or test.
        fallbacks: row → what was done for want of something.
        asked_at: the instant of the question; the features' where it is ``None``.
    """

    prediction_ids: Sequence[str]
    prediction: Any
    model: str
    version: int
    predicted_at: datetime
    features: FeatureRows | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    request: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    lower: Any = None
    upper: Any = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    request_ids: Sequence[str] = ()
    digest: str = ""
    blueprint: str = ""
    arm: str = "live"
    fallbacks: Mapping[int, Sequence[str]] = field(default_factory=dict)
    asked_at: datetime | None = None

    def __len__(self) -> int:
        return len(self.prediction_ids)

    def lines(self) -> Iterator[Line]:
        """Give the lines of the log that hold these rows. A row with a value of no JSON form is refused by itself.

        Raises:
            DataError: a column has another length than the ids.
        """
        if not self.prediction_ids:
            return
        if len(self) > _BLOCK_ROWS:
            self._check_lengths()
            for begin in range(0, len(self), _BLOCK_ROWS):
                yield from self._part(begin, begin + _BLOCK_ROWS).lines()
            return
        try:
            line = Line(len(self), as_line(self._alone() if len(self) == 1 else self._block()))
        except (TypeError, ValueError) as error:
            if len(self) == 1:
                yield Line(1, b"", repr(error))
                return
            middle = len(self) // 2
            yield from self._part(0, middle).lines()
            yield from self._part(middle, len(self)).lines()
        else:
            yield line

    def _part(self, begin: int, end: int) -> Self:
        """Return some of the rows."""
        some = slice(begin, end)

        def cut(columns: Mapping[str, Any]) -> dict[str, Any]:
            return {name: column[some] for name, column in columns.items()}

        read = self.features
        if read is not None:
            given = dict(read.statuses)
            each = {id(codes): codes[some] for codes in given.values()}  # mostly one array
            statuses = {name: each[id(codes)] for name, codes in given.items()}
            read = replace(read, columns=cut(read.columns), statuses=statuses, events=cut(read.events))
        return replace(
            self,
            prediction_ids=self.prediction_ids[some],
            request_ids=self.request_ids[some],
            features=read,
            columns=cut(self.columns),
            keys=cut(self.keys),
            request=cut(self.request),
            outputs=cut(self.outputs),
            fallbacks={row - begin: self.fallbacks[row] for row in range(begin, end) if row in self.fallbacks},
            **cut(self._answers),
        )

    def _check_lengths(self) -> None:
        read = self.features
        features = self.columns if read is None else read.columns
        requests = {"request_id": self.request_ids} if self.request_ids else {}
        found = () if read is None else (read.statuses, read.events)
        for columns in (self.keys, self.request, features, self._answers, self.outputs, requests, *found):
            for name, column in columns.items():
                _check_length(name, len(column), len(self))

    def _block(self) -> dict[str, Any]:
        """Return what a line of several rows holds."""
        self._check_lengths()
        read, ids = self.features, self.request_ids
        block = self._common()
        block["schema"] = BLOCK
        block["prediction_id"] = self.prediction_ids
        block["request_id"] = ids if any(name != ids[0] for name in ids) else "".join(ids[:1])
        block["keys"] = _columns(self.keys)
        block["request"] = _columns(self.request)
        block["features"] = _columns(self.columns if read is None else read.columns)
        block["statuses"] = {str(row): found for row, found in self._statuses().items()}
        block["ages"] = {} if read is None else _ages(read.events, self._asked)
        block |= _columns(self._answers)
        if self.outputs:
            block["outputs"] = _columns(self.outputs)
        block["fallbacks"] = {str(row): list(said) for row, said in self.fallbacks.items()}
        return block

    def _alone(self) -> dict[str, Any]:
        """Return the record of the only row: what is prepared for many rows would cost it several times as much."""
        read, (prediction_id,) = self.features, self.prediction_ids
        record = self._common()
        record["prediction_id"] = prediction_id
        record |= _only({"request_id": self.request_ids or ("",)})
        record["keys"] = _only(self.keys)
        record["request"] = _only(self.request)
        record["features"] = _only(self.columns if read is None else read.columns)
        each = {} if read is None else {id(codes): codes for codes in read.statuses.values()}  # mostly one array
        record["statuses"] = self._statuses()[0] if any(map(np.ndarray.item, each.values())) else {}
        record["ages"] = {} if read is None else _only(_ages(read.events, self._asked))
        record |= _only(self._answers)
        if self.outputs:
            record["outputs"] = _only(self.outputs)
        record["fallbacks"] = list(self.fallbacks.get(0, ()))
        return record

    @property
    def _answers(self) -> dict[str, Any]:
        ends = {"prediction": self.prediction, "lower": self.lower, "upper": self.upper}
        return {name: values for name, values in ends.items() if values is not None}

    def _common(self) -> dict[str, Any]:
        """Return what all rows share."""
        marks = {} if self.features is None else self.features.watermarks
        asked, predicted = self._asked, rfc3339(self.predicted_at)
        return {
            "schema": SCHEMA,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "blueprint": self.blueprint,
            "arm": self.arm,
            "asked_at": predicted if asked is self.predicted_at else rfc3339(asked),
            "predicted_at": predicted,
            "watermarks": {view: watermark_json(mark) for view, mark in marks.items()},
        }

    @property
    def _asked(self) -> datetime:
        if self.asked_at is not None:
            return self.asked_at
        return self.predicted_at if self.features is None else self.features.at

    def _statuses(self) -> dict[int, dict[str, int]]:
        """Return row → feature → status, of those that are not ``PRESENT``: usually none."""
        columns = {} if self.features is None else dict(self.features.statuses)
        each = {id(codes): np.flatnonzero(codes).tolist() for codes in columns.values()}  # mostly one array
        found: dict[int, dict[str, int]] = {}
        for name, codes in columns.items():
            for row in each[id(codes)]:
                found.setdefault(row, {})[name] = int(codes[row])
        return found


def _only(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the only value of each column."""
    if isinstance(columns, NumberColumns) and columns.rows == 1:
        return columns.row(0)
    try:
        return {name: column.item() if type(column) is np.ndarray and column.ndim == 1 else _first(column)
                for name, column in columns.items()}  # fmt: skip
    except ValueError:
        for name, column in columns.items():
            _check_length(name, len(column), 1)
        raise


def _first(column: Any) -> Any:
    (value,) = column.tolist() if isinstance(column, np.ndarray) else column
    return value


def _columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _column(values) for name, values in columns.items()}


def _column(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values if values.dtype in _AS_THEY_ARE else values.tolist()
    return values if isinstance(values, list) else list(values)


def _check_length(name: str, rows: int, predictions: int) -> None:
    if rows != predictions:
        found = f"{name!r} has {rows} rows, there are {predictions} predictions"
        raise DataError("prediction log", found, "Give one value a prediction.")


def _ages(events: Mapping[str, Any], asked: datetime) -> dict[str, list[float | None]]:
    """Return view → seconds since the event of each row, ``None`` where no row was found."""
    instant = to_microseconds(asked)
    return {
        view: [None if event == _NOT_A_TIME else (instant - event) / 1e6 for event in times.view(np.int64).tolist()]
        for view, times in events.items()
    }
