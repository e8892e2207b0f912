"""Which columns are compared, and as what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stackwright_evidently.columns import CATEGORIES, OTHERS, Comparison, comparison
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import FLOAT64, Field


def compare(reference: dict[str, Any], current: dict[str, Any], *inputs: str, rows: int = 1000) -> Comparison:
    signature = Signature(inputs=tuple(Field(name, FLOAT64) for name in inputs), outputs=())
    return comparison(pa.table(reference), pa.table(current), signature, rows=rows)


def test_inputs_come_in_the_order_of_the_signature_then_predictions_and_targets() -> None:
    rows = {"target": [1.0], "b": [1.0], "prediction": [1.0], "a": ["x"], "other": [1.0]}
    found = compare(rows, rows, "a", "b", "c")
    assert list(found.pairs) == ["a", "b", "prediction", "target"]
    assert found.numbers == ["b", "prediction", "target"]
    assert found.texts == ["a"]
    assert found.skipped == {"c": "missing in the reference rows"}


def test_a_reason_names_the_side() -> None:
    found = compare({"a": [1.0], "b": [1.0]}, {"a": [None], "c": [1.0]}, "a", "b", "c")
    assert found.skipped == {
        "a": "only nulls in the current rows",
        "b": "missing in the current rows",
        "c": "missing in the reference rows",
    }


def test_a_column_that_a_side_holds_twice_is_not_guessed_at() -> None:
    signature = Signature(inputs=(Field("a", FLOAT64),), outputs=())
    twice = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    found = comparison(pa.table({"a": [1.0]}), twice, signature, rows=10)
    assert found.skipped == {"a": "more than once in the current rows"}


def test_text_is_not_compared_with_numbers() -> None:
    assert compare({"a": ["1"]}, {"a": [1.0]}, "a").skipped == {"a": "text on one side, numbers on the other"}


def test_numbers_of_any_kind_become_floats_and_what_is_not_finite_counts_as_null() -> None:
    rows = {"flag": [True, None], "count": pa.array([2**63 - 1, 1], pa.int64()), "real": [float("inf"), 1.0]}
    pairs = compare(rows, rows, "flag", "count", "real").pairs
    np.testing.assert_array_equal(pairs["flag"].reference, [1.0, np.nan])
    np.testing.assert_array_equal(pairs["count"].reference, [2.0**63, 1.0])
    np.testing.assert_array_equal(pairs["real"].reference, [np.nan, 1.0])


@given(st.integers(1, 60), st.integers(1, 40))
def test_rows_are_thinned_out_evenly_from_the_first_to_the_last(count: int, rows: int) -> None:
    values = compare({"a": np.arange(float(count))}, {"a": [1.0]}, "a", rows=rows).pairs["a"].reference
    assert len(values) == min(count, rows)
    assert values[0] == 0.0
    steps = np.diff(values)
    assert rows == 1 or values[-1] == count - 1
    assert len(steps) == 0 or steps.max() - steps.min() <= 1.0


def test_what_is_left_after_thinning_must_hold_values() -> None:
    sparse = [None, 1.0, *[None] * 98]
    assert compare({"a": sparse}, {"a": [1.0]}, "a", rows=10).skipped == {"a": "only nulls in the reference rows"}


def test_the_most_frequent_categories_are_told_apart() -> None:
    often = [f"often {number}" for number in range(CATEGORIES)]
    seldom = [f"seldom {number}" for number in range(500)]
    pair = compare({"a": [*often, *often, *seldom, None]}, {"a": seldom}, "a").pairs["a"]
    assert list(pair.reference) == [*often, *often, *[OTHERS] * 500, None]
    assert list(pair.current) == [OTHERS] * 500


def test_a_category_holds_nothing_that_could_begin_a_tag() -> None:
    pair = compare({"a": ["<b>x</b>"]}, {"a": ["y"]}, "a").pairs["a"]
    assert list(pair.reference) == ["‹b>x‹/b>"]
