"""Cases 44 and 45 of a whole store: both paths give the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.definitions import AT, Entity, FeatureService, FeatureView, Transform
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.testing.histories import HOUR, US, facts, quick
from stackwright_interfaces.testing.oracle import Fact, Oracle, encoded
from stackwright_interfaces.testing.store_cases import (
    AREAS,
    DETAILS,
    HOMES,
    OFFERS,
    ROW_BY_ROW,
    SOURCE,
    VALUATION,
    VISITED,
    VISITS,
    StoreCases,
    fact,
    listing,
)
from stackwright_interfaces.testing.tables import bits
from stackwright_interfaces.testing.trial import TIME, Reading, Trial, Values, online
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

KNOWN_AREAS: Final = ("a", "b")
"""Categories that a model may have learned; other texts are unknown to it, null is missing."""

STORED: Final = ("price", "rooms", "area", "asking", "page")
"""Outputs of the service that rows hold as they are."""

Step = tuple[FeatureView, list[Fact]] | timedelta | None


def _ingestion(view: FeatureView) -> st.SearchStrategy[Step]:
    return st.lists(facts(view, [(1,), (2,)]), max_size=5).map(lambda rows: (view, rows))


_SPANS: Final = st.sampled_from([timedelta(0), US, HOUR - US, HOUR, 2 * HOUR])
_INGESTIONS: Final = st.one_of(_ingestion(HOMES), _ingestion(OFFERS), _ingestion(VISITS))
_STEPS: Final = st.lists(st.one_of(_INGESTIONS, _INGESTIONS, _SPANS, st.none()), max_size=8)


class ParityCases(StoreCases):
    """The online read against the join at the same instant."""

    def encode(self, values: Sequence[str | None], known: Sequence[str]) -> Sequence[float]:
        """Return the codes of categories; override it with the encoder that models use."""
        return encoded(values, known)

    @pytest.mark.case(44)
    @quick(20)
    @given(steps=_STEPS, last=_SPANS, more=st.lists(_INGESTIONS, max_size=2), later=_SPANS)
    def test_any_online_read_is_the_join_of_what_the_store_knew_at_that_instant(
        self, steps: list[Step], last: timedelta, more: list[Step], later: timedelta
    ) -> None:
        asked = [listing(key, discount=0.25, channel="web") for key in (1, 2, 3, None, 1)]
        with self.fresh() as trial:
            trial.apply(VALUATION)
            for step in (*steps, last, None):
                _take(trial, step)
            now = trial.clock()
            labels = [{**row, TIME: now} for row in asked]
            reading = trial.read(VALUATION, *asked)
            self._assert_alike(reading, trial.join(VALUATION, *labels))

            for step in (*more, later):
                _take(trial, step)
            reading = trial.read(VALUATION, *asked)
            labels = [{**row, TIME: trial.clock()} for row in asked]
            self._assert_alike(reading, trial.join(VALUATION, *labels, as_of=reading.rows.watermarks))

    def _assert_alike(self, reading: Reading, joined: list[Values]) -> None:
        expected = online(VALUATION, joined)
        assert bits(reading.values) == bits(expected)
        there = [[row[name] is not None for name in STORED] for row in joined]
        present = {Status.PRESENT, Status.DEFAULTED}
        assert [[row[name] in present for name in STORED] for row in reading.statuses] == there
        codes = [self.encode([row["area"] for row in rows], KNOWN_AREAS) for rows in (reading.values, joined)]
        assert bits(codes[0]) == bits(codes[1])

    @pytest.mark.case(44)
    def test_windows_are_exact_at_every_instant_after_they_were_materialised(self, trial: Trial) -> None:
        trial.apply(VISITED)
        rows = [
            fact(1, trial.clock() - step * HOUR / 4, seconds=0.1 * step, page=str(step % 3), visit=str(step))
            for step in range(16)
        ]
        trial.bring(VISITS, *rows)
        marks = trial.read(VISITED, listing(1)).rows.watermarks
        for span in (US, HOUR / 4 - US, US, US, HOUR, HOUR, HOUR / 2, 9 * HOUR):
            at = trial.advance(span)
            joined = trial.join(VISITED, listing(1, at), as_of=marks)
            assert bits(trial.read(VISITED, listing(1)).values) == bits(online(VISITED, joined))

    @pytest.mark.case(44)
    def test_a_key_held_by_another_row_is_followed_on_both_paths(self, trial: Trial) -> None:
        service = FeatureService(
            name="derived", selections=(AREAS.select(keys={"area_code": "details.area"}), DETAILS.select("price"))
        )
        trial.apply(service)
        now = trial.clock()
        trial.ingest(AREAS, fact("north", now, rate=1.5), fact("south", now, rate=2.5), fact("", now, rate=3.5))
        trial.bring(
            DETAILS,
            fact(1, now - HOUR, price=1.0, area="south"),
            fact(1, now, price=2.0, area="north"),
            fact(2, now, price=3.0, area=None),
            fact(3, now, price=4.0, area="elsewhere"),
        )
        assert trial.both(service, *(listing(key) for key in (1, 2, 3, 4))) == [
            {"rate": 1.5, "price": 2.0},
            {"rate": None, "price": 3.0},
            {"rate": None, "price": 4.0},
            {"rate": None, "price": None},
        ]

    @pytest.mark.case(44)
    def test_one_view_answers_for_two_keys_of_a_request(self, trial: Trial) -> None:
        person = Entity(name="person", keys=(Field("person_id", INT64),))
        people = FeatureView(name="people", entity=person, fields=(Field("deals", INT64),), source=SOURCE)
        service = FeatureService(
            name="deal",
            selections=tuple(
                people.select(prefix=f"{role}_", keys={"person_id": f"{role}_id"}) for role in ("buyer", "seller")
            ),
        )
        trial.apply(service)
        trial.bring(people, fact(1, trial.clock(), deals=10), fact(2, trial.clock(), deals=20))
        asked = [{"buyer_id": buyer, "seller_id": seller} for buyer, seller in ((1, 2), (2, 2), (None, 1), (3, 1))]
        assert trial.both(service, *asked) == [
            {"buyer_deals": 10, "seller_deals": 20},
            {"buyer_deals": 20, "seller_deals": 20},
            {"buyer_deals": None, "seller_deals": 10},
            {"buyer_deals": None, "seller_deals": 10},
        ]

    @pytest.mark.case(45)
    def test_transforms_give_the_same_on_both_paths_and_what_the_oracle_says(self, trial: Trial) -> None:
        trial.apply(VALUATION)
        now = trial.clock()
        homes = [
            fact(1, now, price=100.0, rooms=3, area="north"),
            fact(2, now, price=None, rooms=3, area="south"),
            fact(3, now, price=0.1, rooms=None, area=None),
            fact(4, now, price=float("nan"), rooms=0, area=""),
        ]
        visits = [fact(key, now - HOUR, seconds=0.1 * key, page="a", visit="v") for key in (1, 3)]
        trial.ingest(VISITS, *visits)
        trial.bring(HOMES, *homes)
        asked = [
            listing(key, discount=discount, channel=channel)
            for key, discount, channel in (
                (1, 0.1, "web"),
                (2, 0.2, None),
                (3, None, "app"),
                (4, 0.3, "web"),
                (9, 0.4, "web"),
            )
        ]
        oracle = Oracle(VALUATION, {HOMES.ref: homes, VISITS.ref: visits}, ROW_BY_ROW)
        assert bits(trial.both(VALUATION, *asked)) == bits([oracle.row(row, now) for row in asked])

    @pytest.mark.case(45)
    def test_a_transform_is_handed_the_same_arrays_on_both_paths(self, trial: Trial) -> None:
        handed: list[Any] = []

        def record(*arrays: Any) -> Any:
            handed.append([(str(array.dtype), bits(array.astype(object))) for array in arrays])
            return np.zeros(len(arrays[0]))

        inputs = ("price", "rooms", "area", "visits_2h", "discount", AT)
        step = Transform(name="recorded", inputs=inputs, type=FLOAT64, call=record)
        service = replace(VALUATION, transforms=(step,))
        trial.apply(service)
        trial.bring(HOMES, fact(1, trial.clock(), price=1.5), fact(2, trial.clock(), rooms=4, area="north"))
        trial.both(service, *(listing(key, discount=0.5, channel=None) for key in (1, 2, 3)))
        assert [dtype for dtype, _ in handed[0]] == [
            "float64",
            "float64",
            "object",
            "float64",
            "float64",
            "datetime64[us]",
        ]
        assert len(handed) == 2
        assert handed[0] == handed[1]

    @pytest.mark.case(45)
    def test_defaults_come_after_the_join_and_before_transforms(self, trial: Trial) -> None:
        view = replace(
            DETAILS,
            fields=(Field("price", FLOAT64, default=8.0), Field("rooms", INT64, default=1), Field("area", STRING)),
        )
        step = Transform(
            name="per_room", inputs=("price", "rooms"), type=FLOAT64, call=lambda price, rooms: price / rooms
        )
        service = FeatureService(name="per_room", selections=(view.select("price", "rooms"),), transforms=(step,))
        trial.apply(service)
        trial.bring(view, fact(1, trial.clock(), rooms=4), fact(2, trial.clock(), price=2.0))
        assert trial.both(service, *(listing(key) for key in (1, 2, 3))) == [
            {"price": 8.0, "rooms": 4, "per_room": 2.0},
            {"price": 2.0, "rooms": 1, "per_room": 2.0},
            {"price": 8.0, "rooms": 1, "per_room": 8.0},
        ]
        assert [row["price"] for row in trial.read(service, listing(1), listing(2)).statuses] == [
            Status.DEFAULTED,
            Status.PRESENT,
        ]


def _take(trial: Trial, step: Step) -> None:
    """Take one step of a history: an ingestion, the passing of time, or a materialisation."""
    if step is None:
        trial.materialize()
    elif isinstance(step, timedelta):
        trial.advance(step)
    else:
        view, rows = step
        trial.ingest(view, *rows)
