"""Orders of rows, against the plainest way to do the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stackwright_duckdb.search import newest_known, order_within

SMALL = st.integers(-3, 3)


def _ints(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@given(st.lists(st.tuples(st.integers(0, 3), SMALL)))
def test_order_within_sorts_by_key_then_value_and_keeps_equal_rows_in_place(rows: list[tuple[int, int]]) -> None:
    order = order_within(_ints([key for key, _ in rows]), _ints([value for _, value in rows]))
    assert order.tolist() == sorted(range(len(rows)), key=lambda place: rows[place])


@given(st.lists(st.tuples(st.integers(0, 2), SMALL, SMALL)), st.integers(0, 2), SMALL)
def test_the_newest_known_row_is_the_last_whose_event_and_created_times_have_come(
    rows: list[tuple[int, int, int]], key: int, at: int
) -> None:
    rows = sorted(rows)
    keys, events, created = (_ints([row[part] for row in rows]) for part in range(3))
    known_from, newest = newest_known(keys, events, created)
    low, high = np.searchsorted(keys, [key, key + 1])
    known = [place for place in range(low, high) if events[place] <= at and created[place] <= at]
    places = newest[low:high][known_from[low:high] <= at]
    assert (places[-1] if len(places) else None) == (known[-1] if known else None)
