"""Times of any kind as instants: UTC, whole microseconds.

Finer units are floored. A naive time is one of its source's time zone, or of UTC where none is declared. Where clocks
are put back a naive time is the first of the two instants, where they are put forward it is read by the offset before
the gap (as PEP 495 has it for ``fold=0``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT
from stackwright_interfaces.definitions import Source
from stackwright_interfaces.errors import DefinitionError, WrongType

DECLARED: Final = "a time"

_MICROSECOND: Final = timedelta(microseconds=1)
_NAIVE: Final = pa.timestamp("us")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZONED: Final = r"\d[T ]\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$"
_FINER: Final = r"(\.\d{6})\d+"
_NATIVE_DIRECTIVES: Final = frozenset("YmdHMS")


@dataclass(frozen=True)
class Clock:
    """How times without an instant of their own are read.

    Args:
        format: ``strptime`` format of texts; without it ISO 8601 is read.
        zone: IANA zone of naive times; without it they are taken as UTC.
    """

    format: str | None = None
    zone: str | None = None

    @classmethod
    def of(cls, source: Source) -> Clock:
        """The clock of a source."""
        return cls(source.time_format, source.time_zone)


class Instants(NamedTuple):
    """Times as ``timestamp[us, UTC]``, and which of them were naive and taken as UTC for want of a zone."""

    times: Any
    assumed: NDArray[np.bool_]


class _Place(NamedTuple):
    """Where an array stands, for messages: a column, from this row on."""

    where: str
    name: str
    first: int | None

    def at(self, row: int) -> str:
        return "" if self.first is None else f" in row {self.first + row}"

    def wrong(self, text: str, row: int, declared: str) -> WrongType:
        return WrongType.of(self.where, self.name, f"{text!r}{self.at(row)}", declared)


def to_utc(array: Any, clock: Clock, *, where: str, name: str, first: int | None = 0) -> Instants:
    """Return the instants of a chunked array of n timestamps, dates or texts.

    Args:
        array: what was found.
        clock: how texts and naive times are read.
        where: the place, for messages.
        name: the column's name, for messages.
        first: number of the first row, for messages; ``None`` where the place says it.

    Raises:
        WrongType: it holds something else, or a text that cannot be read.
        DefinitionError: the clock's zone is not known.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    found = array.type
    if pa.types.is_null(found):
        return Instants(array.cast(INSTANT), np.zeros(len(array), np.bool_))
    if pa.types.is_date(found):
        return _localised(array.cast(pa.timestamp("ms")).cast(_NAIVE), clock)
    if pa.types.is_timestamp(found):
        times = _floored(array, where, name)
        return _localised(times, clock) if found.tz is None else _known(times)
    if pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found):
        texts, place = array.cast(pa.string()), _Place(where, name, first)
        return _by_format(texts, clock, place) if clock.format else _iso(texts, clock, place)
    raise WrongType.of(where, name, str(found), DECLARED)


def to_microseconds(instant: datetime) -> int:
    """Return the microseconds since 1970-01-01 UTC; a naive instant is one of UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the instant in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _known(times: Any) -> Instants:
    return Instants(times.cast(INSTANT), np.zeros(len(times), np.bool_))


def _floored(array: Any, where: str, name: str) -> Any:
    """The timestamps as microseconds, in the zone they had."""
    target = pa.timestamp("us", array.type.tz)
    if array.type.unit == "ns":
        nanoseconds = array.cast(pa.int64())
        floored = np.floor_divide(nanoseconds.fill_null(0).to_numpy(), 1_000)
        return pa.array(floored, mask=nanoseconds.is_null().to_numpy(zero_copy_only=False)).cast(target)
    try:
        return array.cast(target)
    except pa.ArrowInvalid as error:
        raise WrongType.of(where, name, f"a time out of range ({error})", DECLARED) from error


def _localised(naive: Any, clock: Clock) -> Instants:
    if clock.zone is None:
        assumed: NDArray[np.bool_] = naive.is_valid().to_numpy(zero_copy_only=False)
        return Instants(naive.cast(pa.int64()).cast(INSTANT), assumed)
    try:
        zoned = pc.assume_timezone(naive, clock.zone, ambiguous="earliest", nonexistent="earliest")
    except pa.ArrowInvalid as error:
        todo = "Give an IANA zone such as 'Europe/Berlin'; a system without a zone database needs one."
        raise DefinitionError("time_zone", f"{clock.zone!r} is not a known zone", todo) from error
    # In a gap `zoned` is the last instant before it: its offset is the one that PEP 495 wants.
    offset = pc.subtract(pc.local_timestamp(zoned).cast(pa.int64()), zoned.cast(pa.int64()))
    return _known(pc.subtract(naive.cast(pa.int64()), offset).cast(INSTANT))


def _iso(texts: Any, clock: Clock, place: _Place) -> Instants:
    texts = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), _FINER, r"\1")
    zoned = pc.match_substring_regex(texts, _ZONED)
    absolute = _parsed(pc.if_else(zoned, texts, None), INSTANT, place)
    naive = _localised(_parsed(pc.if_else(zoned, None, texts), _NAIVE, place), clock)
    return Instants(pc.coalesce(absolute, naive.times), naive.assumed)


def _parsed(texts: Any, target: Any, place: _Place) -> Any:
    try:
        return texts.cast(target)
    except pa.ArrowInvalid:
        pass
    for row, text in enumerate(texts):
        try:
            text.cast(target)
        except pa.ArrowInvalid as error:
            found = f"column {place.name!r} holds {text.as_py()!r}{place.at(row)}, which is no time in ISO 8601"
            todo = 'Convert it, or say how times are written: Source(time_format="%d.%m.%Y"), say.'
            raise WrongType(place.where, found, todo) from error
    raise AssertionError("a column fails to parse, and none of its texts does")


def _by_format(texts: Any, clock: Clock, place: _Place) -> Instants:
    assert clock.format is not None
    if _is_native(clock.format):
        try:
            return _localised(pc.strptime(texts, format=clock.format, unit="us", error_is_null=False), clock)
        except pa.ArrowInvalid:
            pass
    return _by_python(texts, clock, place)


def _is_native(format: str) -> bool:
    """Whether Arrow reads the format as Python does."""
    return {part[:1] for part in format.split("%")[1:]} <= _NATIVE_DIRECTIVES


def _by_python(texts: Any, clock: Clock, place: _Place) -> Instants:
    assert clock.format is not None
    encoded = texts.dictionary_encode()
    parsed: list[datetime] = []
    for text in encoded.dictionary.to_pylist():
        try:
            parsed.append(datetime.strptime(text, clock.format))  # noqa: DTZ007 -- localised below, unless it has a zone
        except ValueError as error:
            row = pc.index(texts, text).as_py()
            raise place.wrong(text, row, f"{DECLARED} as {clock.format!r}") from error
    ticks = pa.array([to_microseconds(time) for time in parsed], pa.int64()).take(encoded.indices)
    if parsed and parsed[0].tzinfo is not None:
        return Instants(ticks.cast(INSTANT), np.zeros(len(ticks), np.bool_))
    return _localised(ticks.cast(_NAIVE), clock)
