"""Columns, and the arrays that models have of them."""

import numpy as np
import pytest

from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING, TIMESTAMP, Kind, decimal, list_of, vector
from stackwright_numerics.columns import NAT, Column, dtype_of, nulls, to_model_array


@pytest.mark.parametrize(
    ("type", "dtype"),
    [
        (BOOL, "bool"),
        (INT64, "int64"),
        (FLOAT64, "float64"),
        (TIMESTAMP, "datetime64[us]"),
        (STRING, "object"),
        (BYTES, "object"),
        (decimal(4, 2), "object"),
        (list_of(INT64), "object"),
        (vector(3), "float64"),
    ],
    ids=str,
)
def test_each_kind_is_held_in_its_array(type, dtype):
    assert dtype_of(type) == np.dtype(dtype)
    assert nulls(type, 2).values.dtype == np.dtype(dtype)


def test_a_column_of_nulls_holds_fillers(types):
    for each in types:
        column = nulls(each, 2)
        assert not column.valid.any()
        assert column.values.shape == ((2, 3) if each.kind is Kind.VECTOR else (2,))
        assert len(to_model_array(column, each)) == 2


def test_nat_is_the_bits_of_not_a_time():
    assert np.isnat(np.array([NAT]).view("datetime64[us]")).all()


@pytest.mark.parametrize(
    ("type", "values", "expected"),
    [
        (BOOL, [True, False], [1.0, np.nan]),
        (INT64, [2**40, 7], [2.0**40, np.nan]),
        (FLOAT64, [0.5, 7.0], [0.5, np.nan]),
    ],
    ids=str,
)
def test_numbers_are_float64_for_models_with_nan_for_null(type, values, expected):
    array = to_model_array(Column(np.array(values), np.array([True, False])), type)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, expected)


def test_numbers_without_null_are_not_shared_with_the_model():
    column = Column(np.array([0.5]), np.array([True]))
    to_model_array(column, FLOAT64)[0] = 9.0
    assert column.values[0] == 0.5


def test_timestamps_have_nat_for_null():
    times = np.array(["2026-01-02", "2026-01-03"], "datetime64[us]")
    array = to_model_array(Column(times, np.array([True, False])), TIMESTAMP)
    assert array.dtype == np.dtype("datetime64[us]")
    assert array[0] == times[0]
    assert np.isnat(array[1])


def test_everything_else_is_an_object_with_none_for_null():
    texts = to_model_array(Column(np.array(["a", "filler"], object), np.array([True, False])), STRING)
    assert texts.tolist() == ["a", None]
    lists = to_model_array(Column(np.array([[1, 2], None], object), np.array([True, False])), list_of(INT64))
    assert lists.tolist() == [[1, 2], None]


def test_vectors_are_objects_one_array_a_row():
    array = to_model_array(Column(np.array([[1.0, 2.0], [np.nan, np.nan]]), np.array([True, False])), vector(2))
    assert array.shape == (2,)
    assert array[0].tolist() == [1.0, 2.0]
    assert array[1] is None
