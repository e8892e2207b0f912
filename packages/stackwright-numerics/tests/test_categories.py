"""Categories and the matrix that models read."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import DefinitionError, MissingColumn, WrongType
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Field
from stackwright_numerics.categories import MatrixEncoder, encode, fit_categories, to_matrix

TEXTS = st.lists(st.none() | st.sampled_from(["a", "b", "c", "é", ""]))
SIGNATURE = Signature(
    inputs=(Field("area", FLOAT64), Field("kind", STRING), Field("rooms", INT64), Field("new", BOOL)),
    outputs=(Field("price", FLOAT64),),
    categories={"kind": ("flat", "house")},
)


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def columns(rows):
    return {
        "area": np.arange(rows) / 2,
        "kind": objects(*(("flat", "castle", None, "house")[row % 4] for row in range(rows))),
        "rooms": np.arange(rows, dtype=np.float64),
        "new": np.full(rows, np.nan),
        "unused": objects(*[None] * rows),
    }


# --- categories ---


@given(TEXTS, st.integers(1, 3), st.none() | st.integers(1, 3))
def test_the_most_frequent_categories_are_known_in_sorted_order(texts, min_count, limit):
    known = fit_categories(objects(*texts), min_count, limit)
    there = [text for text in texts if text is not None]
    enough = sorted(
        {text for text in there if there.count(text) >= min_count}, key=lambda text: (-there.count(text), text)
    )
    assert known == tuple(sorted(enough[:limit]))


@given(TEXTS, st.sets(st.sampled_from(["a", "b", "zz"])))
def test_a_code_is_a_place_or_the_number_of_known_ones_or_nan(texts, known):
    known = tuple(sorted(known))
    codes = encode(objects(*texts), known)
    assert codes.dtype == np.float64
    for code, text in zip(codes.tolist(), texts, strict=True):
        if text is None:
            assert math.isnan(code)
        else:
            assert code == (known.index(text) if text in known else len(known))


# --- matrix ---


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 100, 1024, 1025, 5000])
def test_the_matrix_has_a_column_an_input_in_their_order(rows):
    given_columns = columns(rows)
    matrix = to_matrix(given_columns, SIGNATURE)
    assert matrix.shape == (rows, 4)
    assert matrix.dtype == np.float64
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix[:, 0], given_columns["area"])
    np.testing.assert_array_equal(matrix[:, 1], np.tile([0, 2, np.nan, 1], rows)[:rows])
    np.testing.assert_array_equal(matrix[:, 2], given_columns["rooms"])
    assert np.isnan(matrix[:, 3]).all()


def test_booleans_and_integers_are_taken_as_they_are():
    given_columns = columns(2) | {"rooms": np.array([3, 4]), "new": np.array([True, False])}
    assert to_matrix(given_columns, SIGNATURE).tolist()[0] == [0.0, 0.0, 3.0, 1.0]


def test_a_row_is_encoded_alike_whatever_rows_come_with_it():
    encoder = MatrixEncoder(SIGNATURE)
    together = encoder(columns(7))
    for row in range(7):
        alone = encoder({name: column[row : row + 1] for name, column in columns(7).items()})
        np.testing.assert_array_equal(alone, together[row : row + 1])


@pytest.mark.parametrize("rows", [1, 3])
def test_the_matrix_shares_nothing_with_the_columns(rows):
    single = Signature(inputs=(Field("area", FLOAT64),), outputs=SIGNATURE.outputs)
    area = np.ones(rows)
    to_matrix({"area": area}, single)[:] = 9.0
    assert area.tolist() == [1.0] * rows


def test_a_missing_column_is_named():
    with pytest.raises(MissingColumn, match="'rooms' is missing"):
        to_matrix({name: column for name, column in columns(2).items() if name != "rooms"}, SIGNATURE)


@pytest.mark.parametrize("wrong", [objects(1.0, 2.0), np.array(["1", "2"]), np.zeros(2, "datetime64[us]")], ids=str)
def test_a_column_that_is_no_number_is_named(wrong):
    with pytest.raises(WrongType, match="'rooms' holds"):
        to_matrix(columns(2) | {"rooms": wrong}, SIGNATURE)


@pytest.mark.parametrize("wrong", [np.zeros(1), np.zeros(3), np.zeros((2, 2)), np.zeros(0)], ids=str)
def test_a_column_of_another_length_is_named(wrong):
    with pytest.raises(WrongType, match="'rooms' holds an array of shape"):
        to_matrix(columns(2) | {"rooms": wrong}, SIGNATURE)


@pytest.mark.parametrize("wrong", [np.zeros(2048), np.zeros(4000), np.zeros((3000, 2)), np.zeros(())], ids=np.shape)
def test_a_column_of_another_shape_is_named_among_many_rows_too(wrong):
    with pytest.raises(WrongType, match="'rooms' holds an array of shape"):
        to_matrix(columns(3000) | {"rooms": wrong}, SIGNATURE)


def test_lengths_that_only_add_up_are_refused():
    with pytest.raises(WrongType, match="shape"):
        to_matrix(columns(2) | {"rooms": np.zeros(1), "new": np.zeros(3)}, SIGNATURE)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "no inputs"),
        ((Field("sold", TIMESTAMP),), "'sold' is a timestamp"),
        ((Field("town", STRING),), "'town' has no categories"),
    ],
    ids=str,
)
def test_a_signature_that_no_matrix_can_have_is_refused(inputs, message):
    with pytest.raises(DefinitionError, match=message):
        MatrixEncoder(Signature(inputs=inputs, outputs=SIGNATURE.outputs))
