"""What a prediction log holds: one JSON object a prediction, and how rows of a scorer become such objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, NotRequired, TypedDict

import numpy as np
import orjson

from stackwright_features.times import to_microseconds
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import FeatureRows, Watermark
from stackwright_numerics.number_columns import NumberColumns

SCHEMA: Final = 1
UNSEEN: Final = ("shadow", "test")
"""Arms whose answers nobody acted on: they are shown, and alarm nobody."""

_OPTIONS: Final = (
    orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_APPEND_NEWLINE
)
_TIMES: Final = ("asked_at", "predicted_at")
_NEEDED: Final = ("prediction_id", "model", "version")
_NOT_A_TIME: Final = int(np.datetime64("NaT").view(np.int64))


class RankedItem(TypedDict):
    """One place of a ranked list."""

    key: Any
    position: int
    score: float
    propensity: NotRequired[float]


class PredictionRecord(TypedDict):
    """One prediction.

    Attributes:
        prediction_id: unique; a label may name it.
        request_id: shared by the rows of one request and by its shadow predictions.
        keys: entity key → value.
        request: request field → value.
        asked_at: the instant that features were taken at.
        predicted_at: when the answer was made.
        model: name of the model.
        version: its version.
        digest: its digest.
        blueprint: digest of the plan it was served by.
        features: what the model was given: numbers and booleans as numbers, null where missing.
        statuses: feature → :class:`~stackwright_interfaces.feature_store.Status`, of those that are not ``PRESENT``.
        ages: view reference → seconds from its row's event to ``asked_at``, null where no row was found.
        watermarks: view reference → ``{"position", "due"}``, how much was known.
        prediction: the answer.
        lower: lower end of its interval.
        upper: upper end.
        outputs: further outputs of the model by name, null where the row has the fallback.
        items: the answer of a ranking.
        arm: ``"live"`` (also where it is not given), ``"shadow"``, ``"canary"``, ``"batch"``, or ``"test"`` for what a
            deployment was verified with.
        fallbacks: what was done for want of something.
        schema: version of this layout, filled in.
    """

    prediction_id: str
    model: str
    version: int
    asked_at: datetime
    predicted_at: datetime
    request_id: NotRequired[str]
    keys: NotRequired[Mapping[str, Any]]
    request: NotRequired[Mapping[str, Any]]
    digest: NotRequired[str]
    blueprint: NotRequired[str]
    features: NotRequired[Mapping[str, Any]]
    statuses: NotRequired[Mapping[str, int]]
    ages: NotRequired[Mapping[str, float | None]]
    watermarks: NotRequired[Mapping[str, Any]]
    prediction: NotRequired[float | None]
    lower: NotRequired[float | None]
    upper: NotRequired[float | None]
    outputs: NotRequired[Mapping[str, float | None]]
    items: NotRequired[Sequence[RankedItem]]
    arm: NotRequired[str]
    fallbacks: NotRequired[Sequence[str]]
    schema: NotRequired[int]


def rfc3339(moment: datetime) -> str:
    """Return an instant as ``2026-11-20T10:11:12.123456Z``: of one width, so that texts sort like instants.

    Raises:
        ValueError: the time has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone is no instant")
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat("T", "microseconds")[:-6] + "Z"


def utc_day(moment: datetime) -> str:
    """Return the UTC day of an instant, ``2026-11-20``."""
    return moment.astimezone(UTC).date().isoformat()


def encode(record: Mapping[str, Any]) -> bytes:
    """Return one line of the log.

    Raises:
        KeyError: a field that every prediction has is missing.
        TypeError: a value has no JSON form.
        ValueError: a time has no zone.
    """
    times = {name: rfc3339(record[name]) for name in _TIMES}
    return _dump({"schema": SCHEMA, **{name: record[name] for name in _NEEDED}, **record, **times})


def _dump(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, default=_plain, option=_OPTIONS)


@lru_cache(maxsize=256)
def _known(watermark: Watermark) -> Mapping[str, Any]:
    """Return the JSON form of a watermark, which rows share until their view is materialised again."""
    return {"position": watermark.position, "due": rfc3339(watermark.due)}


def _plain(value: Any) -> Any:
    """Return the JSON form of what orjson has none for."""
    if isinstance(value, Watermark):
        return _known(value)
    if isinstance(value, datetime):
        return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


@dataclass(frozen=True, kw_only=True)
class PredictionRows:
    """The predictions of one scoring, as columns; made into records off the reply path.

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

    def lines(self) -> Iterator[bytes]:
        """Give one line of the log a row.

        Raises:
            DataError: a column has another length than the ids.
            TypeError: a value has no JSON form.
            ValueError: a time has no zone.
        """
        if len(self.prediction_ids) == 1:
            yield _dump(self._alone())
            return
        read = self.features
        head = _dump(self._common())[:-2]
        keys, request = self._each(self.keys), self._each(self.request)
        features = self._each(self.columns if read is None else read.columns)
        ages = self._each({} if read is None else _ages(read.events, self._asked))
        answers, outputs = self._each(self._answers), self._each(self.outputs)
        statuses = self._statuses()
        requests = self._requests()
        for row, prediction_id in enumerate(self.prediction_ids):
            own = {
                "prediction_id": prediction_id,
                "request_id": next(requests),
                "keys": next(keys),
                "request": next(request),
                "features": next(features),
                "statuses": statuses.get(row, {}),
                "ages": next(ages),
                **next(answers),
                **({"outputs": next(outputs)} if self.outputs else {}),
                "fallbacks": list(self.fallbacks.get(row, ())),
            }
            yield b"%b,%b" % (head, _dump(own)[1:])

    def _alone(self) -> dict[str, Any]:
        """Return the record of the only row: what is prepared for many rows would cost it several times as much."""
        read, (prediction_id,) = self.features, self.prediction_ids
        record = self._common()
        record["prediction_id"] = prediction_id
        record["request_id"] = next(self._requests())
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

    def _requests(self) -> Iterator[str]:
        """Give the request id of each row."""
        if not self.request_ids:
            return repeat("", len(self))
        _check_length("request_id", len(self.request_ids), len(self))
        return iter(self.request_ids)

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
            "watermarks": {view: _known(mark) for view, mark in marks.items()},
        }

    @property
    def _asked(self) -> datetime:
        if self.asked_at is not None:
            return self.asked_at
        return self.predicted_at if self.features is None else self.features.at

    def _each(self, columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Give one mapping a row, made when it is asked for: thousands at once would cost memory and its collection."""
        n = len(self.prediction_ids)
        lists = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
        for name, column in zip(columns, lists, strict=True):
            _check_length(name, len(column), n)
        if not columns:
            return repeat({}, n)
        return (dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True))

    def _statuses(self) -> dict[int, dict[str, int]]:
        """Return row → feature → status, of those that are not ``PRESENT``: usually none."""
        columns = {} if self.features is None else self.features.statuses
        found: dict[int, dict[str, int]] = {}
        for name, column in columns.items():
            for row in np.flatnonzero(column).tolist():
                found.setdefault(row, {})[name] = int(column[row])
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
