"""Columns in one array: they are read like a dictionary of columns, and become the same matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stackwright_interfaces.errors import MissingColumn
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_numerics.categories import MatrixEncoder
from stackwright_numerics.number_columns import NumberColumns, joined

NAMES = ("a", "b", "c")
PLACES = {name: place for place, name in enumerate(NAMES)}
numbers = st.floats(allow_nan=True)
blocks = st.integers(0, 4).flatmap(
    lambda rows: st.lists(st.lists(numbers, min_size=rows, max_size=rows), min_size=3, max_size=3).map(np.array)
)


def plain(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in columns.items()}


def signature(*names: str) -> Signature:
    return Signature(inputs=tuple(Field(name, FLOAT64) for name in names), outputs=(Field("y", FLOAT64),))


@given(blocks)
def test_they_are_a_mapping_of_columns(block: NDArray[np.float64]) -> None:
    columns = NumberColumns(PLACES, block)
    assert list(columns) == list(columns.keys()) == list(NAMES)
    assert len(columns) == 3
    assert columns.rows == block.shape[1]
    assert "a" in columns
    assert "d" not in columns
    np.testing.assert_equal(plain(columns), dict(zip(NAMES, block.tolist(), strict=True)))
    for row in range(columns.rows):
        np.testing.assert_equal(columns.row(row), {name: column[row] for name, column in columns.items()})


@given(blocks, st.permutations(NAMES), st.integers(1, 3))
def test_their_matrix_is_that_of_a_dictionary_of_them(block: NDArray[np.float64], order: list[str], count: int) -> None:
    encode = MatrixEncoder(signature(*order[:count]))
    columns = NumberColumns(PLACES, block)
    matrix = encode(columns)
    np.testing.assert_equal(matrix, encode(dict(columns)))
    assert matrix.flags.c_contiguous
    assert not np.shares_memory(matrix, block)


def test_an_encoder_takes_columns_of_several_orders_in_turn() -> None:
    encode = MatrixEncoder(signature("b", "a"))
    block = np.array([[1.0], [2.0]])
    for places, expected in (({"a": 0, "b": 1}, [2.0, 1.0]), ({"b": 0, "a": 1}, [1.0, 2.0])) * 2:
        assert encode(NumberColumns(places, block)).tolist() == [expected]


def test_an_input_that_is_not_among_them_is_named() -> None:
    with pytest.raises(MissingColumn, match="d"):
        MatrixEncoder(signature("a", "d"))(NumberColumns(PLACES, np.zeros((3, 1))))


@given(st.lists(blocks, min_size=1, max_size=3), st.booleans())
def test_parts_are_joined_like_dictionaries_of_them(parts: list[NDArray[np.float64]], alike: bool) -> None:
    columns = [NumberColumns(PLACES if alike else dict(PLACES), block) for block in parts]
    np.testing.assert_equal(plain(joined(columns)), plain(joined([dict(part) for part in columns])))


def test_what_one_part_alone_has_is_not_joined() -> None:
    some = NumberColumns({"a": 0}, np.ones((1, 2)))
    assert plain(joined([some, {"a": np.zeros(1), "b": np.zeros(1)}])) == {"a": [1.0, 1.0, 0.0]}
