from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_features.times import Clock, from_microseconds, to_microseconds, to_utc
from stackwright_interfaces.errors import DefinitionError, WrongType
from stackwright_interfaces.testing.histories import quick


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def naive(*parts: int) -> datetime:
    return utc(*parts).replace(tzinfo=None)


PLAIN = Clock()
EASTERN = Clock(zone="America/New_York")
TEXTS = [
    ("2024-07-01T12:00:00Z", utc(2024, 7, 1, 12)),
    ("2024-07-01 12:00:00.5Z", utc(2024, 7, 1, 12, 0, 0, 500_000)),
    ("2024-07-01T12:00:00+02:00", utc(2024, 7, 1, 10)),
    ("2024-07-01T12:00-0530", utc(2024, 7, 1, 17, 30)),
    ("2024-07-01T12:00+02", utc(2024, 7, 1, 10)),
    ("2024-07-01T12:00:00", utc(2024, 7, 1, 12)),
    ("2024-07-01 12:00", utc(2024, 7, 1, 12)),
    (" 2024-07-01 ", utc(2024, 7, 1)),
    ("2024-07-01T12:00:00.123456789Z", utc(2024, 7, 1, 12, 0, 0, 123_456)),
    ("1969-12-31T23:59:59.9999999Z", utc(1969, 12, 31, 23, 59, 59, 999_999)),
]


def read(array: Any, clock: Clock = PLAIN) -> list[datetime | None]:
    return [
        None if time is None else time.astimezone(UTC)
        for time in to_utc(array, clock, where="here", name="at").times.to_pylist()
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_all_units_agree(unit: str) -> None:
    array = pa.array([naive(2024, 7, 1, 12), None]).cast(pa.timestamp(unit))
    assert read(array) == [utc(2024, 7, 1, 12), None]


def test_nanoseconds_are_floored_before_and_after_1970() -> None:
    array = pa.array([1_999, -1], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    assert read(array) == [from_microseconds(1), from_microseconds(-1)]


def test_a_zone_of_the_column_is_kept_as_the_instant_it_means() -> None:
    array = pa.array([utc(2024, 7, 1, 12)], pa.timestamp("ms", "Asia/Tokyo"))
    assert read(array, EASTERN) == [utc(2024, 7, 1, 12)]


def test_texts_are_read_as_iso_8601_whatever_their_zones() -> None:
    texts = [text for text, _ in TEXTS] + [None]
    assert read(pa.array(texts)) == [time for _, time in TEXTS] + [None]


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "01/07/2024", "", "2024-07-01T12:00:00+0"])
def test_a_text_that_is_no_time_is_named_with_its_row(text: str) -> None:
    with pytest.raises(WrongType, match=f"here: column 'at' holds {text!r} in row 1".replace("+", r"\+")):
        to_utc(pa.array(["2024-07-01", text]), Clock(), where="here", name="at")


@pytest.mark.parametrize(
    ("format", "text", "expected"),
    [
        ("%d/%m/%Y %H:%M", "01/07/2024 12:30", utc(2024, 7, 1, 12, 30)),
        ("%d/%m/%Y %H:%M:%S.%f", "01/07/2024 12:30:00.25", utc(2024, 7, 1, 12, 30, 0, 250_000)),
        ("%Y%m%dT%H%M%z", "20240701T1230+0200", utc(2024, 7, 1, 10, 30)),
        ("%d %b %Y", "01 Jul 2024", utc(2024, 7, 1)),
        ("at %H%% on %Y-%m-%d", "at 12% on 2024-07-01", utc(2024, 7, 1, 12)),
    ],
)
def test_a_declared_format_is_read_as_python_reads_it(format: str, text: str, expected: datetime) -> None:
    assert read(pa.array([text, None, text]), Clock(format)) == [
        expected.replace(tzinfo=UTC),
        None,
        expected.replace(tzinfo=UTC),
    ]


@pytest.mark.parametrize("format", ["%d/%m/%Y", "%d/%m/%Y%z", "%d %b %Y"])
def test_a_text_of_another_format_is_named_with_its_row(format: str) -> None:
    good = utc(2024, 7, 1).strftime(format)
    with pytest.raises(WrongType, match="'2024-07-01' in row 1"):
        to_utc(pa.array([good, "2024-07-01"]), Clock(format), where="here", name="at")


def test_naive_times_without_a_zone_are_utc_and_counted() -> None:
    array = pa.array(["2024-07-01T12:00:00Z", "2024-07-01T12:00:00", None])
    times, assumed = to_utc(array, Clock(), where="here", name="at")
    assert assumed.tolist() == [False, True, False]
    assert times[0] == times[1]


def test_a_declared_zone_is_no_assumption() -> None:
    array = pa.array([naive(2024, 7, 1, 12)])
    assert read(array, EASTERN) == [utc(2024, 7, 1, 16)]
    assert not to_utc(array, EASTERN, where="here", name="at").assumed.any()


@quick(60)
@given(
    times=st.lists(st.datetimes(naive(1970, 1, 1), naive(2037, 1, 1)), max_size=5),
    zone=st.sampled_from(["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_naive_times_of_a_zone_mean_what_zoneinfo_says(times: list[datetime], zone: str) -> None:
    expected = [time.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for time in times]
    assert read(pa.array(times, pa.timestamp("us")), Clock(zone=zone)) == expected


@pytest.mark.parametrize("minute", range(0, 240, 10))
@pytest.mark.parametrize("day", [date(2024, 3, 10), date(2024, 11, 3)])
def test_when_clocks_change_naive_times_mean_what_zoneinfo_says(day: date, minute: int) -> None:
    time = naive(day.year, day.month, day.day) + timedelta(minutes=minute)
    assert read(pa.array([time]), EASTERN) == [time.replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)]


def test_a_date_is_its_midnight() -> None:
    assert read(pa.array([date(2024, 7, 1)]), EASTERN) == [utc(2024, 7, 1, 4)]
    assert read(pa.array([date(2024, 7, 1)], pa.date64())) == [utc(2024, 7, 1)]


def test_a_zone_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'Mars/Olympus' is not a known zone"):
        to_utc(pa.array([naive(2024, 7, 1)]), Clock(zone="Mars/Olympus"), where="here", name="at")


def test_a_time_out_of_range_is_refused() -> None:
    array = pa.array([2**62]).cast(pa.timestamp("s", "UTC"))
    with pytest.raises(WrongType, match="out of range"):
        to_utc(array, Clock(), where="here", name="at")


def test_a_number_is_no_time() -> None:
    with pytest.raises(WrongType, match="int64"):
        to_utc(pa.array([0]), Clock(), where="here", name="at")


@quick(40)
@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))])))
def test_microseconds_are_exact_there_and_back(instant: datetime) -> None:
    assert from_microseconds(to_microseconds(instant)) == instant


def test_microseconds_are_those_of_numpy() -> None:
    assert to_microseconds(naive(2024, 7, 1)) == np.datetime64("2024-07-01", "us").astype(int)
