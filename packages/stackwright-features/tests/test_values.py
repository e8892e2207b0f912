from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from stackwright_features.values import count_rows, typed_column, typed_columns
from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    decimal,
    list_of,
    vector,
)

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)


class NotATime(datetime):
    """Like ``pandas.NaT``: a datetime that is unequal to itself."""

    def __ne__(self, other: object) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None


TAKEN: list[tuple[Any, Type, list[Any]]] = [
    ([1], INT64, [1]),
    ([1, None, -(2**63)], INT64, [1, None, -(2**63)]),
    ((1, 2), INT64, [1, 2]),
    (range(2), INT64, [0, 1]),
    (np.array([1, 2], np.int16), INT64, [1, 2]),
    ([np.int32(1)], INT64, [1]),
    ([1, 2.5, None], FLOAT64, [1.0, 2.5, None]),
    (np.array([1, 2]), FLOAT64, [1.0, 2.0]),
    ([True, None], BOOL, [True, None]),
    ([np.True_], BOOL, [True]),
    (["007", None, ""], STRING, ["007", None, ""]),
    (np.array(["007"]), STRING, ["007"]),
    ([b"x", None], BYTES, [b"x", None]),
    ([NOON, None, NOON.replace(tzinfo=None), "2024-07-01T14:00:00+02:00"], TIMESTAMP, [NOON, None, NOON, NOON]),
    (np.array(["2024-07-01T12:00", "NaT"], "datetime64[ns]"), TIMESTAMP, [NOON, None]),
    ([NotATime(2024, 1, 1), np.datetime64("NaT"), np.datetime64("2024-07-01T12:00")], TIMESTAMP, [None, None, NOON]),
    ([Decimal("1.5"), 2, "2.50", None], decimal(5, 2), [Decimal("1.50"), Decimal("2.00"), Decimal("2.50"), None]),
    ([[1, None], None, []], list_of(INT64), [[1, None], None, []]),
    ([[NOON]], list_of(TIMESTAMP), [[NOON]]),
    ([[1, 2], None], vector(2), [[1.0, 2.0], None]),
    ([], INT64, []),
    ([], vector(2), []),
]


def plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return value.item().replace(tzinfo=UTC)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@pytest.mark.parametrize(("values", "declared", "expected"), TAKEN, ids=lambda value: str(value)[:20])
def test_values_of_the_declared_type_are_taken(values: Any, declared: Type, expected: list[Any]) -> None:
    column = typed_column(values, declared, where="read", name="x")
    pairs = zip(column.values, column.valid, strict=True)
    assert [plain(value) if valid else None for value, valid in pairs] == expected


REFUSED: list[tuple[Any, Type]] = [
    (["1"], INT64),
    ([True], INT64),
    ([1.0], INT64),
    ([2**63], INT64),
    ([None, 2**63], INT64),
    (np.array([1.0]), INT64),
    (["1.5"], FLOAT64),
    ([True], FLOAT64),
    ([1], BOOL),
    ([7], STRING),
    ([b"x"], STRING),
    (["x"], BYTES),
    ([0], TIMESTAMP),
    (["soon"], TIMESTAMP),
    ([1.5], decimal(5, 2)),
    (["1.555"], decimal(5, 2)),
    (["NaN"], decimal(5, 2)),
    (["1234.00"], decimal(5, 2)),
    (["ab"], list_of(STRING)),
    ([["1"]], list_of(INT64)),
    ([[1.0]], vector(2)),
    ([[1.0, None]], vector(2)),
]


@pytest.mark.parametrize(("values", "declared"), REFUSED, ids=str)
def test_a_value_of_another_type_is_refused_by_name(values: Any, declared: Type) -> None:
    with pytest.raises(WrongType, match=r"read: column 'x' holds .* declared is"):
        typed_column(values, declared, where="read", name="x")


def test_the_row_of_a_wrong_value_is_named() -> None:
    with pytest.raises(WrongType, match=r"'seven' \(str\) in row 1"):
        typed_column([7, "seven"], INT64, where="read", name="x")


@pytest.mark.parametrize("values", ["abc", 7, None, {"a": 1}], ids=repr)
def test_what_is_no_list_is_refused(values: Any) -> None:
    with pytest.raises(DataError, match="Give a list with one value a row"):
        typed_column(values, STRING, where="read", name="x")


def test_arrays_that_were_handed_over_stay_the_callers() -> None:
    given = np.array([1.0])
    typed_column(given, FLOAT64, where="read", name="x").values[0] = 2.0
    assert given.tolist() == [1.0]


def test_a_field_without_values_is_named() -> None:
    with pytest.raises(MissingColumn, match=r"read: column 'listing_id' is missing. Present: listing"):
        typed_columns([Field("listing_id", INT64)], {"listing": [1]}, where="read")


def test_rows_are_counted_over_all_columns() -> None:
    columns = typed_columns([Field("a", INT64), Field("b", INT64)], {"a": [1, 2], "b": [3, 4]}, where="read")
    assert count_rows("read", columns) == 2
    assert count_rows("read", {}, columns) == 2
    assert count_rows("read", {}) == 0


def test_columns_of_different_lengths_are_refused() -> None:
    columns = typed_columns([Field("a", INT64), Field("b", INT64)], {"a": [1, 2], "b": [3]}, where="read")
    with pytest.raises(DataError, match="'a' has 2 values, 'b' has 1 values"):
        count_rows("read", columns)
    one = typed_columns([Field("a", INT64)], {"a": [1, 2]}, where="read")
    with pytest.raises(DataError, match="Give one value a row"):
        count_rows("read", one, typed_columns([Field("b", INT64)], {"b": [3]}, where="read"))


def test_a_time_is_floored_to_microseconds_before_1970_too() -> None:
    column = typed_column([np.datetime64(-1, "ns")], TIMESTAMP, where="read", name="x")
    assert plain(column.values[0]) == datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)
