"""Payloads in one piece of memory are those that a list would hold."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.online_rows import LARGE, StridedPayloads, pack, payload_of, payloads_of


@st.composite
def strided(draw: st.DrawFn) -> tuple[StridedPayloads, list[bytes]]:
    """Payloads, and the list of them."""
    size, count = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    before, after = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    payloads = draw(st.lists(st.binary(min_size=size, max_size=size), min_size=count, max_size=count))
    buffer = b"".join(b"<" * before + payload + b">" * after for payload in payloads)
    stride = before + size + after
    return StridedPayloads(buffer, offset=before, stride=stride, size=size, rows=count), payloads


@given(strided(), st.slices(5))
def test_they_are_the_sequence_that_a_list_of_them_is(both: tuple[StridedPayloads, list[bytes]], part: slice) -> None:
    found, payloads = both
    assert found == payloads
    assert [found] == [payloads]
    assert list(found) == payloads
    assert len(found) == len(payloads)
    assert found[part] == payloads[part]
    assert [found[place] for place in range(-len(payloads), len(payloads))] == payloads * 2
    assert [found.count(payload) for payload in payloads] == [payloads.count(payload) for payload in payloads]
    assert repr(found) == repr(payloads)
    assert found != [*payloads, b""]
    assert found != tuple(payloads)
    assert found == ANY
    with pytest.raises(IndexError):
        found[len(payloads)]
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


TOKENS = st.one_of(st.just(b"token"), st.binary(max_size=4))
ROWS = st.builds(pack, TOKENS, st.one_of(st.just(b"payload"), st.binary(max_size=8)))


@given(st.one_of(st.lists(ROWS), st.lists(st.one_of(st.none(), ROWS))))
def test_payloads_of_packed_rows_are_those_of_each(values: list[bytes | None]) -> None:
    assert payloads_of(values) == [value if value is None else payload_of(value) for value in values]


def test_small_rows_of_one_size_are_not_taken_apart() -> None:
    def kind(values: Sequence[bytes | None]) -> type:
        return type(payloads_of(values))

    alike = [pack(b"token", b"payload"), pack(b"other", b"PAYLOAD")]
    assert kind(alike) is StridedPayloads
    assert kind(alike[:1]) is list
    assert kind([*alike, None]) is list
    assert kind([*alike, pack(b"tokens", b"payloa")]) is list
    assert kind([pack(b"token", bytes(LARGE))] * 2) is list


@pytest.mark.parametrize("values", [[b""], [b"", b""], [pack(b"token", b"payload"), b""]])
def test_an_empty_value_is_no_packed_row(values: list[bytes]) -> None:
    with pytest.raises(IndexError):
        payloads_of(values)


def test_rows_that_end_within_their_tokens_have_empty_payloads() -> None:
    assert payloads_of([b"\x05to", b"\x05to"]) == [b"", b""]
