"""History of the offline half: what goes in, what changed, what is forgotten, what lasts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import Aggregate, FeatureView, Window
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, OfflineStore, Watermark
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.half_cases import BLOCKS, COLUMNS, PLAIN, HalfCases, fact, keys_of, x
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.oracle import Key
from stackwright_interfaces.testing.tables import CutOff, column, normalised, rows_of, token_of
from stackwright_interfaces.types import BOOL, INT64, STRING, Field

LATER: Final = NOON + 9 * HOUR


def places(*keys: Any) -> Any:
    """Return keys of places as a table."""
    return pa.table({"place_id": column(keys, INT64)})


class HalfHistoryCases(HalfCases):
    """What an offline half keeps."""

    # --- ingest ---

    def test_the_report_counts_what_was_added(self, store: OfflineStore) -> None:
        report = self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(2, NOON, x=2.0))
        assert (report.view, report.rows, report.added) == ("plain@1", 2, 2)
        assert (report.duplicates, report.future, report.refused) == (0, 0, 0)

    @pytest.mark.case(28)
    def test_rows_that_come_again_are_counted_and_not_added(self, store: OfflineStore) -> None:
        rows = [fact(1, NOON, x=1.0), fact(2, NOON, x=2.0)]
        self.given(store, PLAIN, *rows)
        report = self.ingest(store, PLAIN, *rows, fact(3, NOON, x=3.0))
        assert (report.rows, report.added, report.duplicates) == (3, 1, 2)
        assert Counter(keys_of(self.changed(store, PLAIN, None, store.watermark(PLAIN)), PLAIN)) == {
            (1,): 1,
            (2,): 1,
            (3,): 1,
        }

    def test_a_row_that_comes_twice_in_one_table_is_added_once(self, store: OfflineStore) -> None:
        report = self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(2, NOON, x=1.0), fact(1, NOON, x=1.0))
        assert (report.rows, report.added, report.duplicates) == (3, 2, 1)

    def test_rows_of_one_time_with_other_values_are_all_kept(self, store: OfflineStore) -> None:
        report = self.given(store, PLAIN, *(fact(1, NOON, x=float(step)) for step in range(3)))
        assert (report.added, report.duplicates) == (3, 0)
        assert len(self.changed(store, PLAIN, None, store.watermark(PLAIN))) == 3

    def test_rows_with_a_future_event_time_are_counted_and_kept(
        self, store: OfflineStore, clock: SettableClock
    ) -> None:
        rows = [fact(1, NOON, x=1.0), fact(1, NOON + US, x=2.0), fact(2, LATER, x=3.0)]
        report = self.given(store, PLAIN, *rows)
        assert (report.added, report.future) == (3, 2)
        assert x(self.ask(store, PLAIN, (1, LATER), (2, LATER))) == [2.0, 3.0]

    def test_an_empty_table_may_be_ingested(self, store: OfflineStore) -> None:
        report = self.given(store, PLAIN)
        assert (report.rows, report.added) == (0, 0)
        assert x(self.ask(store, PLAIN, (1, NOON))) == [None]

    def test_rows_whose_stream_fails_are_none_of_them_added(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0))
        rows = [fact(key, NOON + US, x=2.0) for key in range(8)]
        with pytest.raises(Exception, match="went away"):
            store.ingest(PLAIN, CutOff(normalised(PLAIN, rows)))
        assert x(self.ask(store, PLAIN, (1, LATER), (2, LATER))) == [1.0, None]
        assert self.ingest(store, PLAIN, *rows).added == 8

    def test_the_order_of_columns_does_not_matter(self, store: OfflineStore) -> None:
        table = normalised(PLAIN, [fact(1, NOON, x=1.5, n=2, s="three")])
        store.apply([PLAIN])
        store.ingest(PLAIN, table.select(table.column_names[::-1]))
        assert self.ask(store, PLAIN, (1, NOON)) == [{"event": NOON, "x": 1.5, "n": 2, "s": "three"}]

    def test_views_of_one_name_and_other_versions_are_kept_apart(self, store: OfflineStore) -> None:
        second = replace(PLAIN, version=2, fields=(Field("x", STRING),))
        store.apply([PLAIN, second])
        self.ingest(store, PLAIN, fact(1, NOON, x=1.5))
        self.ingest(store, second, fact(1, NOON, x="text"))
        assert x(self.ask(store, PLAIN, (1, NOON)) + self.ask(store, second, (1, NOON))) == [1.5, "text"]

    # --- watermark ---

    def test_a_view_without_ingestions_stands_at_position_zero(self, store: OfflineStore) -> None:
        store.apply([PLAIN])
        assert store.watermark(PLAIN) == Watermark(0, NOON)

    def test_each_ingestion_has_a_greater_position_and_the_watermark_tells_the_last(
        self, store: OfflineStore, clock: SettableClock
    ) -> None:
        first = self.given(store, PLAIN, fact(1, NOON, x=1.0))
        assert store.watermark(PLAIN) == Watermark(first.position, NOON)
        later = clock.advance(HOUR)
        second = self.ingest(store, PLAIN, fact(1, NOON, x=2.0))
        assert second.position > first.position > 0
        assert store.watermark(PLAIN) == Watermark(second.position, later)

    @pytest.mark.case(24)
    def test_the_watermark_of_an_instant_is_what_had_been_ingested_by_then(
        self, store: OfflineStore, clock: SettableClock
    ) -> None:
        first = self.given(store, PLAIN, fact(1, NOON, x=1.0)).position
        clock.advance(HOUR)
        second = self.ingest(store, PLAIN, fact(2, NOON, x=1.0)).position
        instants = [NOON - US, NOON, NOON + HOUR - US, NOON + HOUR, LATER]
        expected = [0, first, first, second, second]
        assert [store.watermark(PLAIN, at) for at in instants] == [
            Watermark(position, at) for position, at in zip(expected, instants, strict=True)
        ]

    def test_views_have_watermarks_of_their_own(self, store: OfflineStore) -> None:
        store.apply([PLAIN, BLOCKS])
        self.ingest(store, PLAIN, fact(1, NOON, x=1.0))
        assert store.watermark(BLOCKS).position == 0

    # --- changes ---

    def test_changes_since_nothing_are_all_rows_that_are_due_as_they_came_in(self, store: OfflineStore) -> None:
        rows = [fact(1, NOON, NOON + HOUR, x=1.0, s="a"), fact(1, NOON - HOUR, x=2.0), fact(2, NOON, n=3)]
        self.given(store, PLAIN, *rows, fact(2, NOON + US, x=4.0))
        changed = self.changed(store, PLAIN, None, store.watermark(PLAIN))
        by_token = {row.pop(ORDER): row for row in changed}
        assert by_token == {
            token_of(row): {"place_id": row.key[0], "x": None, "n": None, "s": None}
            | dict(row.values)
            | {EVENT: row.event, CREATED: row.created}
            for row in rows
        }

    def test_nothing_changed_since_the_same_watermark(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0))
        mark = store.watermark(PLAIN)
        assert self.changed(store, PLAIN, mark, mark) == []
        assert self.changed(store, PLAIN, mark, mark, history=HOUR) == []

    @pytest.mark.case(38)
    def test_changes_follow_ingestion_and_not_event_time(self, store: OfflineStore, clock: SettableClock) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(2, NOON, x=2.0))
        before = store.watermark(PLAIN)
        clock.advance(HOUR)
        self.ingest(store, PLAIN, fact(2, NOON - 5 * HOUR, x=3.0), fact(1, NOON, x=1.0))
        assert x(self.changed(store, PLAIN, before, store.watermark(PLAIN))) == [3.0]

    def test_a_row_that_became_due_is_a_change(self, store: OfflineStore, clock: SettableClock) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(1, NOON + HOUR, x=2.0), fact(2, NOON + HOUR + US, x=3.0))
        before = store.watermark(PLAIN)
        assert x(self.changed(store, PLAIN, None, before)) == [1.0]
        clock.advance(HOUR)
        assert x(self.changed(store, PLAIN, before, store.watermark(PLAIN))) == [2.0]

    def test_changes_stop_at_the_watermark_they_are_asked_for(self, store: OfflineStore, clock: SettableClock) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0))
        before = store.watermark(PLAIN)
        clock.advance(HOUR)
        self.ingest(store, PLAIN, fact(1, NOON, x=2.0))
        assert x(self.changed(store, PLAIN, None, before)) == [1.0]
        assert x(self.changed(store, PLAIN, None, before, history=HOUR)) == [1.0]

    def test_history_gives_whole_keys_that_changed_and_no_others(
        self, store: OfflineStore, clock: SettableClock
    ) -> None:
        self.given(
            store,
            PLAIN,
            fact(1, NOON - US, x=0.5),
            fact(1, NOON, x=1.0),
            fact(1, NOON + HOUR, x=1.5),
            fact(1, NOON + HOUR + US, x=9.0),
            fact(2, NOON, x=2.0),
        )
        clock.advance(HOUR)
        before = store.watermark(PLAIN)
        self.ingest(store, PLAIN, fact(1, NOON - 5 * HOUR, x=-1.0))
        until = store.watermark(PLAIN)
        assert sorted(x(self.changed(store, PLAIN, before, until, history=HOUR))) == [1.0, 1.5]
        assert sorted(x(self.changed(store, PLAIN, before, until, history=9 * HOUR))) == [-1.0, 0.5, 1.0, 1.5]

    def test_history_always_holds_the_newest_row(self, store: OfflineStore, clock: SettableClock) -> None:
        rows = [fact(1, NOON, x=1.0), fact(1, NOON, NOON + HOUR, x=2.0), fact(1, NOON - HOUR, LATER, x=3.0)]
        self.given(store, PLAIN, *rows)
        clock.advance(5 * HOUR)
        assert x(self.changed(store, PLAIN, None, store.watermark(PLAIN), history=HOUR)) == [2.0]

    @pytest.mark.parametrize("history", [None, 9 * HOUR])
    def test_rows_of_a_key_follow_each_other_and_share_a_chunk_of_history(
        self, store: OfflineStore, history: Any
    ) -> None:
        keys = [(str(number), "High") for number in range(2_000)]
        self.given(store, BLOCKS, *(fact(key, NOON - step * US, x=float(step)) for step in range(3) for key in keys))
        chunks = [rows_of(chunk) for chunk in store.changes(BLOCKS, None, store.watermark(BLOCKS), history=history)]
        runs: list[Key] = [key for key, _ in groupby(keys_of([row for chunk in chunks for row in chunk], BLOCKS))]
        assert Counter(runs) == Counter(keys)
        if history is not None:
            assert len(runs) == sum(len(set(keys_of(chunk, BLOCKS))) for chunk in chunks)

    def test_reading_changes_may_stop_half_way(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0))
        unfinished = iter(store.changes(PLAIN, None, store.watermark(PLAIN)))
        next(unfinished)
        self.ingest(store, PLAIN, fact(2, NOON, x=2.0))
        assert len(self.changed(store, PLAIN, None, store.watermark(PLAIN))) == 2

    # --- delete ---

    @pytest.mark.case(41)
    def test_a_deleted_key_is_gone_and_the_others_stay(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.0), fact(1, NOON - HOUR, x=2.0), fact(2, NOON, x=3.0))
        before = store.watermark(PLAIN)
        assert store.delete([PLAIN], places(1, 7), NOON) == 2
        assert x(self.ask(store, PLAIN, (1, NOON), (2, NOON))) == [None, 3.0]
        assert x(self.ask(store, PLAIN, (1, NOON), as_of=before)) == [None]
        assert x(self.changed(store, PLAIN, None, store.watermark(PLAIN))) == [3.0]

    @pytest.mark.case(41)
    def test_rows_of_a_deleted_key_are_refused_unless_created_later(self, store: OfflineStore) -> None:
        rows = [fact(1, NOON - HOUR, x=1.0), fact(2, NOON, x=2.0)]
        self.given(store, PLAIN, *rows)
        store.delete([PLAIN], places(1), NOON)
        again = [*rows, fact(1, NOON + HOUR, NOON, x=3.0), fact(1, NOON - HOUR, NOON + US, x=4.0)]
        report = self.ingest(store, PLAIN, *again)
        assert (report.rows, report.added, report.duplicates, report.refused) == (4, 1, 1, 2)
        assert x(self.ask(store, PLAIN, (1, LATER), (2, LATER))) == [4.0, 2.0]

    @pytest.mark.case(41)
    def test_a_key_without_rows_is_remembered_as_deleted_too(self, store: OfflineStore) -> None:
        store.apply([PLAIN])
        assert store.delete([PLAIN], places(1), NOON) == 0
        assert self.ingest(store, PLAIN, fact(1, NOON, x=1.0)).refused == 1

    @pytest.mark.case(41)
    def test_deletion_reaches_every_view_that_is_named(self, store: OfflineStore) -> None:
        second = replace(PLAIN, version=2)
        store.apply([PLAIN, second])
        self.ingest(store, PLAIN, fact(1, NOON, x=1.0))
        self.ingest(store, second, fact(1, NOON, x=2.0), fact(1, NOON - HOUR, x=3.0))
        assert store.delete([PLAIN, second], places(1), NOON) == 3
        assert x(self.ask(store, PLAIN, (1, NOON)) + self.ask(store, second, (1, NOON))) == [None, None]

    @pytest.mark.case(41)
    def test_the_later_of_two_deletions_holds(self, store: OfflineStore) -> None:
        store.apply([PLAIN])
        store.delete([PLAIN], places(1), NOON + HOUR)
        store.delete([PLAIN], places(1), NOON)
        report = self.ingest(store, PLAIN, fact(1, NOON, NOON + HOUR, x=1.0), fact(1, NOON, NOON + HOUR + US, x=2.0))
        assert (report.refused, report.added) == (1, 1)

    @pytest.mark.case(41)
    def test_only_whole_keys_are_deleted(self, store: OfflineStore) -> None:
        self.given(store, BLOCKS, fact(("1", "High"), NOON, x=1.0), fact(("1", "Low"), NOON, x=2.0))
        keys = pa.table({"street": column(["High"], STRING), "number": column(["1"], STRING)})
        assert store.delete([BLOCKS], keys, NOON) == 1
        assert x(self.ask(store, BLOCKS, (("1", "High"), NOON), (("1", "Low"), NOON))) == [None, 2.0]

    # --- apply ---

    def test_applying_again_changes_nothing(self, store: OfflineStore) -> None:
        self.given(store, PLAIN, fact(1, NOON, x=1.5))
        store.apply([PLAIN, BLOCKS])
        assert x(self.ask(store, PLAIN, (1, NOON))) == [1.5]

    @pytest.mark.case(43)
    def test_a_column_that_was_added_is_null_in_old_rows(self, store: OfflineStore) -> None:
        window = Window(name="trues", aggregate=Aggregate.COUNT, length=2 * HOUR, column="flag")
        wider = replace(PLAIN, fields=(Field("flag", BOOL), *COLUMNS), windows=(window,))
        old = fact(1, NOON, x=1.5)
        self.given(store, PLAIN, old)
        store.apply([wider])
        again = self.ingest(store, wider, old)
        assert again.duplicates == 1
        self.ingest(store, wider, fact(1, NOON + HOUR, x=2.5, flag=True))
        answers = self.ask(store, wider, (1, NOON), (1, NOON + 2 * HOUR))
        assert [(row["x"], row["flag"], row["trues"]) for row in answers] == [(1.5, None, 0), (2.5, True, 1)]
        assert [row["flag"] for row in self.changed(store, wider, None, Watermark(again.position, NOON))] == [None]

    # --- lasting ---

    def test_history_lasts_if_the_adapter_is_durable(self, tmp_path: Path, clock: SettableClock) -> None:
        view: FeatureView = PLAIN
        row, gone = fact(1, NOON, x=1.5, s="a"), fact(2, NOON, x=2.5)
        first = self.open(tmp_path, clock)
        position = self.given(first, view, row, gone).position
        first.delete([view], places(2), NOON)
        first.close()
        clock.advance(HOUR)
        second = self.open(tmp_path, clock)
        try:
            second.apply([view])
            assert second.watermark(view, NOON) == Watermark(position if self.durable else 0, NOON)
            assert x(self.ask(second, view, (1, NOON), (2, NOON))) == [1.5 if self.durable else None, None]
            report = self.ingest(second, view, row, gone)
            assert (report.duplicates, report.refused) == ((1, 1) if self.durable else (0, 0))
            assert report.position > (position if self.durable else 0)
        finally:
            second.close()
