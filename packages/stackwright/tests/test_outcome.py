"""What a workflow shows: to people, to programs, in notebooks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackwright.workflows.outcome import Outcome, Table, show

TABLE = Table(("name", "value"), [("price", 1234.5), ("a longer name", None)])


def test_columns_line_up() -> None:
    assert str(TABLE).splitlines() == ["name           value", "price          1,234", "a longer name  -"]


def test_an_outcome_is_its_line_its_tables_and_its_notes() -> None:
    outcome = Outcome("Done", tables=(TABLE, Table(("empty",), [])), notes=("Next: rest",))
    assert str(outcome).splitlines() == ["Done", *str(TABLE).splitlines(), "Next: rest"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (True, "yes"),
        (False, "no"),
        (0.123456, "0.1235"),
        (-98765.4, "-98,765"),
        ([], "-"),
        (["a", None, 2.0], "a, -, 2"),
        (12345678, "12345678"),
    ],
)
def test_a_cell_is_short(value: Any, text: str) -> None:
    assert show(value) == text


def test_html_shows_what_is_in_the_data_as_text() -> None:
    evil = "<script>alert('x')</script>"
    shown = Outcome(evil, tables=(Table((evil,), [(evil,)]),), notes=(evil,))._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") == 4


def test_json_has_null_for_numbers_that_it_lacks() -> None:
    outcome = Outcome("", {"a": [float("nan"), (1.5, float("inf"))], "b": {"c": float("-inf")}}, ok=False)
    document = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert document == {"ok": False, "a": [None, [1.5, None]], "b": {"c": None}}
