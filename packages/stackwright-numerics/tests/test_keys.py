"""Entity keys as bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, DefinitionError, WrongType
from stackwright_interfaces.types import BOOL, BYTES, FLOAT64, INT64, STRING
from stackwright_numerics.columns import Column
from stackwright_numerics.keys import decode_key, encode_keys, encode_plain

PARTS = {
    BOOL: st.booleans(),
    INT64: st.integers(-(2**63), 2**63 - 1),
    STRING: st.text(st.sampled_from(["a", "b", "\0", "\x01", "é", "𝄞"]), max_size=4),
    BYTES: st.binary(max_size=4),
}


def encode(column_of, rows, types):
    return encode_keys(
        [column_of(column, each) for column, each in zip(zip(*rows, strict=True), types, strict=True)], types
    )


@given(st.data())
def test_different_keys_have_different_bytes_and_their_order(column_of, data):
    types = data.draw(st.lists(st.sampled_from(list(PARTS)), min_size=1, max_size=3))
    rows = data.draw(st.lists(st.tuples(*(PARTS[each] for each in types)), min_size=2, max_size=20))
    keys = encode(column_of, rows, types)
    by_bytes = [row for _, row in sorted(zip(keys, rows, strict=True))]
    assert by_bytes == sorted(rows, key=lambda row: [part.encode() if isinstance(part, str) else part for part in row])
    assert len(set(keys)) == len(set(rows))


@given(st.data())
def test_a_key_is_read_as_it_was_given(column_of, data):
    types = data.draw(st.lists(st.sampled_from(list(PARTS)), min_size=1, max_size=3))
    row = data.draw(st.tuples(*(PARTS[each] for each in types)))
    (key,) = encode(column_of, [row], types)
    found = decode_key(key, types)
    assert found == row
    assert list(map(type, found)) == list(map(type, row))


@pytest.mark.parametrize("key", [b"", b"\x02\x00", b"\x03ab", b"\x03a\x00more"])
def test_what_is_no_key_of_these_types_is_refused(key):
    with pytest.raises(DataError):
        decode_key(key, [INT64] if key[:1] == b"\x02" else [STRING])


@given(st.data(), st.sampled_from([INT64, STRING]), st.sampled_from([1, 2, 20]))
def test_plain_values_give_the_bytes_of_a_column_of_them(column_of, data, type_, count):
    few = data.draw(st.lists(PARTS[type_], min_size=1, max_size=5))
    values = [few[place % len(few)] for place in range(count)]
    one_by_one = [encode(column_of, [(value,)], [type_])[0] for value in values]
    assert encode_plain(values, type_) == encode(column_of, [(value,) for value in values], [type_]) == one_by_one


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("value", [True, 1.5, 2**63, -(2**63) - 1, None, "1", np.int64(1)])
def test_anything_but_a_plain_integer_is_not_encoded_as_one(value, count):
    assert encode_plain([1] * (count - 1) + [value], INT64) is None
    assert encode_plain((1,), INT64) is None


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("dtype", [np.float64, object])
def test_a_column_of_other_numbers_is_refused(count, dtype):
    values = np.full(count, 1.5, dtype)
    with pytest.raises(WrongType):
        encode_keys([Column(values, np.ones(count, np.bool_))], [INT64])


def test_parts_do_not_run_into_each_other(column_of):
    first, second = encode(column_of, [("a", "bc"), ("ab", "c")], [STRING, STRING])
    assert first != second


def test_a_number_is_not_its_text(column_of):
    assert encode(column_of, [(1,)], [INT64]) != encode(column_of, [("1",)], [STRING])
    assert encode(column_of, [(1,)], [INT64]) != encode(column_of, [(True,)], [BOOL])
    assert encode(column_of, [(b"1",)], [BYTES]) != encode(column_of, [("1",)], [STRING])


@pytest.mark.parametrize("missing", [(None, 1), ("a", None), (None, None)])
def test_a_key_with_a_null_part_is_none(column_of, missing):
    assert encode(column_of, [missing, ("a", 1)], [STRING, INT64])[0] is None
    assert encode(column_of, [missing, ("a", 1)], [STRING, INT64])[1] is not None


def test_what_stands_where_a_part_is_null_does_not_matter():
    column = Column(np.array([None, b"x"], object), np.array([False, False]))
    assert encode_keys([column], [BYTES]) == [None, None]


def test_the_bytes_never_change(column_of):
    row = (True, -1, "a\0é", b"\0")
    assert encode(column_of, [row], [BOOL, INT64, STRING, BYTES]) == [
        b"\x01\x01" + b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff" + b"\x03a\0\xff\xc3\xa9\0" + b"\x04\0\xff\0"
    ]


def test_no_rows_have_no_keys(column_of):
    assert encode_keys([column_of([], STRING)], [STRING]) == []


def test_a_type_that_no_key_has_is_refused(column_of):
    with pytest.raises(DefinitionError, match="float64"):
        encode(column_of, [(1.0,)], [FLOAT64])


@pytest.mark.parametrize(("value", "type"), [(1, STRING), ("a", BYTES), ("1", INT64)])
def test_a_value_of_another_type_is_refused(value, type):
    column = Column(np.array([value], object), np.array([True]))
    with pytest.raises(WrongType, match=str(type)):
        encode_keys([column], [type])


def test_a_lone_surrogate_is_refused(column_of):
    with pytest.raises(DataError, match="UTF-8"):
        encode(column_of, [("\ud800",)], [STRING])
