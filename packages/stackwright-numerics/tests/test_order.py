"""The one total order of rows."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING, TIMESTAMP, decimal, list_of, vector
from stackwright_numerics.columns import nulls
from stackwright_numerics.order import content_hash, order_tokens, read_token

TIMES = st.integers(-(2**63), 2**63 - 1)
ORDERS = st.tuples(TIMES, TIMES, st.integers(0, 2**64 - 1))


def tokens(orders):
    event, created, content = zip(*orders, strict=True)
    return order_tokens(np.array(event, np.int64), np.array(created, np.int64), np.array(content, np.uint64))


@given(st.lists(ORDERS | st.tuples(*[st.integers(-1, 1)] * 2, st.integers(0, 2)), min_size=1))
def test_tokens_compare_as_event_then_created_then_content(orders):
    read = [row.tobytes() for row in tokens(orders)]
    assert sorted(read) == [row.tobytes() for row in tokens(sorted(orders))]
    assert len(set(read)) == len(set(orders))


@given(ORDERS)
def test_a_token_of_24_bytes_tells_what_it_was_made_of(order):
    array = tokens([order])
    assert array.shape == (1, 24)
    assert array.dtype == np.uint8
    assert read_token(array[0].tobytes()) == order


def test_no_rows_have_no_tokens():
    empty = np.zeros(0, np.int64)
    assert order_tokens(empty, empty, empty.view(np.uint64)).shape == (0, 24)


@given(st.data())
def test_neither_the_order_of_columns_nor_added_null_columns_change_a_hash(types, values_of, column_of, data):
    rows = data.draw(st.integers(1, 4))
    chosen = data.draw(st.lists(st.sampled_from(types), min_size=1, max_size=5))
    columns = {
        f"c{place}": column_of([data.draw(st.none() | values_of(each)) for _ in range(rows)], each)
        for place, each in enumerate(chosen)
    }
    hashes = content_hash(columns)
    shuffled = dict(data.draw(st.permutations(list(columns.items()))))
    added = {"before": nulls(data.draw(st.sampled_from(types)), rows), **shuffled, "zz": nulls(INT64, rows)}
    assert content_hash(added).tolist() == hashes.tolist()
    assert hashes.dtype == np.uint64
    for row in range(rows):
        alone = {
            name: type(column)(column.values[row : row + 1], column.valid[row : row + 1])
            for name, column in columns.items()
        }
        assert content_hash(alone).tolist() == [hashes[row]]


@given(st.data())
def test_different_values_have_different_hashes(types, values_of, column_of, seen, data):
    chosen = data.draw(st.sampled_from([each for each in types if each.kind != "decimal"]))
    column = column_of(data.draw(st.lists(st.none() | values_of(chosen), min_size=1, max_size=20)), chosen)
    assert len(set(content_hash({"x": column}).tolist())) == len(set(seen(column)))


def test_values_that_change_places_have_another_hash(column_of):
    one, two = column_of([1, 2], INT64), column_of([2, 1], INT64)
    hashes = content_hash({"a": one, "b": two})
    assert hashes[0] != hashes[1]


def test_a_null_is_not_the_filler_that_stands_for_it(column_of):
    for value, each in [(0, INT64), (False, BOOL), (float("nan"), FLOAT64), ("", STRING)]:
        hashes = content_hash({"x": column_of([value, None], each)})
        assert hashes[0] != hashes[1]


def test_all_nans_are_alike(column_of):
    other = np.array([0xFFF8000000000001], np.uint64).view(np.float64)[0]
    for values, each in [
        ([np.nan, other], FLOAT64),
        ([[np.nan], [other]], vector(1)),
        ([[np.nan], [other]], list_of(FLOAT64)),
    ]:
        hashes = content_hash({"x": column_of(values, each)})
        assert hashes[0] == hashes[1]


def test_decimals_count_by_value(column_of, amount):
    values = [Decimal("1.50"), Decimal("1.5"), Decimal("-0"), Decimal("0.00"), amount, amount.next_plus()]
    hashes = content_hash({"x": column_of(values, decimal(38, 4))}).tolist()
    assert hashes[0] == hashes[1]
    assert hashes[2] == hashes[3]
    assert len(set(hashes)) == 4


def test_rows_without_columns_are_counted():
    assert content_hash({}, rows=2).tolist() == [0, 0]
    assert len(content_hash({})) == 0


@pytest.mark.parametrize(
    ("value", "type", "expected"),
    [
        (True, BOOL, 11517132152742146835),
        (-7, INT64, 7460805990226102292),
        (0.5, FLOAT64, 8207391754041070354),
        ("é", STRING, 16032249023539774343),
        (b"\0", BYTES, 3454820118107262730),
        (np.datetime64("2026-11-20", "us"), TIMESTAMP, 10929022753438616600),
        (Decimal("12.50"), decimal(4, 2), 12856703315292079610),
        ([1.0, -0.0], vector(2), 10696975789903808724),
        (["a", None], list_of(STRING), 8861110260361499172),
        (None, INT64, 0),
    ],
    ids=str,
)
def test_the_hash_of_a_value_never_changes(column_of, value, type, expected):
    assert content_hash({"x": column_of([value], type)}).tolist() == [expected]


def test_the_hash_of_a_row_never_changes(column_of):
    row = {"price": column_of([123.25], FLOAT64), "kind": column_of(["flat"], STRING), "rooms": column_of([3], INT64)}
    assert content_hash(row).tolist() == [862671555832031966]
