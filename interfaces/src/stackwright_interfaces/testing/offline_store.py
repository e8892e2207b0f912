"""The kit for the half that keeps history.

``SQLCases`` come first where the spec declares ``Capability.SQL``. An adapter's whole test module::

    from stackwright_duckdb import plugin
    from stackwright_interfaces.feature_store import OfflineStore
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.kits import cases_of

    TestDuckDBOfflineStore = cases_of(spec_of(plugin, OfflineStore))
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.definitions import Aggregate, FeatureView, Window
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import ORDER, OfflineStore, SupportsSQL, Watermark
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.half_cases import PLACE, HalfCases
from stackwright_interfaces.testing.half_history_cases import HalfHistoryCases
from stackwright_interfaces.testing.half_join_cases import HalfJoinCases
from stackwright_interfaces.testing.half_window_cases import HalfWindowCases
from stackwright_interfaces.testing.histories import HOUR, ingestions, instants, labels, quick, remembered
from stackwright_interfaces.testing.oracle import Fact, Key, answer, changes
from stackwright_interfaces.testing.tables import bits, ranked, token_of
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field

KEYS: Final[list[Key]] = [(1,), (2,)]
ASKED: Final[list[Key]] = [(1,), (1,), (2,), (3,), (None,)]

VISITS: Final = FeatureView(
    name="visits",
    entity=PLACE,
    fields=(Field("x", FLOAT64), Field("n", INT64), Field("visit", STRING)),
    event_id="visit",
    max_age=HOUR,
    windows=(
        Window(name="rows", aggregate=Aggregate.COUNT, length=2 * HOUR),
        Window(name="last_n", aggregate=Aggregate.LAST, column="n", length=3 * HOUR, slide=HOUR),
        Window(name="last_2_x", aggregate=Aggregate.LAST_N, column="x", length=3 * HOUR, n=2),
        Window(name="x_over_n", aggregate=Aggregate.RATIO, column="x", over="n", length=2 * HOUR),
        Window(name="visits", aggregate=Aggregate.DISTINCT, column="visit", length=2 * HOUR, slide=2 * HOUR),
        *(
            Window(name=f"{aggregate}_x", aggregate=aggregate, column="x", length=2 * HOUR)
            for aggregate in (Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.MIN, Aggregate.MAX)
        ),
    ),
)


class OfflineStoreCases(HalfJoinCases, HalfWindowCases, HalfHistoryCases):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        spec: the spec under test.
        durable: whether history is there after the store was closed and built again.
    """

    def test_what_it_declares_of_sql_is_tested(self) -> None:
        assert isinstance(self, SQLCases) == (Capability.SQL in self.spec.capabilities)

    @quick(25)
    @given(
        calls=ingestions(VISITS, KEYS),
        asked=labels(ASKED),
        known_by=st.booleans(),
        as_of=st.none() | st.tuples(st.integers(0, 3), instants()),
    )
    def test_any_join_of_any_history_agrees_with_the_oracle(
        self,
        calls: list[list[Fact]],
        asked: list[tuple[Key, datetime]],
        known_by: bool,
        as_of: tuple[int, datetime] | None,
    ) -> None:
        calls = [[ranked(fact) for fact in call] for call in calls]
        with tempfile.TemporaryDirectory() as folder:
            store = self.open(Path(folder), SettableClock(NOON))
            try:
                store.apply([VISITS])
                positions = [self.ingest(store, VISITS, *call).position for call in calls]
                mark = None if as_of is None else _mark(as_of, positions)
                found = self.ask(store, VISITS, *asked, known_by=known_by, as_of=mark)
            finally:
                store.close()
        history = remembered(calls, positions)
        right = [answer(VISITS, history, key, at, known_by=known_by, as_of=mark) for key, at in asked]
        assert bits(found) == bits([{"event": item.event, **item.values} for item in right])

    @quick(25)
    @given(
        calls=ingestions(VISITS, KEYS),
        since=st.none() | st.tuples(st.integers(0, 3), instants()),
        until=st.tuples(st.integers(0, 3), instants()),
        history=st.none() | st.integers(0, 4).map(lambda hours: hours * HOUR),
    )
    def test_any_changes_of_any_history_agree_with_the_oracle(
        self,
        calls: list[list[Fact]],
        since: tuple[int, datetime] | None,
        until: tuple[int, datetime],
        history: timedelta | None,
    ) -> None:
        calls = [[ranked(fact) for fact in call] for call in calls]
        with tempfile.TemporaryDirectory() as folder:
            store = self.open(Path(folder), SettableClock(NOON))
            try:
                store.apply([VISITS])
                positions = [self.ingest(store, VISITS, *call).position for call in calls]
                after = None if since is None else _mark(since, positions)
                found = self.changed(store, VISITS, after, _mark(until, positions), history=history)
            finally:
                store.close()
        right = changes(remembered(calls, positions), after, _mark(until, positions), history)
        assert sorted((row["place_id"], row[ORDER]) for row in found) == sorted(
            (fact.key[0], token_of(fact)) for fact in right
        )


def _mark(drawn: tuple[int, datetime], positions: Sequence[int]) -> Watermark:
    """The watermark after a number of ingestions, due at an instant."""
    return Watermark([0, *positions][min(drawn[0], len(positions))], drawn[1])


class SQLCases(HalfCases):
    """The cases of an offline store that declares ``Capability.SQL``; put it before :class:`OfflineStoreCases`."""

    @pytest.fixture
    def runs(self, store: OfflineStore) -> SupportsSQL:
        """The store, as what runs SQL."""
        assert isinstance(store, SupportsSQL)
        return store

    def test_a_select_sees_the_tables_it_is_handed(self, runs: SupportsSQL) -> None:
        tables = {
            "visits": pa.table({"place_id": [1, 1, 2], "seconds": [1.0, None, 3.0]}),
            "interval": pa.table({"end_time": pa.array([NOON], pa.timestamp("us", "UTC"))}),
        }
        query = """
            SELECT place_id, sum(seconds) AS total, max(end_time) AS event_time
            FROM visits CROSS JOIN interval GROUP BY place_id ORDER BY place_id
        """
        found = pa.table(runs.sql(query, tables)).to_pylist()
        assert found == [
            {"place_id": 1, "total": 1.0, "event_time": NOON},
            {"place_id": 2, "total": 3.0, "event_time": NOON},
        ]

    def test_an_empty_table_keeps_its_types(self, runs: SupportsSQL) -> None:
        empty = pa.table({"x": pa.array([], pa.int64())})
        assert pa.table(runs.sql("SELECT x FROM t", {"t": empty})).schema.field("x").type == pa.int64()

    def test_tables_of_one_call_are_not_there_in_the_next(self, runs: SupportsSQL) -> None:
        runs.sql("SELECT 1 AS x FROM t", {"t": pa.table({"x": [1]})})
        with pytest.raises(FeatureStoreError):
            pa.table(runs.sql("SELECT 1 AS x FROM t", {}))

    @pytest.mark.parametrize("query", ["SELECT", "SELECT nothing FROM t", "DROP TABLE t", "SELECT 1; SELECT 2", ""])
    def test_what_is_not_one_select_that_can_run_is_refused(self, runs: SupportsSQL, query: str) -> None:
        with pytest.raises(FeatureStoreError):
            pa.table(runs.sql(query, {"t": pa.table({"x": [1]})}))

    def test_no_file_is_read_or_written(self, runs: SupportsSQL, tmp_path: Path) -> None:
        path = tmp_path / "secret.csv"
        path.write_text("x\n1\n")
        for query in (f"SELECT * FROM '{path}'", f"SELECT * FROM read_csv('{path}')", f"COPY t TO '{path}'"):
            with pytest.raises(FeatureStoreError):
                pa.table(runs.sql(query, {"t": pa.table({"x": [1]})}))
        assert path.read_text() == "x\n1\n"
