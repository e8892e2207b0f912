"""Drawings that say what the numbers say."""

from __future__ import annotations

import re

from stackwright_models import charts


def polylines(page: str) -> list[int]:
    """Return how many points each line of a drawing has."""
    return [len(points.split()) for points in re.findall(r'<polyline points="([^"]*)"', page)]


def test_a_missing_value_is_a_gap_in_its_line() -> None:
    page = charts.lines("loss", ["a", "b", "c", "d", "e"], {"mae": [1.0, 2.0, None, 4.0, 5.0]}, "euros")
    assert polylines(page) == [2, 2]
    assert polylines(charts.lines("loss", ["a", "b"], {"mae": [None, None]}, "euros")) == []


def test_what_places_are_called_is_escaped() -> None:
    for page in (
        charts.lines("loss", ["<b>", "b"], {"mae": [1.0, 2.0]}, "euros"),
        charts.ranges("loss", ["<b>", "b"], [(1.0, 0.5, 1.5), (2.0, None, None)], ("place", "loss")),
    ):
        assert "<b>" not in page
        assert "&lt;b&gt;" in page


def test_numbers_are_short_and_never_a_power_of_ten() -> None:
    assert [charts.show(number) for number in (0.12345, 999.4, 999.7, 1234.5, 12)] == [
        "0.123", "999", "1,000", "1,234", "12"
    ]  # fmt: skip
    assert charts.show(None) == charts.show(float("nan")) == "–"
