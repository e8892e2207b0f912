"""Cases 26 to 40 of a whole store: materialisation and the online read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import DataError, UnknownName
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.store_cases import (
    DETAILS,
    HOMES,
    OFFERED,
    OFFERS,
    PLAIN,
    VALUATION,
    VISITS,
    StoreCases,
    fact,
    listing,
)
from stackwright_interfaces.testing.tables import bits
from stackwright_interfaces.testing.trial import Reading, Trial

PRESENT, NULL, NOT_FOUND, EXPIRED, DEFAULTED = Status


def price(reading: Reading) -> list[Any]:
    """Return the column ``price`` of a reading, ``None`` for null."""
    return [None if row["price"] != row["price"] else row["price"] for row in reading.values]


class OnlineCases(StoreCases):
    """What is brought online, and how it is read."""

    @pytest.mark.case(26)
    def test_an_older_event_does_not_replace_a_newer_one(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, price=2.0))
        raw = self.raw_online(DETAILS)
        trial.bring(DETAILS, fact(1, NOON - HOUR, NOON, price=1.0))
        assert price(trial.read(PLAIN, listing(1))) == [2.0]
        assert self.raw_online(DETAILS) == raw

    @pytest.mark.case(27)
    def test_the_same_event_created_later_replaces(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, NOON + HOUR, price=1.0))
        trial.bring(DETAILS, fact(1, NOON, NOON + 2 * HOUR, price=2.0))
        trial.bring(DETAILS, fact(1, NOON, NOON, price=3.0))
        assert price(trial.read(PLAIN, listing(1))) == [2.0]

    @pytest.mark.case(28)
    def test_a_replay_changes_nothing(self, trial: Trial) -> None:
        service = FeatureService(name="both", selections=(DETAILS.select(), VISITS.select()))
        rows = [fact(1, NOON, price=1.0), fact(1, NOON - HOUR, price=2.0)]
        visits = [fact(1, NOON - step * HOUR, seconds=1.5, page="a", visit=str(step)) for step in (1, 2)]
        trial.apply(service)
        trial.ingest(DETAILS, *rows)
        trial.bring(VISITS, *visits)
        before, raw = trial.read(service, listing(1)), self.raw_online(DETAILS)
        assert (before.only["price"], before.only["visits_2h"], before.only["seconds_sum"]) == (1.0, 2.0, 3.0)
        trial.ingest(DETAILS, *rows)
        trial.bring(VISITS, *visits)
        assert trial.ingest(VISITS, *visits).added == 0
        assert [report.written for report in trial.materialize()] == [0, 0]
        assert bits(trial.read(service, listing(1)).values) == bits(before.values)
        assert self.raw_online(DETAILS) == raw

    @pytest.mark.case(29)
    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_of_one_batch_in_any_order_the_newest_wins(self, trial: Trial, order: Sequence[int]) -> None:
        rows = [
            fact(1, NOON, NOON + HOUR, price=3.0),
            fact(1, NOON, NOON, price=2.0),
            fact(1, NOON - HOUR, NOON + 2 * HOUR, price=1.0),
        ]
        trial.apply(PLAIN)
        trial.bring(DETAILS, *(rows[place] for place in order))
        assert price(trial.read(PLAIN, listing(1))) == [3.0]

    @pytest.mark.case(30)
    def test_running_an_old_materialisation_again_never_goes_back(self, trial: Trial) -> None:
        service = FeatureService(name="both", selections=(DETAILS.select("price"), VISITS.select("visits_2h", "page")))
        trial.apply(service)
        trial.ingest(DETAILS, fact(1, NOON, price=1.0), fact(1, NOON + HOUR, price=2.0))
        trial.ingest(VISITS, fact(1, NOON - HOUR, page="a", visit="x"), fact(1, NOON + HOUR - US, page="b", visit="y"))
        trial.materialize()
        trial.advance(HOUR)
        trial.materialize()
        expected = [{"price": 2.0, "visits_2h": 2, "page": "b"}]
        assert trial.both(service, listing(1)) == expected
        trial.store.materialize(at=NOON)
        assert trial.both(service, listing(1)) == expected
        trial.materialize()
        assert trial.both(service, listing(1)) == expected

    @pytest.mark.case(31)
    def test_an_expired_row_is_null_and_says_so(self, trial: Trial) -> None:
        trial.apply(OFFERED)
        trial.bring(OFFERS, fact(1, NOON, asking=1.5))
        fresh = trial.read(OFFERED, listing(1), at=NOON + 2 * HOUR)
        assert (fresh.only, fresh.status) == ({"asking": 1.5}, {"asking": PRESENT})
        stale = trial.read(OFFERED, listing(1), at=NOON + 2 * HOUR + US)
        assert (bits(stale.only), stale.status) == ({"asking": "NaN"}, {"asking": EXPIRED})

    @pytest.mark.case(32)
    def test_null_and_absent_are_told_apart(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, price=None, rooms=3, area=None))
        reading = trial.read(PLAIN, listing(1), listing(2), listing(None))
        assert bits(reading.values) == bits(
            [{"price": float("nan"), "rooms": 3.0, "area": None}]
            + [{"price": float("nan"), "rooms": float("nan"), "area": None}] * 2
        )
        assert reading.statuses == [
            {"price": NULL, "rooms": PRESENT, "area": NULL},
            *[{"price": NOT_FOUND, "rooms": NOT_FOUND, "area": NOT_FOUND}] * 2,
        ]

    @pytest.mark.case(32)
    def test_a_stored_nan_is_present(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, price=float("nan")))
        reading = trial.read(PLAIN, listing(1))
        assert (bits(reading.only["price"]), reading.status["price"]) == ("NaN", PRESENT)

    @pytest.mark.case(33)
    def test_a_newer_null_wins_over_an_older_value(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON - HOUR, price=1.5, rooms=3, area="a"))
        trial.bring(DETAILS, fact(1, NOON))
        reading = trial.read(PLAIN, listing(1))
        assert set(reading.status.values()) == {NULL}
        assert bits(reading.only) == {"price": "NaN", "rooms": "NaN", "area": None}

    @pytest.mark.case(34)
    def test_order_and_doubles_of_the_request_are_kept(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, *(fact(key, NOON, price=float(key)) for key in (1, 2, 3)))
        asked = [3, 1, 9, 3, 2, 1, 9]
        reading = trial.read(PLAIN, *(listing(key) for key in asked))
        assert price(reading) == [None if key == 9 else float(key) for key in asked]

    @pytest.mark.case(35)
    def test_an_empty_request_gives_an_empty_answer(self, trial: Trial) -> None:
        trial.apply(VALUATION)
        trial.bring(HOMES, fact(1, NOON, price=1.0))
        reading = trial.read(VALUATION)
        assert reading.values == []
        assert {len(values) for values in reading.rows.columns.values()} == {0}

    @pytest.mark.case(36)
    @pytest.mark.parametrize(
        ("keys", "request_", "named"),
        [
            ({}, {"discount": [0.5], "channel": ["web"]}, "listing_id"),
            ({"listing": [1]}, {"discount": [0.5], "channel": ["web"]}, "listing_id"),
            ({"listing_id": [1]}, None, "discount"),
            ({"listing_id": [1]}, {"discount": [0.5]}, "channel"),
            ({"listing_id": [1, 2]}, {"discount": [0.5], "channel": ["web", "web"]}, "discount"),
            ({"listing_id": ["one"]}, {"discount": [0.5], "channel": ["web"]}, "listing_id"),
            ({"listing_id": [1]}, {"discount": ["half"], "channel": ["web"]}, "discount"),
            ({"listing_id": [1]}, {"discount": [0.5], "channel": [7]}, "channel"),
        ],
    )
    def test_a_missing_or_unfit_key_or_request_field_is_named(
        self, trial: Trial, keys: Any, request_: Any, named: str
    ) -> None:
        trial.apply(VALUATION)
        with pytest.raises(DataError, match=named):
            trial.store.read(VALUATION.ref, keys, request_, at=NOON)

    def test_a_service_or_view_that_does_not_exist_is_named(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        with pytest.raises(UnknownName, match="plane@1"):
            trial.store.read("plane@1", {"listing_id": [1]})
        with pytest.raises(UnknownName, match="detail@1"):
            trial.store.materialize(["detail@1"], at=NOON)

    @pytest.mark.case(37)
    def test_columns_come_in_the_order_of_the_service(self, trial: Trial) -> None:
        outputs = ("seconds_sum", "where", "discount", "price", "page", "asking", "rooms")
        service = replace(VALUATION, outputs=outputs)
        trial.apply(service)
        trial.bring(HOMES, fact(1, NOON, price=1.0, area="north"))
        reading = trial.read(service, listing(1, discount=0.5, channel="web"))
        assert reading.rows.names == tuple(reading.rows.columns) == outputs
        assert (reading.only["where"], reading.only["price"], reading.only["rooms"]) == ("north/web", 1.0, 2.0)

    @pytest.mark.case(38)
    def test_a_late_row_is_picked_up_by_the_next_materialisation(self, trial: Trial) -> None:
        service = FeatureService(name="both", selections=(DETAILS.select("price"), VISITS.select("visits_2h")))
        trial.apply(service)
        trial.ingest(DETAILS, fact(1, NOON - 3 * HOUR, price=1.0), fact(2, NOON, price=5.0))
        trial.bring(VISITS, fact(1, NOON - HOUR, visit="x"))
        trial.advance(HOUR)
        trial.materialize()
        trial.ingest(DETAILS, fact(1, NOON - HOUR, price=2.0))
        trial.bring(VISITS, fact(1, NOON - HOUR + US, visit="y"))
        assert trial.both(service, listing(1)) == [{"price": 2.0, "visits_2h": 2}]

    @pytest.mark.case(39)
    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_a_materialisation_that_broke_off_converges_when_it_is_run_again(self, trial: Trial, after: int) -> None:
        service = FeatureService(name="both", selections=(DETAILS.select("price"), VISITS.select("visits_2h")))
        rows = [fact(key, NOON, price=float(key)) for key in range(200)]
        trial.apply(service)
        trial.ingest(DETAILS, *rows)
        trial.ingest(VISITS, *(fact(key, NOON - HOUR, visit="x") for key in range(200)))
        calls = []

        def break_off(*_: Any) -> None:
            calls.append(_)
            if len(calls) == after:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            trial.store.materialize(at=NOON, progress=break_off)
        assert calls
        trial.advance(HOUR)
        trial.materialize()
        answers = trial.both(service, *(listing(key) for key in range(200)))
        assert answers == [{"price": float(key), "visits_2h": 1} for key in range(200)]

    @pytest.mark.case(40)
    def test_a_read_during_a_materialisation_sees_whole_rows(self, trial: Trial) -> None:
        keys = range(300)
        trial.apply(PLAIN)
        trial.bring(DETAILS, *(fact(key, NOON, price=1.0, rooms=1, area="1") for key in keys))
        trial.ingest(DETAILS, *(fact(key, NOON, NOON + US, price=2.0, rooms=2, area="2") for key in keys))
        seen: list[tuple[float, float, str]] = []

        def look(*_: Any) -> None:
            reading = trial.read(PLAIN, *(listing(key) for key in keys))
            seen.extend((row["price"], row["rooms"], row["area"]) for row in reading.values)

        look()
        trial.store.materialize(at=NOON, progress=look)
        look()
        assert set(seen[:-300]) <= {(1.0, 1.0, "1"), (2.0, 2.0, "2")}
        assert set(seen[-300:]) == {(2.0, 2.0, "2")}
        assert len(seen) > 600

    @pytest.mark.case(44)
    def test_a_row_of_the_future_waits_until_it_is_due(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        report = trial.ingest(DETAILS, fact(1, NOON, price=1.0), fact(1, NOON + HOUR, price=2.0))
        assert (report.added, report.future) == (2, 1)
        trial.materialize()
        assert price(trial.read(PLAIN, listing(1))) == [1.0]
        trial.advance(HOUR - US)
        trial.materialize()
        assert price(trial.read(PLAIN, listing(1))) == [1.0]
        trial.advance(US)
        trial.materialize()
        assert price(trial.read(PLAIN, listing(1))) == [2.0]

    def test_only_the_views_that_are_named_are_materialised(self, trial: Trial) -> None:
        service = FeatureService(name="both", selections=(DETAILS.select("price"), OFFERS.select()))
        trial.apply(service)
        trial.ingest(DETAILS, fact(1, NOON, price=1.0))
        trial.ingest(OFFERS, fact(1, NOON, asking=2.0))
        (report,) = trial.store.materialize([OFFERS.ref], at=NOON)
        assert (report.view, report.rows, report.written, report.watermark.due) == (OFFERS.ref, 1, 1, NOON)
        reading = trial.read(service, listing(1))
        assert (reading.status, reading.only["asking"]) == ({"price": NOT_FOUND, "asking": PRESENT}, 2.0)

    def test_progress_is_told_until_all_rows_are_done(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, *(fact(key, NOON, price=1.0) for key in range(50)))
        told: list[tuple[str, int, int]] = []
        trial.store.materialize(at=NOON, progress=lambda *step: told.append(step))
        assert {view for view, _, _ in told} == {DETAILS.ref}
        assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
        assert told[-1][1:] == (50, 50)

    def test_the_event_time_of_each_row_is_told(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON - HOUR, price=1.0))
        events = trial.read(PLAIN, listing(1), listing(2)).rows.events[DETAILS.ref]
        assert str(events.dtype) == "datetime64[us]"
        assert [str(event) for event in events] == ["2026-03-14T11:00:00.000000", "NaT"]

    def test_a_deadline_that_is_far_off_changes_nothing(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, price=1.0))
        assert price(trial.read(PLAIN, listing(1), timeout=60.0)) == [1.0]
