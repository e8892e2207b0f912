"""Clicks out of a table, and what a version is asked in a replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stackwright.workflows.monitoring.clicks import clicks_of
from stackwright.workflows.monitoring.lists import orders, request_of
from stackwright.workflows.monitoring.report import report
from stackwright_interfaces.errors import DataError, MissingColumn, UsageError
from stackwright_interfaces.recommender import Recommendations, Recommender, Request
from stackwright_journal.list_reading import ShownLists

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_clicks_without_value_and_time_are_ones_of_now() -> None:
    (click,) = clicks_of(pa.table({"list_id": ["L"], "item": [7]}), "clicks", NOW)
    assert (click.list_id, click.item, click.value, click.observed) == ("L", 7, 1.0, NOW)


def test_times_are_read_as_texts_and_as_timestamps() -> None:
    moment = datetime(2026, 2, 28, 9, 30, tzinfo=UTC)
    for column in (["2026-02-28T09:30:00Z"], pa.array([moment], pa.timestamp("us", "UTC"))):
        (click,) = clicks_of(pa.table({"list_id": ["L"], "item": ["a"], "observed": column}), "clicks", NOW)
        assert click.observed == moment


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_are_read_whatever_their_unit_and_zone(unit: str, zone: str | None) -> None:
    moment = datetime(2026, 2, 28, 9, 30, tzinfo=UTC)
    ticks = int(moment.timestamp()) * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    column = pa.array([ticks + (1 if unit == "ns" else 0)], pa.timestamp(unit, zone))
    (click,) = clicks_of(pa.table({"list_id": ["L"], "item": ["a"], "observed": column}), "clicks", NOW)
    assert click.observed == moment


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"item": ["a"]}, MissingColumn),
        ({"list_id": ["L"]}, MissingColumn),
        ({"list_id": [None], "item": ["a"]}, DataError),
        ({"list_id": ["L"], "item": [1.5]}, DataError),
        ({"list_id": ["L"], "item": ["a"], "value": [-1.0]}, DataError),
        ({"list_id": ["L"], "item": ["a"], "value": ["much"]}, DataError),
        ({"list_id": ["L"], "item": ["a"], "value": [[1.0]]}, DataError),
        ({"list_id": ["L"], "item": ["a"], "observed": ["yesterday"]}, DataError),
        ({"list_id": ["L"], "item": ["a"], "observed": [True]}, DataError),
        ({"list_id": ["L"], "item": ["a"], "observed": pa.array([2**62], pa.timestamp("s", "UTC"))}, DataError),
        ({"list_id": ["L"], "item": ["a"], "observed": pa.array([2**62], pa.timestamp("us", "UTC"))}, DataError),
        ({"list_id": ["L"], "item": ["a"], "observed": pa.array([None], pa.string())}, DataError),
    ],
)
def test_what_is_no_click_is_refused(columns: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        clicks_of(pa.table(columns), "clicks", NOW)


def test_lists_have_clicks_and_no_labels_to_be_passed_over() -> None:
    stack: Any = SimpleNamespace(blueprint=SimpleNamespace(recommenders={"homes": None}, models={}))
    with pytest.raises(UsageError, match="homes is a recommender"):
        report(stack, "homes", position=3)


class Backwards(Recommender):
    """The candidates, the last first, without ``x``; it does not know the user ``nobody``."""

    def answer(self, request: Request) -> Recommendations:
        if request.user == "nobody":
            raise UsageError("user", "nobody")
        items = tuple(item for item in reversed(request.candidates or ()) if item != "x")
        n = len(items)
        return Recommendations(
            items=items, scores=np.zeros(n), propensities=np.ones(n), cold=np.zeros(n, bool), cold_user=False
        )

    def answer_users(
        self, users: Sequence[Any] | None, request: Request, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        for user in users or ():
            yield user, self.answer(replace(request, user=user))


def test_a_version_is_asked_what_was_asked_then_for_the_items_that_were_shown() -> None:
    asked = {"session": ["h9"], "place": [48.1, 11.5], "budget": 5.0, "live": {"price": [1.0, None]}}
    request = request_of({"user": "ann", "at": "2026-03-01T12:00:00.000000Z", "items": ["a", "b"], "asked": asked})
    assert (request.user, request.session, request.candidates, request.n) == ("ann", ("h9",), ("a", "b"), 2)
    assert (request.place, request.budget, request.at, request.exclude_seen) == ((48.1, 11.5), 5.0, NOW, False)
    assert request.live["price"][0] == 1.0
    assert np.isnan(request.live["price"][1])


def test_places_are_those_a_version_gives_and_what_it_leaves_out_stands_behind() -> None:
    lists: list[dict[str, Any]] = [
        {"user": "ann", "at": "2026-03-01T12:00:00Z", "items": ["a", "x", "b", "c"]},
        {"user": "nobody", "at": "2026-03-01T12:00:00Z", "items": ["a"]},
        {"user": "ann", "at": "2026-03-01T12:00:00Z", "items": []},
    ]
    items = np.array(["a", "x", "b", "c", "a"], dtype=object)
    numbers = np.array([0, 0, 0, 0, 1])
    ones = np.ones(5)
    shown = ShownLists(lists, numbers, np.array([1, 2, 3, 4, 1]), items, ones, ones, np.zeros(5, bool))
    places, failed = orders(Backwards(), shown)
    assert places[:4].tolist() == [3, 4, 2, 1]
    assert failed == [1, 2]
