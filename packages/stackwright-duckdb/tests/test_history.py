"""How history lies on disk."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import FeatureStoreError, UnknownName
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.crashes import crashes
from stackwright_interfaces.testing.half_cases import BLOCKS, COLUMNS, PLAIN, fact
from stackwright_interfaces.testing.half_history_cases import places
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.tables import normalised
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_numerics.order import order_tokens
from stackwright_parquet.columns import instant_of, stamps

# --- files ---


def test_each_ingestion_is_one_file_sorted_by_key_and_time_that_anybody_can_read(desk, store, ingest) -> None:
    ingest(store, fact(2, NOON, x=3.0), fact(1, NOON + US, x=2.0, s="b"), fact(1, NOON, NOON + HOUR, x=1.0))
    ingest(store, fact(1, NOON, x=4.0))
    first, second = desk.files()
    assert (first.name, second.name) == ("00000001.parquet", "00000002.parquet")
    table = pq.read_table(first)
    assert table["place_id"].to_pylist() == [1, 1, 2]
    assert table["x"].to_pylist() == [1.0, 2.0, 3.0]
    assert [row[EVENT] for row in table.select([EVENT]).to_pylist()] == [NOON, NOON + US, NOON]
    assert table[CREATED].to_pylist()[0] == NOON + HOUR


def test_an_ingestion_without_new_rows_takes_a_position_and_no_file(desk, store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    assert ingest(store, fact(1, NOON, x=1.0)).position == 2
    assert store.watermark(PLAIN).position == 2
    assert len(desk.files()) == 1


def test_an_ingestion_of_many_pieces_is_one_sorted_file_with_each_row_once(desk) -> None:
    keys = np.random.default_rng(3).integers(0, 500, 150_000)
    events = instant_of(NOON) + np.arange(150_000) % 1_000
    content = (keys * 7 + events).astype(np.uint64)
    whole = pa.table(
        {
            "place_id": keys,
            "x": keys / 2,
            "n": keys,
            "s": pa.array(["text"] * len(keys)),
            EVENT: stamps(events),
            CREATED: stamps(events),
            ORDER: pa.array([row.tobytes() for row in order_tokens(events, events, content)], pa.binary(24)),
        }
    )
    different = len(np.unique(np.stack([keys, events]), axis=1).T)
    store = desk.open(sort_memory="40MB")
    store.apply([PLAIN])
    report = store.ingest(PLAIN, whole)
    assert (report.rows, report.added, report.duplicates) == (150_000, different, 150_000 - different)
    (path,) = desk.files()
    found = pq.read_table(path)
    rows = list(zip(found["place_id"].to_pylist(), found[EVENT].to_pylist(), strict=True))
    assert rows == sorted(set(rows))
    again = store.ingest(PLAIN, whole.slice(70_000))
    assert (again.added, again.duplicates) == (0, 80_000)
    assert not list((desk.folder / ".cache" / "duckdb").glob("*/*"))


def test_what_sorting_cannot_do_in_its_memory_is_done_in_the_memory_there_is(desk, ingest, everything) -> None:
    store = desk.open(sort_memory="1KB")
    store.apply([PLAIN])
    assert ingest(store, fact(1, NOON, x=1.0), fact(1, NOON, x=1.0)).added == 1
    assert everything(store) == [1.0]


def test_a_namespace_is_a_folder(desk, ingest, ask) -> None:
    store = desk.open()
    store.apply([BLOCKS])
    ingest(store, fact(("a", "b"), NOON, x=1.0), view=BLOCKS)
    assert (desk.folder / "history" / "town" / "blocks@1" / "00000001.parquet").exists()
    assert ask(store, (("a", "b"), NOON), view=BLOCKS)[0]["x"] == 1.0


def test_columns_whose_names_differ_in_case_alone_are_kept_apart(desk, ingest, ask) -> None:
    entity = Entity(name="place", keys=(Field("ID", INT64),))
    view = FeatureView(name="shouting", entity=entity, fields=tuple(Field(name, STRING) for name in ("id", "Id", "iD")))
    store = desk.open()
    store.apply([view])
    ingest(store, fact(1, NOON, id="a", Id="b", iD="c"), view=view)
    assert ask(store, (1, NOON), view=view) == [{"id": "a", "Id": "b", "iD": "c"}]


@pytest.mark.parametrize("name", ["it's", "[1]*?", "year=2024", 'two "words"', "ünï"])
def test_a_folder_may_have_any_name(desk, ingest, ask, name: str) -> None:
    for other in (name, "1x"):
        store = desk.open(path=desk.folder / other / "history")
        store.apply([PLAIN])
        ingest(store, fact(1, NOON, s=other))
    named = desk.open(path=desk.folder / name / "history")
    assert ask(named, (1, NOON))[0]["s"] == name


def test_a_view_that_was_never_applied_is_unknown_and_those_that_were_are_named(desk, store, ingest) -> None:
    with pytest.raises(UnknownName, match=r"town/blocks@1.*plain@1"):
        ingest(store, view=BLOCKS)


def test_history_is_found_again_without_applying(desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    store.close()
    assert ask(desk.open(), (1, NOON))[0]["x"] == 1.0


def test_a_closed_store_says_so(store, ingest) -> None:
    store.close()
    with pytest.raises(FeatureStoreError, match="closed"):
        ingest(store, fact(1, NOON, x=1.0))


# --- definitions ---


def test_an_added_column_is_null_in_old_rows_wherever_they_lie(desk, ingest, ask) -> None:
    store = desk.open(merge_files=3)
    store.apply([PLAIN])
    wider = replace(PLAIN, fields=(*COLUMNS, Field("y", FLOAT64)))
    ingest(store, fact(1, NOON, x=1.0))
    store.apply([wider])
    labels = [(key, NOON) for key in (1, 2, 3, 4)]
    ingest(store, fact(2, NOON, x=2.0, y=20.0), view=wider)
    ingest(store, fact(3, NOON, x=3.0))
    before = ask(store, *labels, view=wider)
    assert [(row["x"], row["y"]) for row in before] == [(1.0, None), (2.0, 20.0), (3.0, None), (None, None)]
    ingest(store, fact(4, NOON, x=4.0, y=40.0), view=wider)
    assert len(desk.files()) == 2
    assert [(row["x"], row["y"]) for row in ask(store, *labels, view=wider)] == [
        (1.0, None),
        (2.0, 20.0),
        (3.0, None),
        (4.0, 40.0),
    ]


# --- merging and rewriting ---


def test_many_small_files_are_merged_and_every_position_still_counts(desk, ingest, ask) -> None:
    store = desk.open(merge_files=4)
    store.apply([PLAIN])
    for step in range(12):
        ingest(store, fact(1, NOON, NOON + step * US, x=float(step)))
        desk.clock.advance(HOUR)
    assert len(desk.files()) <= 4
    due = NOON + 24 * HOUR
    known = [ask(store, (1, due), as_of=Watermark(position, due))[0]["x"] for position in range(13)]
    assert known == [None, *map(float, range(12))]
    assert store.watermark(PLAIN, NOON + 5 * HOUR).position == 6


def test_deletion_rewrites_only_files_that_hold_the_key_and_keeps_positions(desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, x=1.0), fact(2, NOON, x=2.0))
    ingest(store, fact(2, NOON, NOON + US, x=3.0))
    ingest(store, fact(1, NOON, NOON + US, x=4.0))
    untouched = desk.files()[1]
    assert store.delete([PLAIN], places(1), NOON) == 2
    assert untouched in desk.files()
    assert len(desk.files()) == 2
    assert [ask(store, (2, NOON), as_of=Watermark(position, NOON))[0]["x"] for position in (1, 2)] == [2.0, 3.0]
    assert b"1.0" not in b"".join(file.read_bytes() for file in desk.files())
    assert ingest(store, fact(3, NOON, x=5.0)).position == 4


def test_a_deleted_key_stays_out_of_views_that_are_applied_later(store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    store.delete([PLAIN], places(1), NOON)
    second = replace(PLAIN, version=2)
    store.apply([second])
    assert ingest(store, fact(1, NOON, x=1.0), view=second).refused == 1


def test_reading_goes_on_while_files_are_merged_and_deleted(desk, ingest, ask) -> None:
    store, writer = desk.open(threads=2), desk.open(merge_files=2)
    store.apply([PLAIN])
    ingest(writer, *(fact(key, NOON, x=1.0) for key in range(50)))

    def write() -> None:
        for step in range(12):
            ingest(writer, *(fact(key, NOON, NOON + (step + 1) * US, x=step + 2.0) for key in range(50)))
            writer.delete([PLAIN], places(100 + step), NOON)

    def read() -> int:
        answers = 0
        while not done.done():
            values = {row["x"] for row in ask(store, *((key, NOON) for key in range(50)))}
            assert len(values) == 1, "an answer mixes two states of the history"
            answers += 1
        return answers

    with ThreadPoolExecutor(3) as threads:
        done = threads.submit(write)
        readers = [threads.submit(read) for _ in range(2)]
        done.result()
        assert all(reader.result() for reader in readers)


# --- several writers, and death ---


INGEST_SIX_TIMES = """
import sys
from pathlib import Path

from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.half_cases import PLAIN, fact
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.testing.tables import normalised

folder, writer = Path(sys.argv[1]), int(sys.argv[2])
store = DuckDBOfflineStore(DuckDBConfig(path=folder / "history", threads=1), make_context(folder))
store.apply([PLAIN])
for step in range(6):
    print(store.ingest(PLAIN, normalised(PLAIN, [fact(writer, NOON + step * US, x=float(step))])).position)
store.close()
"""


def test_processes_that_ingest_at_once_get_positions_of_their_own_and_lose_nothing(desk, everything) -> None:
    command = [sys.executable, "-c", INGEST_SIX_TIMES, str(desk.folder)]
    writers = [subprocess.Popen([*command, str(key)], stdout=subprocess.PIPE, text=True) for key in (1, 2)]
    taken = [int(line) for writer in writers for line in writer.communicate(timeout=120)[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(taken) == list(range(1, 13))
    assert everything(desk.open()) == sorted([*map(float, range(6))] * 2)


def test_threads_that_ingest_at_once_get_positions_of_their_own(store, ingest, everything) -> None:
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda key: ingest(store, fact(key, NOON, x=float(key))), range(12)))
    assert sorted(report.position for report in reports) == list(range(1, 13))
    assert everything(store) == [*map(float, range(12))]


def test_whoever_waits_too_long_for_another_writer_is_told(desk, store, ingest) -> None:
    impatient = desk.open(lock_timeout=0.1)

    with ThreadPoolExecutor(1) as threads, store._histories.folder(PLAIN).writing():
        waiting = threads.submit(ingest, impatient, fact(1, NOON, x=1.0))
        with pytest.raises(FeatureStoreError, match=r"writing for more than 0.1 s.*lock_timeout"):
            waiting.result()


def test_an_ingestion_that_is_killed_at_any_step_leaves_history_as_it_was_or_whole(tmp_path: Path) -> None:
    def open_(name: str) -> DuckDBOfflineStore:
        return DuckDBOfflineStore(DuckDBConfig(path=tmp_path / name, threads=1), make_context(tmp_path / name))

    def prepare(name: str) -> None:
        store = open_(name)
        _ingested(store, fact(1, NOON, x=1.0), fact(2, NOON, x=1.0))
        store.close()

    def work(name: str) -> None:
        _ingested(open_(name), fact(1, NOON + US, x=2.0), fact(2, NOON + US, x=2.0))

    killed = 0
    for name in crashes(work, prepare=prepare, at_most=9):
        killed += 1
        store = open_(name)
        before = _all_x(store)
        assert before in ([1.0, 1.0], [1.0, 1.0, 2.0, 2.0])
        _ingested(store, fact(1, NOON + US, x=2.0), fact(2, NOON + US, x=2.0), fact(3, NOON, x=3.0))
        assert _all_x(store) == [1.0, 1.0, 2.0, 2.0, 3.0]
        folder = tmp_path / name / PLAIN.ref
        assert sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet")) == 5
        assert not list(folder.glob(".tmp-*"))
        store.close()
        scratch = tmp_path / name / ".cache" / "duckdb"
        assert list(scratch.iterdir()) == []
    assert killed > 3


def _ingested(store: DuckDBOfflineStore, *facts: Any) -> None:
    store.apply([PLAIN])
    store.ingest(PLAIN, normalised(PLAIN, facts))


def _all_x(store: DuckDBOfflineStore) -> list[float]:
    until = Watermark(store.watermark(PLAIN).position, NOON + timedelta(days=1))
    return sorted(x for chunk in store.changes(PLAIN, None, until) for x in chunk["x"].to_pylist())
