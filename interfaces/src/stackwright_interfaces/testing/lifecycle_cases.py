"""Cases 41 to 43 of a whole store: deletion, versions, and what lasts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.definitions import FeatureService, FeatureView
from stackwright_interfaces.errors import DataError, UnknownName, VersionRequired
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.histories import HOUR
from stackwright_interfaces.testing.oracle import Fact
from stackwright_interfaces.testing.store_cases import (
    DETAILS,
    LISTING,
    PLAIN,
    VISITS,
    StoreCases,
    fact,
    listing,
)
from stackwright_interfaces.testing.tables import bits
from stackwright_interfaces.testing.trial import Trial
from stackwright_interfaces.types import INT64, STRING, Field


class LifecycleCases(StoreCases):
    """What is deleted, what changes its meaning, and what is there after the store was closed."""

    @pytest.mark.case(41)
    def test_a_deleted_key_is_gone_on_both_paths_and_a_replay_does_not_bring_it_back(self, trial: Trial) -> None:
        service = FeatureService(name="both", selections=(DETAILS.select("price"), VISITS.select("visits_2h")))
        details = [fact(1, NOON - HOUR, price=1.0), fact(2, NOON - HOUR, price=2.0)]
        visits = [fact(1, NOON - HOUR, visit="x"), fact(2, NOON - HOUR, visit="x")]
        trial.apply(service)
        trial.ingest(DETAILS, *details)
        trial.bring(VISITS, *visits)
        raw = [self.raw_online(view) for view in (DETAILS, VISITS)]
        assert trial.store.delete("listing", {"listing_id": [1]}) >= 2
        gone, kept = {"price": None, "visits_2h": 0}, {"price": 2.0, "visits_2h": 1}
        assert trial.both(service, listing(1), listing(2)) == [gone, kept]
        assert trial.read(service, listing(1)).status["price"] is Status.NOT_FOUND
        for view, before in zip((DETAILS, VISITS), raw, strict=True):
            self._only_one_is_left(view, before)
        assert trial.ingest(DETAILS, *details).refused == 1
        assert trial.ingest(VISITS, *visits).refused == 1
        trial.materialize()
        assert trial.both(service, listing(1), listing(2)) == [gone, kept]
        trial.advance(HOUR)
        trial.bring(DETAILS, fact(1, NOON, trial.clock(), price=3.0))
        assert trial.both(service, listing(1)) == [{"price": 3.0, "visits_2h": 0}]

    def _only_one_is_left(self, view: FeatureView, before: Any) -> None:
        online, offline = self.raw_online(view), self.raw_offline(view)
        if online is not None:
            assert (len(before), len(online)) == (2, 1)
        if offline is not None:
            assert [row["listing_id"] for row in offline] == [2]

    @pytest.mark.case(41)
    def test_what_was_deleted_stays_out_of_a_later_version_of_a_view(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON - HOUR, price=1.0))
        trial.store.delete("listing", {"listing_id": [1]})
        second = replace(DETAILS, version=2)
        service = FeatureService(name="plain", version=2, selections=(second.select("price"),))
        trial.apply(PLAIN, service)
        assert trial.ingest(second, fact(1, NOON - HOUR, price=1.0)).refused == 1
        trial.materialize()
        assert trial.both(service, listing(1)) == [{"price": None}]

    @pytest.mark.case(41)
    def test_deleting_an_unknown_entity_or_without_its_key_is_refused(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        with pytest.raises(UnknownName, match="listings"):
            trial.store.delete("listings", {"listing_id": [1]})
        with pytest.raises(DataError, match="listing_id"):
            trial.store.delete("listing", {"listing": [1]})

    @pytest.mark.case(42)
    def test_a_service_is_unchanged_after_a_new_version_of_its_view(self, trial: Trial) -> None:
        second = replace(DETAILS, version=2, fields=(Field("price", STRING), Field("garden", INT64)))
        newer = FeatureService(name="plain", version=2, selections=(second.select(),))
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, price=1.0, rooms=2, area="a"))
        trial.apply(PLAIN, newer)
        trial.bring(second, fact(1, NOON, price="dear", garden=7))
        assert trial.both(PLAIN, listing(1)) == [{"price": 1.0, "rooms": 2, "area": "a"}]
        assert trial.both(newer, listing(1)) == [{"price": "dear", "garden": 7}]

    @pytest.mark.case(43)
    def test_an_added_column_is_null_or_its_default_in_old_rows(self, trial: Trial) -> None:
        old = FeatureService(name="old", selections=(DETAILS.select("price"),))
        trial.apply(old)
        trial.bring(DETAILS, fact(1, NOON, price=1.0))
        added = (Field("garden", INT64), Field("heating", STRING, default="unknown"))
        wider = replace(DETAILS, fields=(*added, *DETAILS.fields))
        new = FeatureService(name="new", selections=(wider.select("garden", "heating", "price"),))
        trial.apply(replace(old, selections=(wider.select("price"),)), new)
        assert trial.both(new, listing(1)) == [{"garden": None, "heating": "unknown", "price": 1.0}]
        assert trial.read(new, listing(1)).status == {
            "garden": Status.NULL,
            "heating": Status.DEFAULTED,
            "price": Status.PRESENT,
        }
        trial.bring(wider, fact(1, NOON, price=1.0), fact(2, NOON, price=2.0, garden=7, heating="gas"))
        assert trial.both(new, listing(1), listing(2)) == [
            {"garden": None, "heating": "unknown", "price": 1.0},
            {"garden": 7, "heating": "gas", "price": 2.0},
        ]
        assert trial.both(old, listing(1)) == [{"price": 1.0}]

    @pytest.mark.case(43)
    @pytest.mark.parametrize(
        "changed",
        [
            replace(DETAILS, fields=(Field("price", INT64), *DETAILS.fields[1:])),
            replace(DETAILS, fields=DETAILS.fields[:2]),
            replace(DETAILS, max_age=HOUR),
            replace(DETAILS, entity=replace(LISTING, keys=(Field("listing_id", STRING),))),
        ],
        ids=["type", "removal", "age", "key"],
    )
    def test_a_change_of_meaning_under_one_version_is_refused_and_changes_nothing(
        self, trial: Trial, changed: FeatureView
    ) -> None:
        trial.apply(PLAIN)
        trial.bring(DETAILS, fact(1, NOON, price=1.0))
        service = FeatureService(name="other", selections=(changed.select("price"),))
        with pytest.raises(VersionRequired, match="details@1"):
            trial.apply(service)
        assert trial.both(PLAIN, listing(1)) == [{"price": 1.0, "rooms": None, "area": None}]

    @pytest.mark.case(43)
    def test_a_service_with_other_outputs_needs_a_new_version(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        with pytest.raises(VersionRequired, match="plain@1"):
            trial.apply(replace(PLAIN, outputs=("price",)))
        trial.apply(replace(PLAIN, description="what a listing is", owner="pricing", tags={"tier": "1"}))

    def test_rows_last_if_the_store_is_durable(self, tmp_path: Path) -> None:
        clock = SettableClock(NOON)
        first = Trial(self.open(tmp_path, clock), clock)
        rows: list[Fact] = [fact(1, NOON, price=1.0)]
        first.apply(PLAIN)
        first.bring(DETAILS, *rows)
        first.store.close()
        first.store.close()
        second = Trial(self.open(tmp_path, clock), clock)
        try:
            second.apply(PLAIN)
            kept = 1.0 if self.durable else None
            assert bits(second.read(PLAIN, listing(1)).only["price"]) == ("NaN" if kept is None else bits(kept))
            assert [row["price"] for row in second.join(PLAIN, listing(1, NOON))] == [kept]
            assert second.ingest(DETAILS, *rows).duplicates == (1 if self.durable else 0)
        finally:
            second.store.close()
