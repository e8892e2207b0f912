"""Payloads of online rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import DataError, DefinitionError, FeatureStoreError, MissingColumn, WrongType
from stackwright_interfaces.online_rows import StridedPayloads
from stackwright_interfaces.types import BYTES, FLOAT64, INT64, STRING, TIMESTAMP, Field, decimal, list_of, vector
from stackwright_numerics.columns import NAT, Column
from stackwright_numerics.rows import RowCodec

PRICE, ROOMS, KIND = Field("price", FLOAT64), Field("rooms", INT64), Field("kind", STRING)


def encode(column_of, fields, *rows):
    """Rows of values, in the order of the fields, to payloads."""
    columns = {field.name: column_of([row[place] for row in rows], field.type) for place, field in enumerate(fields)}
    times = np.arange(len(rows), dtype=np.int64)
    return RowCodec(fields).encode(columns, event_us=times, created_us=times + 10, position=7, due_us=99)


@given(st.data())
def test_what_was_encoded_is_decoded(types, values_of, column_of, seen, data):
    chosen = data.draw(st.lists(st.sampled_from(types), max_size=6))
    count = data.draw(st.integers(0, 5))
    fields = [Field(f"f{place}", each) for place, each in enumerate(chosen)]
    columns = {
        field.name: column_of([data.draw(st.none() | values_of(field.type)) for _ in range(count)], field.type)
        for field in fields
    }
    event = np.array(data.draw(st.lists(st.integers(NAT + 1, -NAT - 1), min_size=count, max_size=count)), np.int64)
    codec = RowCodec(fields)
    payloads = codec.encode(columns, event_us=event, created_us=event[::-1], position=2**40, due_us=-5)
    rows = codec.decode(payloads)
    assert rows.found.tolist() == [True] * count
    assert rows.event_us.tolist() == event.tolist()
    assert rows.created_us.tolist() == event[::-1].tolist()
    assert rows.position.tolist() == [2**40] * count
    assert rows.due_us.tolist() == [-5] * count
    assert {name: seen(column) for name, column in rows.columns.items()} == {
        name: seen(column) for name, column in columns.items()
    }
    for field in fields:
        assert rows.columns[field.name].values.dtype == columns[field.name].values.dtype
        assert rows.columns[field.name].values.shape == columns[field.name].values.shape


@pytest.mark.parametrize(
    "fields", [[PRICE, ROOMS, KIND], [ROOMS], [KIND], [PRICE, ROOMS, KIND, Field("seen", TIMESTAMP)]]
)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_payloads_in_one_piece_of_memory_are_decoded_as_a_list_of_them_is(column_of, seen, fields, count):
    rows = [[1.5 * place, None if place == 1 else place, "abc"[place % 3]] for place in range(count)]
    payloads = encode(column_of, [PRICE, ROOMS, KIND], *rows)
    (size,) = set(map(len, payloads))
    buffer = b"".join(b"<<<" + payload + b">" for payload in payloads)
    strided = StridedPayloads(buffer, offset=3, stride=size + 4, size=size, rows=count)
    codec = RowCodec(fields)
    found, expected = codec.decode(strided), codec.decode(payloads)
    assert {name: seen(column) for name, column in found.columns.items()} == {
        name: seen(column) for name, column in expected.columns.items()
    }
    for name in ("found", "event_us", "created_us", "position", "due_us"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
    assert found.event_us.flags.writeable


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
def test_any_number_of_fields_fits(column_of, seen, count):
    fields = [Field(f"f{place}", INT64) for place in range(count)]
    row = [None if place % 3 == 0 else place for place in range(count)]
    columns = RowCodec(fields).decode(encode(column_of, fields, row)).columns
    assert [columns[field.name].values[0] if columns[field.name].valid[0] else None for field in fields] == row


def test_a_row_that_was_not_found_is_null_and_has_no_times(column_of, types, seen):
    fields = [Field(f"f{place}", each) for place, each in enumerate(types)]
    codec = RowCodec(fields)
    nothing = encode(column_of, fields, [None] * len(fields))
    rows = codec.decode([None, *nothing, None])
    assert rows.found.tolist() == [False, True, False]
    assert rows.event_us.tolist() == [NAT, 0, NAT]
    assert rows.due_us.tolist() == [NAT, 99, NAT]
    assert rows.position.tolist() == [0, 7, 0]
    for column in rows.columns.values():
        assert seen(column) == [None] * 3


def test_where_a_value_is_null_stands_the_filler(column_of):
    fields = [PRICE, ROOMS, Field("sold", TIMESTAMP), KIND, Field("place", vector(2))]
    columns = RowCodec(fields).decode([*encode(column_of, fields, [None] * 5), None]).columns
    assert np.isnan(columns["price"].values).all()
    assert columns["rooms"].values.tolist() == [0, 0]
    assert np.isnat(columns["sold"].values).all()
    assert columns["kind"].values.tolist() == [None, None]
    assert np.isnan(columns["place"].values).all()


def test_what_stood_where_a_value_was_null_is_not_stored():
    codec = RowCodec([ROOMS])
    times = np.zeros(2, np.int64)
    column = Column(np.array([5, 6]), np.array([False, False]))
    first, second = codec.encode({"rooms": column}, event_us=times, created_us=times, position=1, due_us=1)
    assert first == second


def test_nan_is_a_value_and_no_null(column_of):
    column = RowCodec([PRICE]).decode(encode(column_of, [PRICE], [float("nan")], [None])).columns["price"]
    assert column.valid.tolist() == [True, False]


def test_no_rows_decode_to_no_rows():
    rows = RowCodec([PRICE, KIND]).decode([])
    assert len(rows.found) == len(rows.event_us) == 0
    assert len(rows.columns["price"].values) == len(rows.columns["kind"].values) == 0


def test_a_row_without_fields_keeps_its_times(column_of):
    rows = RowCodec([]).decode(encode(column_of, [], [], []))
    assert rows.event_us.tolist() == [0, 1]
    assert rows.columns == {}


def test_many_rows_decode_like_one_by_one(column_of, seen):
    fields = [PRICE, ROOMS, KIND]
    payloads = encode(
        column_of, fields, *[[place / 3, place, None if place % 7 else "x" * place] for place in range(200)]
    )
    codec = RowCodec(fields)
    together = codec.decode(payloads).columns
    for name in ("price", "rooms", "kind"):
        assert seen(together[name]) == [seen(codec.decode([payload]).columns[name])[0] for payload in payloads]


# --- fields change ---


def test_a_field_added_later_is_null_in_older_rows(column_of, seen):
    old = encode(column_of, [PRICE, KIND], [1.5, "flat"])
    new = encode(column_of, [PRICE, ROOMS, KIND], [2.5, 3, "house"])
    rows = RowCodec([PRICE, ROOMS, KIND]).decode([*old, *new, None])
    assert rows.found.tolist() == [True, True, False]
    assert rows.event_us.tolist() == [0, 0, NAT]
    assert rows.position.tolist() == [7, 7, 0]
    assert seen(rows.columns["price"]) == ["1.5", "2.5", None]
    assert seen(rows.columns["rooms"]) == [None, "3", None]
    assert seen(rows.columns["kind"]) == ["'flat'", "'house'", None]


def test_a_reader_that_does_not_know_a_field_yet_passes_it_over(column_of, seen):
    new = encode(column_of, [PRICE, ROOMS, KIND, Field("note", STRING)], [2.5, 3, "house", "new"])
    rows = RowCodec([KIND]).decode(new)
    assert {name: seen(column) for name, column in rows.columns.items()} == {"kind": ["'house'"]}


@given(st.data())
def test_rows_are_read_by_name_whatever_fields_they_were_written_with(types, values_of, column_of, seen, data):
    pool = [Field(f"f{place}", each) for place, each in enumerate(types)]
    written, asked = (data.draw(st.lists(st.sampled_from(pool), unique_by=lambda field: field.name)) for _ in range(2))
    row = {field.name: data.draw(st.none() | values_of(field.type)) for field in written}
    columns = {field.name: column_of([row[field.name]], field.type) for field in written}
    payloads = encode(column_of, written, [row[field.name] for field in written])
    found = RowCodec(asked).decode(payloads).columns
    assert {name: seen(column) for name, column in found.items()} == {
        field.name: seen(columns[field.name]) if field in written else [None] for field in asked
    }


def test_the_order_in_which_fields_are_declared_does_not_matter(column_of):
    assert encode(column_of, [PRICE, KIND, ROOMS], [1.5, "a", 2]) == encode(
        column_of, [ROOMS, PRICE, KIND], [2, 1.5, "a"]
    )


@pytest.mark.parametrize(
    ("old", "new"), [(INT64, FLOAT64), (STRING, BYTES), (list_of(INT64), list_of(FLOAT64))], ids=str
)
def test_a_field_under_another_type_is_refused(column_of, old, new):
    payloads = encode(column_of, [Field("x", old)], [None])
    with pytest.raises(FeatureStoreError, match="'x' is stored under another type"):
        RowCodec([Field("x", new)]).decode(payloads)


def test_a_vector_of_another_size_is_refused(column_of):
    payloads = encode(column_of, [Field("x", vector(2))], [[1.0, 2.0]], [[3.0, 4.0]])
    with pytest.raises(FeatureStoreError, match="'x' is damaged"):
        RowCodec([Field("x", vector(4))]).decode(payloads)


def test_two_names_that_a_payload_could_not_tell_apart_are_refused():
    with pytest.raises(DefinitionError, match="'f504': stored rows cannot tell it from 'f4115'"):
        RowCodec([Field("f504", INT64), Field("f4115", INT64)])


# --- damage ---


@given(st.binary(max_size=80))
def test_bytes_that_are_no_row_are_refused(data):
    with pytest.raises(FeatureStoreError):
        RowCodec([PRICE, KIND]).decode([data])


def test_a_row_that_was_cut_short_is_refused_or_complete(column_of, types, values_of, seen):
    fields = [PRICE, KIND, Field("tags", list_of(STRING)), Field("place", vector(2))]
    (payload,) = encode(column_of, fields, [1.5, "flat", ["a", None], [1.0, 2.0]])
    codec = RowCodec(fields)
    for size in range(len(payload)):
        with pytest.raises(FeatureStoreError):
            codec.decode([payload[:size]])


@given(st.data())
def test_a_damaged_row_is_never_worse_than_refused(column_of, data):
    fields = [
        PRICE,
        KIND,
        Field("tags", list_of(STRING)),
        Field("sum", decimal(10, 2)),
        Field("at", list_of(TIMESTAMP)),
    ]
    (payload,) = encode(column_of, fields, [1.5, "flat", ["a", None], None, []])
    damaged = bytearray(payload)
    damaged[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        rows = RowCodec(fields).decode([bytes(damaged)])
    except FeatureStoreError:
        return
    assert len(rows.columns["kind"].values) == 1


def test_rows_of_another_format_are_refused(column_of):
    (payload,) = encode(column_of, [PRICE], [1.5])
    with pytest.raises(FeatureStoreError, match="no row of this format"):
        RowCodec([PRICE]).decode([b"\x09" + payload[1:]])


# --- encoding ---


def test_the_bytes_of_a_row_never_change(column_of):
    (payload,) = encode(column_of, [PRICE, KIND], [1.5, "é"])
    assert payload.hex(" ", -8) == (
        "010002000fedc600 0700000000000000 6300000000000000 "  # magic, position, due
        "0000000000000000 0a00000000000000 0300000000000000 "  # event, created, validity
        "000000000000f83f 480000004a000000 30244b3140c4a8e6 c3a9"  # price, kind, field list, cell
    )


def test_a_field_without_a_column_is_named():
    times = np.zeros(1, np.int64)
    with pytest.raises(MissingColumn, match="'rooms'"):
        RowCodec([ROOMS]).encode({}, event_us=times, created_us=times, position=1, due_us=1)


@pytest.mark.parametrize(
    ("value", "type"),
    [
        (5, STRING),
        (5, BYTES),
        (5, list_of(INT64)),
        ([1.5], list_of(INT64)),
        (["a"], list_of(FLOAT64)),
        (1.5, decimal(4, 2)),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused(value, type):
    values = np.empty(1, object)
    values[0] = value
    times = np.zeros(1, np.int64)
    with pytest.raises(WrongType, match="'x'"):
        RowCodec([Field("x", type)]).encode(
            {"x": Column(values, np.array([True]))}, event_us=times, created_us=times, position=1, due_us=1
        )


def test_a_row_without_an_event_time_is_refused():
    times = np.array([NAT])
    with pytest.raises(DataError, match="event time"):
        RowCodec([]).encode({}, event_us=times, created_us=times, position=1, due_us=1)
