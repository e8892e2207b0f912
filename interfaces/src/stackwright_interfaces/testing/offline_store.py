"""The kit for the half that keeps history.

An adapter's whole test module::

    from stackwright_duckdb import plugin
    from stackwright_interfaces.feature_store import OfflineStore
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.offline_store import OfflineStoreCases


    class TestDuckDBOfflineStore(OfflineStoreCases):
        spec = spec_of(plugin, OfflineStore)

        def config(self, folder):
            return plugin.DuckDBConfig(path=folder / "history")
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.definitions import Aggregate, FeatureView, Window
from stackwright_interfaces.feature_store import ORDER, Watermark
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.half_cases import PLACE
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
