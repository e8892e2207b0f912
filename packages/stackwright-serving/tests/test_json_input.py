from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_serving.json_input import InvalidJson, parse

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value: Any) -> None:
    assert parse(json.dumps(value).encode(), max_depth=32) == value


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidJson):
        json.dumps(parse(body))


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "not JSON"),
        (b"{", "line 1 column 2"),
        (b'{"a": 1, "a": 2}', "key 'a' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "too large"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'"\\ud800"', "surrogate"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"[" * 33 + b"]" * 33, "nested too deeply"),
        (b"1" * 100_000, "cannot be read"),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes, part: str) -> None:
    with pytest.raises(InvalidJson) as caught:
        parse(body)
    assert part in str(caught.value)
    assert len(str(caught.value)) < 500
