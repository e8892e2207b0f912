"""The oracle of the kits, against answers worked out by hand."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from stackwright_interfaces.definitions import Aggregate, Entity, FeatureService, FeatureView, Transform, Window
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.oracle import Fact, Oracle, aggregate, answer, changes, encoded
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

HOUR = timedelta(hours=1)
US = timedelta(microseconds=1)

PLACE = Entity(name="place", keys=(Field("place_id", INT64),))
TOWN = Entity(name="town", keys=(Field("town_code", STRING),))


def view(**changes: Any) -> FeatureView:
    return FeatureView(
        **{"name": "view", "entity": PLACE, "fields": (Field("x", FLOAT64), Field("town", STRING)), **changes}
    )


def fact(hours: float, x: Any = None, *, key: Any = 1, created: float | None = None, **more: Any) -> Fact:
    written = hours if created is None else created
    return Fact((key,), NOON + hours * HOUR, NOON + written * HOUR, {"x": x, **more.pop("values", {})}, **more)


def x(facts: list[Fact], at: Any, **options: Any) -> Any:
    return answer(options.pop("view", view()), facts, (1,), at, **options).values["x"]


def test_the_newest_row_up_to_the_instant_answers() -> None:
    facts = [fact(1, 2.0), fact(0, 1.0), fact(2, 3.0), fact(0, 9.0, key=2)]
    assert [x(facts, NOON + hours * HOUR) for hours in (-1, 0, 1, 5)] == [None, 1.0, 2.0, 3.0]
    assert x(facts, NOON + HOUR - US) == 1.0


def test_ties_go_to_the_row_created_last_and_then_to_the_greater_rank() -> None:
    assert x([fact(0, 1.0, created=2), fact(0, 2.0, created=1)], NOON) == 1.0
    assert x([fact(0, 1.0, rank=2), fact(0, 2.0, rank=1)], NOON) == 1.0


def test_an_age_expires_at_its_end_and_a_null_is_not_filled() -> None:
    ageing = view(max_age=HOUR)
    assert x([fact(0, 1.0)], NOON + HOUR, view=ageing) == 1.0
    assert x([fact(0, 1.0)], NOON + HOUR + US, view=ageing) is None
    assert x([fact(0, 1.0), fact(1, None)], NOON + HOUR, view=ageing) is None


def test_known_by_and_as_of_leave_rows_out() -> None:
    facts = [fact(0, 1.0), fact(0, 2.0, created=3, position=2), fact(1, 3.0, position=3)]
    assert x(facts, NOON, known_by=True) == 1.0
    assert x(facts, NOON + HOUR, as_of=Watermark(2, NOON + HOUR)) == 2.0
    assert x(facts, NOON + HOUR, as_of=Watermark(3, NOON)) == 2.0
    assert x(facts, NOON + HOUR, as_of=Watermark(3, NOON + HOUR)) == 3.0


def test_a_null_key_has_nothing_not_even_a_count() -> None:
    counted = view(windows=(Window(name="w", aggregate=Aggregate.COUNT, length=HOUR),))
    found = answer(counted, [fact(0, 1.0, key=None)], (None,), NOON + HOUR)
    assert (found.event, found.values) == (None, {"x": None, "town": None, "w": None})


@pytest.mark.parametrize(
    ("slide", "hours", "count"),
    [(None, 0, 0), (None, 2, 1), (None, 2.25, 0), (HOUR, 2.25, 1), (HOUR, 2.99, 1), (HOUR, 3, 0)],
)
def test_a_window_holds_its_older_edge_and_not_the_instant(slide: Any, hours: float, count: int) -> None:
    counted = view(windows=(Window(name="w", aggregate=Aggregate.COUNT, length=2 * HOUR, slide=slide),))
    assert answer(counted, [fact(0, 1.0)], (1,), NOON + hours * HOUR).values["w"] == count


def test_of_revisions_of_an_event_the_last_counts() -> None:
    summed = view(event_id="town", windows=(Window(name="w", aggregate=Aggregate.SUM, column="x", length=HOUR),))
    facts = [
        fact(0, 1.0, values={"town": "a"}),
        fact(0, 2.0, created=1, values={"town": "a"}),
        fact(0, 4.0, values={"town": "b"}),
    ]
    assert answer(summed, facts, (1,), NOON + US).values["w"] == 6.0


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (Aggregate.COUNT, [1.0, None], 1),
        (Aggregate.DISTINCT, [1.0, math.nan, math.nan, None], 2),
        (Aggregate.SUM, [], None),
        (Aggregate.SUM, [0.1] * 10, 1.0),
        (Aggregate.MEAN, [1, 2], 1.5),
        (Aggregate.STD, [1.0], None),
        (Aggregate.STD, [1.0, 3.0], math.sqrt(2)),
        (Aggregate.MIN, [2, 1, None], 1),
        (Aggregate.MAX, [2, 1, None], 2),
        (Aggregate.LAST, [2, 1, None], 1),
    ],
)
def test_aggregates_pass_over_nulls(kind: Aggregate, values: list[Any], expected: Any) -> None:
    assert aggregate(kind, values) == expected


def test_a_nan_makes_numbers_nan() -> None:
    assert all(
        math.isnan(aggregate(kind, [1.0, math.nan]))
        for kind in (Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.MIN, Aggregate.MAX)
    )


def test_changes_are_rows_newly_ingested_or_newly_due() -> None:
    facts = [fact(0), fact(1), fact(-5, position=2), fact(-9), fact(0, key=2)]
    since, until = Watermark(1, NOON), Watermark(2, NOON + HOUR)
    assert changes(facts, since, until) == [facts[1], facts[2]]
    assert changes(facts, since, until, HOUR) == [facts[0], facts[1]]
    assert changes(facts, None, Watermark(1, NOON - 5 * HOUR), HOUR) == [facts[3]]


def test_a_service_has_defaults_derived_keys_request_fields_and_transforms() -> None:
    places = view(fields=(Field("x", FLOAT64, default=8.0), Field("town", STRING)))
    towns = FeatureView(name="towns", entity=TOWN, fields=(Field("rate", FLOAT64),))
    step = Transform(name="t", inputs=("x", "rate", "factor"), type=FLOAT64)
    service = FeatureService(
        name="all",
        selections=(towns.select(keys={"town_code": "view.town"}), places.select("x")),
        request=(Field("factor", FLOAT64),),
        transforms=(step,),
        outputs=("t", "rate", "x"),
    )
    facts = {
        places.ref: [fact(0, None, values={"town": "north"})],
        towns.ref: [Fact(("north",), NOON, NOON, {"rate": 2.0})],
    }
    oracle = Oracle(service, facts, {"t": lambda one, rate, factor: one * rate * factor})
    assert oracle.row({"place_id": 1, "factor": 0.5}, NOON) == {"t": 8.0, "rate": 2.0, "x": 8.0}


def test_categories_are_their_places() -> None:
    codes = encoded(["b", "z", None, "a"], ("a", "b"))
    assert codes[:2] == [1.0, 2.0]
    assert math.isnan(codes[2])
    assert codes[3] == 0.0
