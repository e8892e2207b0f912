"""Cases 1 to 25 of a whole store: the point-in-time join."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import DataError, DefinitionError
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import (
    HOUR,
    US,
    ingestions,
    instants,
    labels,
    quick,
    remembered,
    without_open_ties,
)
from stackwright_interfaces.testing.oracle import Fact, Key, Oracle
from stackwright_interfaces.testing.store_cases import (
    AREAS,
    DETAILS,
    HOMES,
    OFFERED,
    OFFERS,
    PLAIN,
    ROW_BY_ROW,
    UNIT_SERVICE,
    UNITS,
    VALUATION,
    VISITED,
    VISITS,
    StoreCases,
    fact,
    listing,
    prices,
)
from stackwright_interfaces.testing.tables import bits, column, ingested
from stackwright_interfaces.testing.trial import TIME, Trial, label_table
from stackwright_interfaces.types import FLOAT64, STRING, list_of

NOTHING = {"price": None, "rooms": None, "area": None}


class OfflineCases(StoreCases):
    """The point-in-time join of a whole store."""

    @pytest.mark.case(1)
    def test_a_row_at_the_label_time_matches(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON, price=1.5, rooms=3, area="north"))
        assert trial.join(PLAIN, listing(1, NOON)) == [{"price": 1.5, "rooms": 3, "area": "north"}]

    @pytest.mark.case(2)
    def test_a_row_one_microsecond_after_the_label_gives_null(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON + US, price=1.5))
        assert trial.join(PLAIN, listing(1, NOON)) == [NOTHING]

    @pytest.mark.case(3)
    def test_a_row_exactly_as_old_as_max_age_matches(self, trial: Trial) -> None:
        trial.apply(OFFERED)
        trial.ingest(OFFERS, fact(1, NOON, asking=1.5))
        assert trial.join(OFFERED, listing(1, NOON + 2 * HOUR)) == [{"asking": 1.5}]

    @pytest.mark.case(4)
    def test_a_row_one_microsecond_older_than_max_age_gives_null_and_the_label_stays(self, trial: Trial) -> None:
        trial.apply(OFFERED)
        trial.ingest(OFFERS, fact(1, NOON, asking=1.5))
        assert trial.join(OFFERED, listing(1, NOON + 2 * HOUR + US)) == [{"asking": None}]

    @pytest.mark.case(5)
    def test_without_max_age_a_row_of_any_age_matches(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, datetime(1955, 1, 1, tzinfo=UTC), price=1.5))
        assert prices(trial.join(PLAIN, listing(1, NOON))) == [1.5]

    @pytest.mark.case(6)
    def test_a_label_with_future_rows_only_stays_and_is_null(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON, price=1.0), fact(1, NOON + HOUR, price=2.0))
        assert trial.join(PLAIN, listing(1, NOON - HOUR), listing(1, NOON - US)) == [NOTHING, NOTHING]

    @pytest.mark.case(7)
    def test_a_label_of_an_unknown_key_stays_and_is_null(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON, price=1.5))
        assert prices(trial.join(PLAIN, listing(7, NOON), listing(1, NOON), listing(-1, NOON))) == [None, 1.5, None]

    @pytest.mark.case(8)
    def test_labels_of_one_key_and_time_each_keep_their_own_label(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON, price=1.5))
        assert prices(trial.join(PLAIN, *[listing(1, NOON)] * 3)) == [1.5, 1.5, 1.5]

    @pytest.mark.case(9)
    def test_rows_order_and_other_columns_of_the_labels_come_back(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(
            DETAILS, *(fact(key, NOON + hour * HOUR, price=key + hour / 4) for key in (1, 2) for hour in (0, 1))
        )
        asked = [(2, 1), (1, 0), (3, 0), (2, 0), (1, 9), (1, -1)]
        extra = {
            "weight": column([1.5, None, float("nan"), 0.0, -1.0, 2.0], FLOAT64),
            "note": column(["z", "", None, "a", "z", "b"], STRING),
            "tags": column([["a"], [], None, ["b", None], ["c"], []], list_of(STRING)),
        }
        table = label_table(PLAIN, [listing(key, NOON + hour * HOUR) for key, hour in asked])
        for name, values in extra.items():
            table = table.append_column(name, values)
        answer = pa.table(trial.store.join(PLAIN.ref, table, time=TIME))
        assert answer.column_names == [*table.column_names, "price", "rooms", "area"]
        assert bits(answer.select(table.column_names).to_pylist()) == bits(table.to_pylist())
        assert answer["price"].to_pylist() == [2.25, 1.0, None, 2.0, 1.25, None]

    @pytest.mark.case(10)
    @pytest.mark.parametrize("order", list(permutations((0, 1, 2))))
    def test_of_rows_of_one_event_time_the_one_created_last_wins(self, trial: Trial, order: tuple[int, ...]) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, *(fact(1, NOON, NOON + delay * HOUR, price=float(delay)) for delay in order))
        assert prices(trial.join(PLAIN, listing(1, NOON))) == [2.0]

    @pytest.mark.case(11)
    def test_a_full_tie_has_one_winner_however_the_files_are_shuffled(self, trial: Trial) -> None:
        tied = [fact(1, NOON, price=float(step), rooms=step, area=f"area {step}") for step in range(3)]
        winners = []
        for version, order in enumerate(permutations(tied), 1):
            view = replace(DETAILS, version=version)
            service = FeatureService(name="tied", version=version, selections=(view.select(),))
            trial.apply(service)
            for call in (order[:1], order[1:]) if version % 2 else (order,):
                trial.ingest(view, *call)
            winners += trial.join(service, listing(1, NOON))
        assert winners[0] in [dict(row.values) for row in tied]
        assert winners == [winners[0]] * 6

    @pytest.mark.case(12)
    def test_a_null_in_the_newest_row_is_not_filled_from_an_older_one(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON - HOUR, price=1.5, rooms=3, area="a"), fact(1, NOON, rooms=4))
        assert trial.join(PLAIN, listing(1, NOON)) == [{"price": None, "rooms": 4, "area": None}]

    @pytest.mark.case(13)
    def test_a_null_key_joins_nothing(self, trial: Trial) -> None:
        trial.apply(PLAIN, UNIT_SERVICE)
        report = trial.ingest(DETAILS, fact(0, NOON, price=1.5), fact(None, NOON, price=2.5))
        assert (report.rows, report.added, report.refused) == (2, 1, 1)
        trial.ingest(UNITS, fact(("", ""), NOON, floor=1), fact(("", None), NOON, floor=2))
        assert prices(trial.join(PLAIN, listing(None, NOON), listing(0, NOON))) == [None, 1.5]
        parts = [("", None), (None, ""), (None, None), ("", "")]
        asked = [{"number": number, "street": street, TIME: NOON} for number, street in parts]
        assert [row["floor"] for row in trial.join(UNIT_SERVICE, *asked)] == [None, None, None, 1]

    @pytest.mark.case(14)
    def test_all_parts_of_a_key_must_agree_in_any_order_of_columns(self, trial: Trial) -> None:
        trial.apply(UNIT_SERVICE)
        table = ingested(UNITS, [fact(("1", "High"), NOON, floor=1), fact(("2", "Low"), NOON, floor=2)])
        trial.store.ingest(UNITS.ref, table.select(table.column_names[::-1]))
        parts = [("1", "High"), ("1", "Low"), ("2", "High"), ("High", "1")]
        asked = [{"number": number, "street": street, TIME: NOON} for number, street in parts]
        assert [row["floor"] for row in trial.join(UNIT_SERVICE, *asked)] == [1, None, None, None]
        turned = label_table(UNIT_SERVICE, asked).select(["street", "label", "number", TIME])
        assert pa.table(trial.store.join(UNIT_SERVICE.ref, turned, time=TIME))["floor"].to_pylist()[0] == 1

    @pytest.mark.case(15)
    def test_parts_of_a_key_do_not_run_into_each_other(self, trial: Trial) -> None:
        trial.apply(UNIT_SERVICE)
        trial.ingest(UNITS, fact(("a", "bc"), NOON, floor=1))
        asked = [{"number": number, "street": street, TIME: NOON} for number, street in (("ab", "c"), ("a", "bc"))]
        assert [row["floor"] for row in trial.join(UNIT_SERVICE, *asked)] == [None, 1]

    @pytest.mark.case(21)
    def test_views_of_other_ages_and_entities_are_joined_each_by_its_own_rules(self, trial: Trial) -> None:
        service = FeatureService(name="all", selections=(DETAILS.select("price"), OFFERS.select(), AREAS.select()))
        trial.apply(service)
        trial.ingest(DETAILS, fact(1, NOON, price=1.0))
        trial.ingest(OFFERS, fact(1, NOON, asking=2.0))
        trial.ingest(AREAS, fact("north", NOON, rate=3.0), fact("north", NOON + 4 * HOUR, rate=4.0))
        asked = [{"listing_id": 1, "area_code": "north", TIME: NOON + hours * HOUR} for hours in (1, 5)]
        assert trial.join(service, *asked) == [
            {"price": 1.0, "asking": 2.0, "rate": 3.0},
            {"price": 1.0, "asking": None, "rate": 4.0},
        ]

    @pytest.mark.case(22)
    def test_features_of_one_name_are_refused_unless_prefixed(self, trial: Trial) -> None:
        with pytest.raises(DefinitionError, match="price"):
            FeatureService(name="twice", selections=(DETAILS.select("price"), HOMES.select("price")))
        service = FeatureService(
            name="twice", selections=(DETAILS.select("price"), HOMES.select("price", prefix="home_"))
        )
        trial.apply(service)
        trial.ingest(DETAILS, fact(1, NOON, price=1.0))
        trial.ingest(HOMES, fact(1, NOON, price=2.0))
        assert trial.join(service, listing(1, NOON)) == [{"price": 1.0, "home_price": 2.0}]

    @pytest.mark.case(22)
    def test_a_label_column_with_the_name_of_a_feature_is_refused(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        table = label_table(PLAIN, [listing(1, NOON)]).append_column("price", column([9.0], FLOAT64))
        with pytest.raises(DataError, match="price"):
            trial.store.join(PLAIN.ref, table, time=TIME)

    @pytest.mark.case(23)
    def test_known_by_passes_over_rows_created_after_the_label(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(
            DETAILS,
            fact(1, NOON, price=1.0),
            fact(1, NOON + HOUR, NOON + 3 * HOUR, price=2.0),
            fact(1, NOON, NOON + 2 * HOUR, price=3.0),
        )
        asked = [listing(1, NOON + hours * HOUR) for hours in (0, 1, 2, 3)]
        assert prices(trial.join(PLAIN, *asked)) == [3.0, 2.0, 2.0, 2.0]
        assert prices(trial.join(PLAIN, *asked, known_by=True)) == [1.0, 1.0, 3.0, 2.0]

    @pytest.mark.case(24)
    def test_a_late_row_changes_the_answer_but_not_the_one_as_of_before(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        trial.ingest(DETAILS, fact(1, NOON - 2 * HOUR, price=1.0))
        trial.materialize()
        (mark,) = trial.read(PLAIN, listing(1)).rows.watermarks.values()
        before = trial.clock()
        trial.advance(HOUR)
        trial.ingest(DETAILS, fact(1, NOON - HOUR, price=2.0))
        label = listing(1, NOON)
        assert prices(trial.join(PLAIN, label)) == [2.0]
        assert prices(trial.join(PLAIN, label, as_of=before)) == [1.0]
        assert prices(trial.join(PLAIN, label, as_of={DETAILS.ref: mark})) == [1.0]
        assert prices(trial.join(PLAIN, label, as_of=trial.clock())) == [2.0]
        assert prices(trial.join(PLAIN, label, as_of=before - US)) == [None]

    @pytest.mark.case(25)
    def test_a_window_excludes_the_asked_instant_and_includes_a_length_before(self, trial: Trial) -> None:
        trial.apply(VISITED)
        trial.ingest(VISITS, fact(1, NOON, seconds=4.0, page="a", visit="x"))
        asked = [listing(1, NOON + span) for span in (timedelta(0), US, 2 * HOUR, 2 * HOUR + US)]
        answers = trial.join(VISITED, *asked)
        assert [(row["visits_2h"], row["seconds_sum"]) for row in answers] == [(0, None), (1, 4.0), (1, 4.0), (0, None)]

    @pytest.mark.case(25)
    def test_an_empty_window_counts_nothing_and_its_mean_is_null(self, trial: Trial) -> None:
        trial.apply(VISITED)
        trial.ingest(VISITS, fact(1, NOON, seconds=4.0, page="a", visit="x"))
        empty = {
            "visits_2h": 0,
            "seconds_sum": None,
            "seconds_mean": None,
            "seconds_std": None,
            "seconds_max": None,
            "pages": 0,
            "last_page": None,
        }
        for row in trial.join(VISITED, listing(2, NOON), listing(1, NOON + 9 * HOUR)):
            assert {name: row[name] for name in empty} == empty

    @quick(15)
    @given(
        homes=ingestions(HOMES, [(1,), (2,)]),
        offers=ingestions(OFFERS, [(1,), (2,)], most=1),
        visits=ingestions(VISITS, [(1,), (2,)]),
        asked=labels([(1,), (2,), (3,), (None,)]),
        known_by=st.booleans(),
        as_of=st.none() | st.tuples(st.integers(0, 3), instants()),
    )
    def test_any_join_of_any_history_agrees_with_the_oracle(
        self,
        homes: list[list[Fact]],
        offers: list[list[Fact]],
        visits: list[list[Fact]],
        asked: list[tuple[Key, datetime]],
        known_by: bool,
        as_of: tuple[int, datetime] | None,
    ) -> None:
        histories = {HOMES: homes, OFFERS: offers, VISITS: visits}
        marks: dict[str, Watermark] = {}
        facts: dict[str, list[Fact]] = {}
        rows = [listing(key[0], at, discount=0.25, channel="web") for key, at in asked]
        with self.fresh() as trial:
            trial.apply(VALUATION)
            for view, drawn in histories.items():
                calls = without_open_ties(drawn)
                positions = [trial.ingest(view, *call).position for call in calls]
                facts[view.ref] = remembered(calls, positions)
                if as_of is not None:
                    marks[view.ref] = Watermark([0, *positions][min(as_of[0], len(positions))], as_of[1])
            found = trial.join(VALUATION, *rows, known_by=known_by, as_of=marks or None)
        oracle = Oracle(VALUATION, facts, ROW_BY_ROW)
        right = [oracle.row(row, row[TIME], known_by=known_by, as_of=marks or None) for row in rows]
        assert bits(found) == bits(right)
