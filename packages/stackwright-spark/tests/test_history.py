"""How history lies on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.errors import FeatureStoreError, UnknownName
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.crashes import crashes
from stackwright_interfaces.testing.half_cases import BLOCKS, COLUMNS, PLAIN, fact
from stackwright_interfaces.testing.half_history_cases import places
from stackwright_interfaces.testing.histories import HOUR, US
from stackwright_interfaces.testing.tables import normalised, token_of
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_spark import rewrite
from stackwright_spark.offline import SparkOfflineStore
from stackwright_spark.plugin import SparkConfig

# --- files ---


def test_each_ingestion_is_files_sorted_by_key_and_time_that_anybody_can_read(desk, store, ingest) -> None:
    rows = [fact(2, NOON, x=3.0), fact(1, NOON + US, x=2.0, s="b"), fact(1, NOON, NOON + HOUR, x=1.0)]
    ingest(store, *rows)
    ingest(store, fact(1, NOON, x=4.0))
    first, second = desk.files()
    assert (first.name, second.name) == ("00000001-00000001.0.0.parquet", "00000002-00000002.0.0.parquet")
    table = pq.read_table(first)
    assert table["place_id"].to_pylist() == [1, 1, 2]
    assert table["x"].to_pylist() == [1.0, 2.0, 3.0]
    assert table[EVENT].to_pylist() == [NOON, NOON + US, NOON]
    assert table[CREATED].to_pylist()[0] == NOON + HOUR
    assert table[ORDER].to_pylist() == [token_of(rows[2]), token_of(rows[1]), token_of(rows[0])]
    assert table["__position"].to_pylist() == [1, 1, 1]


def test_a_large_ingestion_is_several_files(desk, store, ingest, ask, monkeypatch) -> None:
    monkeypatch.setattr(rewrite, "_ROWS_A_FILE", 20)
    report = ingest(store, *(fact(key, NOON, x=float(key)) for key in range(40)))
    assert report.added == 40
    assert len(desk.files()) == 2
    assert [row["x"] for row in ask(store, (0, NOON), (39, NOON))] == [0.0, 39.0]


def test_an_ingestion_without_new_rows_takes_a_position_and_no_file(desk, store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    assert ingest(store, fact(1, NOON, x=1.0)).position == 2
    assert store.watermark(PLAIN).position == 2
    assert len(desk.files()) == 1


def test_columns_whose_names_differ_in_case_alone_are_kept_apart(desk, ingest, ask) -> None:
    entity = Entity(name="place", keys=(Field("ID", INT64),))
    view = FeatureView(name="shouting", entity=entity, fields=tuple(Field(name, STRING) for name in ("id", "Id", "iD")))
    store = desk.open()
    store.apply([view])
    ingest(store, fact(1, NOON, id="a", Id="b", iD="c"), view=view)
    assert ask(store, (1, NOON), view=view) == [{"id": "a", "Id": "b", "iD": "c"}]


@pytest.mark.parametrize("name", ["it's", "[1]*?", "{a,b}", "year=2024", 'two "words"', "ünï", "50%25", "a:b"])
def test_a_folder_may_have_any_name(desk, ingest, ask, name: str) -> None:
    store = desk.open(path=desk.folder / name / "history")
    store.apply([BLOCKS])
    ingest(store, fact(("1", "High"), NOON, s=name), view=BLOCKS)
    assert ask(store, (("1", "High"), NOON), view=BLOCKS)[0]["s"] == name


def test_a_view_that_was_never_applied_is_unknown_and_those_that_were_are_named(desk, store, ingest) -> None:
    with pytest.raises(UnknownName, match=r"town/blocks@1.*plain@1"):
        ingest(store, view=BLOCKS)


def test_history_is_found_again_without_applying(desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    store.close()
    assert ask(desk.open(), (1, NOON))[0]["x"] == 1.0


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
    after = ask(store, *labels, view=wider)
    assert [(row["x"], row["y"]) for row in after] == [(1.0, None), (2.0, 20.0), (3.0, None), (4.0, 40.0)]


# --- merging and rewriting ---


def test_many_small_files_are_merged_and_every_position_still_counts(desk, ingest, ask) -> None:
    store = desk.open(merge_files=4)
    store.apply([PLAIN])
    for step in range(6):
        ingest(store, fact(1, NOON, NOON + step * US, x=float(step)))
        desk.clock.advance(HOUR)
    assert len(desk.files()) == 3
    due = NOON + 24 * HOUR
    known = [ask(store, (1, due), as_of=Watermark(position, due))[0]["x"] for position in range(7)]
    assert known == [None, *map(float, range(6))]
    assert store.watermark(PLAIN, NOON + 3 * HOUR).position == 4


def test_deletion_rewrites_only_files_that_hold_the_key_and_keeps_positions(desk, store, ingest, ask) -> None:
    ingest(store, fact(1, NOON, s="forget me"), fact(2, NOON, x=2.0))
    ingest(store, fact(2, NOON, NOON + US, x=3.0))
    ingest(store, fact(1, NOON, NOON + US, x=4.0))
    untouched = desk.files()[1]
    assert store.delete([PLAIN], places(1), NOON) == 2
    assert untouched in desk.files()
    assert len(desk.files()) == 2
    assert [ask(store, (2, NOON), as_of=Watermark(position, NOON))[0]["x"] for position in (1, 2)] == [2.0, 3.0]
    left = [path.read_bytes() for path in (desk.folder / "history").rglob("*") if path.is_file()]
    assert b"forget me" not in b"".join(left)
    assert ingest(store, fact(3, NOON, x=5.0)).position == 4


def test_a_deleted_key_stays_out_of_views_that_are_applied_later(store, ingest) -> None:
    ingest(store, fact(1, NOON, x=1.0))
    store.delete([PLAIN], places(1), NOON)
    second = replace(PLAIN, version=2)
    store.apply([second])
    assert ingest(store, fact(1, NOON, x=1.0), view=second).refused == 1


def test_reading_goes_on_while_files_are_merged_and_deleted(desk, ingest, ask) -> None:
    store, writer = desk.open(), desk.open(merge_files=2)
    store.apply([PLAIN])
    ingest(writer, *(fact(key, NOON, x=1.0) for key in range(50)))

    def write() -> None:
        for step in range(4):
            ingest(writer, *(fact(key, NOON, NOON + (step + 1) * US, x=step + 2.0) for key in range(50)))
            writer.delete([PLAIN], places(100 + step, step), NOON)

    def read() -> int:
        answers = 0
        while not done.done():
            values = {row["x"] for row in ask(store, *((key, NOON) for key in range(10, 50)))}
            assert len(values) == 1, "an answer mixes two states of the history"
            answers += 1
        return answers

    with ThreadPoolExecutor(3) as threads:
        done = threads.submit(write)
        readers = [threads.submit(read) for _ in range(2)]
        done.result()
        assert all(reader.result() for reader in readers)


# --- several writers, and death ---


INGEST = """
import sys
from pathlib import Path

from stackwright_interfaces.testing.context import NOON, make_context
from stackwright_interfaces.testing.half_cases import PLAIN, fact
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.testing.tables import normalised
from stackwright_spark.offline import SparkOfflineStore
from stackwright_spark.plugin import SparkConfig

folder, key, calls, rows = Path(sys.argv[1]), *map(int, sys.argv[2:])
conf = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
config = SparkConfig(path=folder / "history", shuffle_partitions=1, driver_memory="600m", conf=conf)
store = SparkOfflineStore(config, make_context(folder))
for call in range(calls):
    facts = [fact(key, NOON + (call * rows + row) * US, x=float(call)) for row in range(rows)]
    print(store.ingest(PLAIN, normalised(PLAIN, facts)).position, flush=True)
store.close()
"""


def _ingesting(folder: Path, key: int, calls: int, rows: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", INGEST, str(folder), str(key), str(calls), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.nightly
def test_processes_that_ingest_at_once_get_positions_of_their_own_and_lose_nothing(
    desk, store, ingest, everything
) -> None:
    writer = _ingesting(desk.folder, 1, calls=3, rows=1)
    taken = []
    while writer.poll() is None:
        taken.append(ingest(store, fact(2, NOON + len(taken) * US, x=9.0)).position)
    taken += [int(line) for line in writer.communicate(timeout=120)[0].splitlines()]
    assert writer.returncode == 0
    assert sorted(taken) == list(range(1, len(taken) + 1))
    assert everything(store) == [0.0, 1.0, 2.0, *[9.0] * (len(taken) - 3)]


def test_threads_that_ingest_at_once_get_positions_of_their_own(store, ingest, everything) -> None:
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda key: ingest(store, fact(key, NOON, x=float(key))), range(6)))
    assert sorted(report.position for report in reports) == list(range(1, 7))
    assert everything(store) == [*map(float, range(6))]


def test_whoever_waits_too_long_for_another_writer_is_told(desk, store, ingest) -> None:
    impatient = desk.open(lock_timeout=0.1)

    with ThreadPoolExecutor(1) as threads, store._histories.folder(PLAIN).writing():
        waiting = threads.submit(ingest, impatient, fact(1, NOON, x=1.0))
        with pytest.raises(FeatureStoreError, match=r"writing for more than 0.1 s.*lock_timeout"):
            waiting.result()


def test_an_ingestion_that_is_killed_while_spark_writes_leaves_history_as_it_was(
    desk, store, ingest, everything
) -> None:
    ingest(store, fact(1, NOON, x=7.0))
    writer = _ingesting(desk.folder, 2, calls=1, rows=20_000)
    folder = desk.files()[0].parent
    deadline = time.monotonic() + 120
    while not list(folder.glob(".tmp-*/rows")):
        assert writer.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(writer.pid, signal.SIGKILL)
    writer.communicate()
    assert list(folder.glob(".tmp-*"))
    assert everything(store) == [7.0]
    assert ingest(store, fact(3, NOON, x=8.0)).position == 2
    assert everything(store) == [7.0, 8.0]
    assert not list(folder.glob(".tmp-*"))


def test_an_ingestion_that_is_killed_at_any_step_leaves_history_as_it_was_or_whole(spark, tmp_path: Path) -> None:
    def open_(name: str) -> SparkOfflineStore:
        return SparkOfflineStore(SparkConfig(path=tmp_path / name, shuffle_partitions=1), make_context(tmp_path / name))

    def prepare(name: str) -> None:
        store = open_(name)
        _ingested(store, fact(1, NOON, x=1.0), fact(2, NOON, x=1.0))
        store.close()

    def work(name: str) -> None:
        # A thread has a connection to Spark of its own, so that the child does not speak in the parent's.
        rows = fact(1, NOON + US, x=2.0), fact(2, NOON + US, x=2.0)
        thread = Thread(target=lambda: _ingested(open_(name), *rows))
        thread.start()
        thread.join()

    killed = 0
    for name in crashes(work, prepare=prepare, at_most=8):
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
        assert list((tmp_path / name / "_temp").iterdir()) == []
    assert killed > 3


def _ingested(store: SparkOfflineStore, *facts: Any) -> None:
    store.apply([PLAIN])
    store.ingest(PLAIN, normalised(PLAIN, facts))


def _all_x(store: SparkOfflineStore) -> list[float]:
    until = Watermark(store.watermark(PLAIN).position, NOON + 24 * HOUR)
    return sorted(x for chunk in store.changes(PLAIN, None, until) for x in chunk["x"].to_pylist())
