"""Values that are taken apart at once say what each says by itself."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.online_rows import LARGE, StridedPayloads, pack
from stackwright_redis.shared_rows import payloads_of

NAMES = [b"aaaaaa", b"bbbbbb", b"cccccc"]

Parts = dict[bytes, tuple[bytes, bytes]]


def value_of(parts: Parts) -> bytes:
    """A shared value, as the server's scripts make it."""
    names = sorted(parts)
    heads = [struct.pack("<6sBI", name, *map(len, parts[name])) for name in names]
    return bytes([len(names)]) + b"".join([*heads, *(part for name in names for part in parts[name])])


PART = st.tuples(
    st.one_of(st.just(b"token"), st.binary(max_size=3)),
    st.one_of(st.just(b"payload"), st.just(b"large" * LARGE), st.binary(max_size=3)),
)
PARTS = st.dictionaries(st.sampled_from(NAMES), PART, min_size=1)
ASKED = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)


@given(st.lists(st.one_of(PARTS, PARTS, st.none()), max_size=4), st.integers(1, 3), ASKED)
def test_payloads_are_those_of_each_value(held: list[Parts | None], times: int, asked: list[bytes]) -> None:
    held = held * times
    values = [None if parts is None else value_of(parts) for parts in held]
    expected = [[parts[name][1] if parts and name in parts else None for parts in held] for name in asked]
    assert payloads_of(values, asked) == (expected if held else [[] for _ in asked])


def test_small_values_that_begin_alike_are_not_taken_apart() -> None:
    values = [value_of({name: (b"token", b"%d of %s" % (number, name)) for name in NAMES}) for number in range(9)]
    assert {type(column) for column in payloads_of(values, NAMES[:2])} == {StridedPayloads}
    assert {type(column) for column in payloads_of([*values, None], NAMES[:2])} == {list}
    large = [value_of({name: (b"token", bytes(LARGE)) for name in NAMES})] * 2
    assert {type(column) for column in payloads_of(large, NAMES[:2])} == {list}


@pytest.mark.parametrize("values", [[b"\x05"] * 2, [b"\x02" + struct.pack("<6sBI", NAMES[0], 0, 0)] * 3])
def test_values_that_are_all_cut_within_their_heads_are_none(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="it is cut"):
        payloads_of(values, NAMES[:1])


@pytest.mark.parametrize("spoil", [lambda value: value[:-1], lambda value: value + b"more", lambda value: b""])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_value_that_is_cut_or_too_long_is_none(spoil: object, place: int) -> None:
    assert callable(spoil)
    values = [value_of({NAMES[0]: (b"token", b"payload")}) for _ in range(3)]
    values[place] = spoil(values[place])
    with pytest.raises(ValueError, match="it is cut"):
        payloads_of(values, NAMES[:1])


def test_a_view_alone_has_packed_rows() -> None:
    assert payloads_of([pack(b"token", b"payload"), None], [b""]) == [[b"payload", None]]
    with pytest.raises(ValueError, match="it is empty"):
        payloads_of([b""], [b""])
