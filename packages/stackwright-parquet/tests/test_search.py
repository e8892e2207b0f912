"""The search in sorted segments, against the plainest way to do the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stackwright_parquet.search import bisect_right

SMALL = st.integers(-3, 3)


def _ints(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@given(st.lists(st.lists(SMALL).map(sorted)), st.data())
def test_bisect_right_finds_the_first_greater_value_of_each_segment(
    segments: list[list[int]], data: st.DataObject
) -> None:
    ends = np.cumsum([0, *map(len, segments)])
    asked = data.draw(st.lists(st.tuples(st.integers(0, len(segments) - 1), SMALL))) if segments else []
    which = _ints([segment for segment, _ in asked])
    values = _ints([value for segment in segments for value in segment])
    found = bisect_right(values, ends[which], ends[which + 1], _ints([target for _, target in asked]))
    expected = [ends[segment] + sum(value <= target for value in segments[segment]) for segment, target in asked]
    assert found.tolist() == expected
