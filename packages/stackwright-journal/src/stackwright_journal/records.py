"""What a prediction log holds of a prediction: one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

import numpy as np
import orjson

from stackwright_interfaces.feature_store import Watermark

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
    return as_line({"schema": SCHEMA, **{name: record[name] for name in _NEEDED}, **record, **times})


def as_line(line: Mapping[str, Any]) -> bytes:
    """Return an object as a line of the log: JSON with the end of the line.

    Raises:
        TypeError: a value has no JSON form.
    """
    return orjson.dumps(line, default=_plain, option=_OPTIONS)


@lru_cache(maxsize=256)
def watermark_json(watermark: Watermark) -> Mapping[str, Any]:
    """Return the JSON form of a watermark, which rows share until their view is materialised again."""
    return {"position": watermark.position, "due": rfc3339(watermark.due)}


def _plain(value: Any) -> Any:
    """Return the JSON form of what orjson has none for."""
    if isinstance(value, Watermark):
        return watermark_json(value)
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


class Line(NamedTuple):
    """A line of the log.

    Args:
        predictions: how many it holds.
        data: the line with its end; nothing where these predictions were refused.
        refused: why.
    """

    predictions: int
    data: bytes
    refused: str = ""
