"""Payloads of views with windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_numerics.columns import NAT, nulls
from stackwright_numerics.events import EventsCodec
from stackwright_numerics.rows import RowCodec

AMOUNT, KIND = Field("amount", FLOAT64), Field("kind", STRING)


def encode(fields, columns, counts):
    offsets = np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]).astype(np.int64)
    event = np.arange(offsets[-1], dtype=np.int64) - 3
    return EventsCodec(fields).encode(
        columns, event_us=event, created_us=event * 2, offsets=offsets, position=7, due_us=-99
    )


@given(st.data())
def test_what_was_encoded_is_decoded(types, values_of, column_of, seen, data):
    chosen = data.draw(st.lists(st.sampled_from(types), max_size=4))
    counts = data.draw(st.lists(st.integers(0, 3), max_size=4))
    fields = [Field(f"f{place}", each) for place, each in enumerate(chosen)]
    columns = {
        field.name: column_of([data.draw(st.none() | values_of(field.type)) for _ in range(sum(counts))], field.type)
        for field in fields
    }
    payloads = encode(fields, columns, counts)
    events = EventsCodec(fields).decode(payloads)
    assert events.found.tolist() == [True] * len(counts)
    assert np.diff(events.offsets).tolist() == counts
    assert events.event_us.tolist() == [place - 3 for place in range(sum(counts))]
    assert events.created_us.tolist() == [2 * (place - 3) for place in range(sum(counts))]
    assert events.position.tolist() == [7] * len(counts)
    assert events.due_us.tolist() == [-99] * len(counts)
    assert {name: seen(column) for name, column in events.columns.items()} == {
        name: seen(column) for name, column in columns.items()
    }


def test_a_key_that_was_not_found_has_no_events(column_of, seen):
    first, second = encode([KIND], {"kind": column_of(["a", "b", "c"], STRING)}, [1, 2])
    events = EventsCodec([KIND]).decode([None, second, None, first, first])
    assert events.found.tolist() == [False, True, False, True, True]
    assert events.offsets.tolist() == [0, 0, 2, 2, 3, 4]
    assert events.due_us.tolist() == [NAT, -99, NAT, -99, -99]
    assert events.position.tolist() == [0, 7, 0, 7, 7]
    assert seen(events.columns["kind"]) == ["'b'", "'c'", "'a'", "'a'"]


def test_a_key_without_events_is_found(column_of):
    payloads = encode([KIND], {"kind": column_of([], STRING)}, [0])
    events = EventsCodec([KIND]).decode(payloads)
    assert events.found.tolist() == [True]
    assert events.offsets.tolist() == [0, 0]


def test_no_keys_decode_to_no_events():
    events = EventsCodec([AMOUNT, KIND]).decode([])
    assert events.offsets.tolist() == [0]
    assert len(events.columns["amount"].values) == 0


def test_events_of_older_fields_are_read_by_name(column_of, seen):
    old = encode([KIND], {"kind": column_of(["a", None], STRING)}, [2])
    new = encode([AMOUNT, KIND], {"amount": column_of([1.5], FLOAT64), "kind": column_of(["b"], STRING)}, [1])
    events = EventsCodec([AMOUNT, KIND]).decode([*old, None, *new])
    assert events.offsets.tolist() == [0, 2, 2, 3]
    assert events.event_us.tolist() == [-3, -2, -3]
    assert seen(events.columns["kind"]) == ["'a'", None, "'b'"]
    assert seen(events.columns["amount"]) == [None, None, "1.5"]
    assert seen(EventsCodec([AMOUNT]).decode(new).columns["amount"]) == ["1.5"]


def test_a_field_under_another_type_is_refused():
    payloads = encode([AMOUNT], {"amount": nulls(FLOAT64, 1)}, [1])
    with pytest.raises(FeatureStoreError, match="'amount' is stored under another type"):
        EventsCodec([Field("amount", INT64)]).decode(payloads)


def test_a_row_is_no_events_and_events_are_no_row(column_of):
    events = encode([AMOUNT], {"amount": nulls(FLOAT64, 1)}, [1])
    times = np.zeros(1, np.int64)
    rows = RowCodec([AMOUNT]).encode(
        {"amount": nulls(FLOAT64, 1)}, event_us=times, created_us=times, position=1, due_us=1
    )
    with pytest.raises(FeatureStoreError):
        RowCodec([AMOUNT]).decode(events)
    with pytest.raises(FeatureStoreError):
        EventsCodec([AMOUNT]).decode(rows)


@given(st.binary(max_size=80))
def test_bytes_that_are_no_events_are_refused(data):
    with pytest.raises(FeatureStoreError):
        EventsCodec([AMOUNT, KIND]).decode([data])


def test_events_that_were_cut_short_are_refused(column_of):
    columns = {"amount": column_of([1.5, 2.5], FLOAT64), "kind": column_of(["a", "bc"], STRING)}
    (payload,) = encode([AMOUNT, KIND], columns, [2])
    for size in range(len(payload)):
        with pytest.raises(FeatureStoreError):
            EventsCodec([AMOUNT, KIND]).decode([payload[:size]])


@given(st.data())
def test_damaged_events_are_never_worse_than_refused(column_of, data):
    columns = {"amount": column_of([1.5, 2.5], FLOAT64), "kind": column_of(["a", "bc"], STRING)}
    (payload,) = encode([AMOUNT, KIND], columns, [2])
    damaged = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    for fields in ([AMOUNT, KIND], [KIND], []):
        try:
            events = EventsCodec(fields).decode([bytes(damaged)])
        except FeatureStoreError:
            continue
        assert events.offsets.tolist() == [0, len(events.event_us)]


def test_the_bytes_of_events_never_change(column_of):
    (payload,) = encode([KIND], {"kind": column_of(["a", None], STRING)}, [2])
    assert payload.hex(" ", -8) == (
        "0200010011c84103 0700000000000000 9dffffffffffffff 0200000000000000 "  # magic, position, due, count
        "fdffffffffffffff faffffffffffffff 0100000000000000 6400000065000000 "  # event, created, validity, kind
        "feffffffffffffff fcffffffffffffff 0000000000000000 6500000065000000 "
        "40c4a8e661"  # field list, cell
    )
