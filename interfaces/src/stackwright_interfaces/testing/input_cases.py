"""Cases 16 to 20 of a whole store: types, times, and tables that are empty or unfit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import FeatureService, FeatureView
from stackwright_interfaces.errors import DataError, MissingColumn, UnknownName
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.histories import (
    HOUR,
    US,
)
from stackwright_interfaces.testing.store_cases import (
    DETAILS,
    LISTING,
    PLAIN,
    SOURCE,
    UNIT_SERVICE,
    VISITED,
    VISITS,
    StoreCases,
    fact,
    listing,
    prices,
)
from stackwright_interfaces.testing.tables import CutOff, arrow_type, ingested, stamps
from stackwright_interfaces.testing.trial import TIME, Trial, label_table
from stackwright_interfaces.types import FLOAT64, INT64, STRING, TIMESTAMP, Field, Type, decimal, list_of, vector


class InputCases(StoreCases):
    """What is made of tables of many forms."""

    @pytest.mark.case(16)
    def test_a_key_of_another_type_is_refused(self, trial: Trial) -> None:
        trial.apply(PLAIN, UNIT_SERVICE)
        texts = pa.table({"listing_id": ["one"], TIME: stamps([NOON])})
        numbers = pa.table({"number": [1], "street": ["High"], TIME: stamps([NOON])})
        with pytest.raises(DataError, match="listing_id"):
            trial.store.join(PLAIN.ref, texts, time=TIME)
        with pytest.raises(DataError, match="number"):
            trial.store.join(UNIT_SERVICE.ref, numbers, time=TIME)

    @pytest.mark.case(17)
    def test_a_naive_time_is_utc_and_counted(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        naive = pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us"))
        table = ingested(DETAILS, [fact(1, NOON, price=1.5)])
        for name in ("event_time", "created_time"):
            table = table.set_column(table.column_names.index(name), name, naive)
        with pytest.warns(UserWarning, match="UTC"):
            report = trial.store.ingest(DETAILS.ref, table)
        assert (report.added, report.assumed_utc) == (1, 1)
        assert prices(trial.join(PLAIN, listing(1, NOON), listing(1, NOON - US))) == [1.5, None]

    @pytest.mark.case(17)
    def test_zones_are_normalised_and_instants_around_a_change_of_clocks_are_right(self, trial: Trial) -> None:
        berlin = ZoneInfo("Europe/Berlin")
        early = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=0)
        late = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1)
        trial.apply(PLAIN)
        table = pa.table(
            {
                "listing_id": [1, 1],
                "price": [1.0, 2.0],
                "rooms": pa.nulls(2, pa.int64()),
                "area": pa.nulls(2, pa.string()),
                "event_time": pa.array([early, late], pa.timestamp("us", "Europe/Berlin")),
                "created_time": ["2026-10-25T02:30:00+02:00", "2026-10-25T01:30:00Z"],
            }
        )
        assert trial.store.ingest(DETAILS.ref, table).assumed_utc == 0
        first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        instants_ = [first - US, first, first + HOUR - US, first + HOUR]
        assert prices(trial.join(PLAIN, *(listing(1, at) for at in instants_))) == [None, 1.0, 1.0, 2.0]
        asked = pa.table({"listing_id": [1], TIME: pa.array([first], pa.timestamp("ms", "America/Sao_Paulo"))})
        assert pa.table(trial.store.join(PLAIN.ref, asked, time=TIME))["price"].to_pylist() == [1.0]

    @pytest.mark.case(17)
    def test_naive_times_of_a_declared_zone_are_read_in_it(self, trial: Trial) -> None:
        view = replace(DETAILS, source=replace(SOURCE, created_time=None, time_zone="Europe/Berlin"))
        trial.apply(FeatureService(name="plain", selections=(view.select(),)))
        table = pa.table(
            {
                "listing_id": [1, 1],
                "price": [1.0, 2.0],
                "rooms": pa.nulls(2, pa.int64()),
                "area": pa.nulls(2, pa.string()),
                "event_time": ["2026-01-10 12:00:00", "2026-07-10 12:00:00"],
            }
        )
        assert trial.store.ingest(view.ref, table).assumed_utc == 0
        winter, summer = datetime(2026, 1, 10, 11, tzinfo=UTC), datetime(2026, 7, 10, 10, tzinfo=UTC)
        asked = [listing(1, at) for at in (winter - US, winter, summer - US, summer)]
        assert prices(trial.join(PLAIN, *asked)) == [None, 1.0, 1.0, 2.0]

    @pytest.mark.case(18)
    def test_times_in_every_unit_agree_and_microseconds_keep_their_order(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        rows = [fact(1, NOON + step * US, price=float(step)) for step in (2, 0, 1)]
        for unit, view_rows in (("ns", rows), ("us", [*rows, fact(1, NOON + 3 * US, price=3.0)])):
            table = ingested(DETAILS, view_rows)
            for name in ("event_time", "created_time"):
                place = table.column_names.index(name)
                table = table.set_column(place, name, table[name].cast(pa.timestamp(unit, "UTC")))
            report = trial.store.ingest(DETAILS.ref, table)
        assert (report.added, report.duplicates) == (1, 3)
        asked = [listing(1, NOON + step * US) for step in range(-1, 5)]
        assert prices(trial.join(PLAIN, *asked)) == [None, 0.0, 1.0, 2.0, 3.0, 3.0]
        for unit in ("s", "ms", "us", "ns"):
            moment = pa.table({"listing_id": [1], TIME: stamps([NOON]).cast(pa.timestamp(unit, "UTC"))})
            assert pa.table(trial.store.join(PLAIN.ref, moment, time=TIME))["price"].to_pylist() == [0.0]

    @pytest.mark.case(19)
    def test_an_empty_label_table_gives_an_empty_typed_answer(self, trial: Trial) -> None:
        trial.apply(VISITED)
        trial.ingest(VISITS, fact(1, NOON, seconds=1.0))
        answer = pa.table(trial.store.join(VISITED.ref, label_table(VISITED, []), time=TIME))
        assert len(answer) == 0
        assert {item.name: answer.schema.field(item.name).type for item in VISITED.output_fields} == {
            item.name: arrow_type(item.type) for item in VISITED.output_fields
        }

    @pytest.mark.case(20)
    @pytest.mark.parametrize(
        "type", [FLOAT64, INT64, STRING, TIMESTAMP, decimal(10, 2), list_of(INT64), vector(3)], ids=str
    )
    def test_a_view_without_rows_gives_nulls_of_the_right_type(self, trial: Trial, type: Type) -> None:
        view = FeatureView(name="empty", entity=LISTING, fields=(Field("value", type),), source=SOURCE)
        service = FeatureService(name="empty", selections=(view.select(),))
        trial.apply(service)
        answer = pa.table(trial.store.join(service.ref, label_table(service, [listing(1, NOON)]), time=TIME))
        assert answer.schema.field("value").type == arrow_type(type)
        assert answer["value"].to_pylist() == [None]

    def test_a_service_view_or_column_that_does_not_exist_is_named(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        with pytest.raises(UnknownName, match="plane@1"):
            trial.store.join("plane@1", label_table(PLAIN, []), time=TIME)
        with pytest.raises(UnknownName, match="detail@1"):
            trial.store.ingest("detail@1", ingested(DETAILS, []))
        with pytest.raises(MissingColumn, match="price"):
            trial.store.ingest(DETAILS.ref, ingested(DETAILS, []).drop_columns(["price"]))
        for name in ("listing_id", TIME):
            with pytest.raises(MissingColumn, match=name):
                trial.store.join(PLAIN.ref, label_table(PLAIN, []).drop_columns([name]), time=TIME)

    def test_an_ingestion_with_a_value_of_another_type_adds_nothing(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        table = ingested(DETAILS, [fact(1, NOON, price=1.0), fact(2, NOON, price=2.0)])
        spoilt = table.set_column(table.column_names.index("rooms"), "rooms", pa.array(["2", "many"]))
        with pytest.raises(DataError, match="rooms"):
            trial.store.ingest(DETAILS.ref, spoilt)
        assert prices(trial.join(PLAIN, listing(1, NOON))) == [None]
        assert not self.raw_offline(DETAILS)

    def test_a_table_whose_stream_fails_adds_nothing(self, trial: Trial) -> None:
        trial.apply(PLAIN)
        rows = [fact(key, NOON, price=1.5) for key in range(8)]
        with pytest.raises(DataError, match="went away"):
            trial.store.ingest(DETAILS.ref, CutOff(ingested(DETAILS, rows)))
        assert prices(trial.join(PLAIN, listing(1, NOON))) == [None]
        assert trial.store.ingest(DETAILS.ref, ingested(DETAILS, rows)).added == 8
