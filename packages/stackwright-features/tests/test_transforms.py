from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from stackwright_features.transforms import Step, needed, run
from stackwright_interfaces.definitions import AT, Transform
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Type, decimal, list_of, vector

NAN = float("nan")


def noon(rows: int = 2) -> np.ndarray:
    return np.array(["2024-07-01T12:00"] * rows, "datetime64[us]")


def step(name: str, inputs: tuple[str, ...], type: Type, function: Callable[..., Any]) -> Step:
    return Step(Transform(name=name, inputs=inputs, type=type), function)


def result(type: Type, value: Any) -> list[Any]:
    """What a function that returns this value gives for two rows; ``None`` where null."""
    ((_, column, _),) = run([step("f", (), type, lambda: value)], {}, noon(), 2)
    return [item if there else None for item, there in zip(column.values.tolist(), column.valid, strict=True)]


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        (FLOAT64, np.array([1.5, NAN]), [1.5, None]),
        (FLOAT64, np.array([1, 2], np.int8), [1.0, 2.0]),
        (FLOAT64, np.array([True, False]), [1.0, 0.0]),
        (FLOAT64, np.array([1.5, None], object), [1.5, None]),
        (FLOAT64, [1.5, 2.5], [1.5, 2.5]),
        (FLOAT64, np.array([np.inf, -np.inf]), [np.inf, -np.inf]),
        (INT64, np.array([3.0, NAN]), [3, None]),
        (INT64, np.array([3, 4], np.int8), [3, 4]),
        (BOOL, np.array([True, False]), [True, False]),
        (BOOL, np.array([1.0, NAN]), [True, None]),
        (STRING, np.array(["a", None], object), ["a", None]),
        (STRING, np.array(["a", NAN], object), ["a", None]),
        (STRING, np.array(["a", "bc"]), ["a", "bc"]),
        (decimal(5, 2), np.array(["1.5", None], object), [Decimal("1.50"), None]),
        (list_of(INT64), np.array([[1], None], object), [[1], None]),
        (vector(2), np.array([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 2.0], [3.0, 4.0]]),
        (TIMESTAMP, np.array(["2024-07-01T12", "NaT"], "datetime64[h]"), [noon()[0].item(), None]),
    ],
    ids=str,
)
def test_results_are_read_as_the_declared_type(type: Type, value: Any, expected: list[Any]) -> None:
    assert result(type, value) == expected


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (INT64, np.array([1.5, 2.0])),
        (INT64, np.array([2.0**63, 2.0])),
        (INT64, np.array([np.inf, 2.0])),
        (BOOL, np.array([2.0, 1.0])),
        (FLOAT64, np.array(["a", "b"])),
        (STRING, np.array([1.0, 2.0])),
        (TIMESTAMP, np.array([1.0, 2.0])),
        (vector(3), np.array([[1.0, 2.0], [3.0, 4.0]])),
    ],
    ids=str,
)
def test_a_result_of_another_type_is_refused(type: Type, value: Any) -> None:
    with pytest.raises(DefinitionError, match=f"transform 'f': its result is no {type}".replace("[", r"\[")):
        result(type, value)


@pytest.mark.parametrize("value", [np.array([1.0]), np.array(1.0), 1.0, None, np.zeros((3, 2))], ids=repr)
def test_a_result_of_another_length_is_refused(value: Any) -> None:
    with pytest.raises(DefinitionError, match=r"transform 'f': it gives \(.*\) for 2 rows"):
        result(FLOAT64, value)


def test_a_failing_function_is_named_with_its_error() -> None:
    def fail() -> None:
        raise KeyError("north")

    with pytest.raises(DefinitionError, match="transform 'f': it failed with KeyError: 'north'"):
        list(run([step("f", (), FLOAT64, fail)], {}, noon(), 2))


def test_steps_see_inputs_earlier_steps_and_the_asked_instant() -> None:
    steps = [
        step("double", ("x",), FLOAT64, lambda x: x * 2),
        step("hour", (AT,), INT64, lambda at: (at - at.astype("datetime64[D]")) // np.timedelta64(1, "h")),
        step("both", ("double", "hour"), FLOAT64, lambda double, hour: double + hour),
    ]
    found = {name: array.tolist() for name, _, array in run(steps, {"x": np.array([1.0, NAN])}, noon(), 2)}
    assert found["double"][0] == 2.0
    assert found["hour"] == [12.0, 12.0]
    assert found["both"][0] == 14.0
    assert np.isnan(found["both"][1])


def test_what_steps_need_is_what_none_of_them_gives() -> None:
    steps = [step("a", ("x", AT), FLOAT64, max), step("b", ("a", "y", "x"), FLOAT64, max)]
    assert needed(steps) == ("x", "y")


def test_a_function_cannot_change_what_it_was_given() -> None:
    def change(x: Any) -> Any:
        x[0] = 9.0
        return x

    with pytest.raises(DefinitionError, match="read-only"):
        list(run([step("f", ("x",), FLOAT64, change)], {"x": np.array([1.0, 2.0])}, noon(), 2))


def test_no_function_is_called_for_no_rows() -> None:
    ((_, column, array),) = run([step("f", (), STRING, lambda: 1 / 0)], {}, noon(0), 0)
    assert len(column.valid) == 0
    assert array.dtype == object
