"""Many processes and threads on one table."""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_postgres import writing
from stackwright_postgres.online import PostgresOnlineStore

Start = Callable[[str], subprocess.Popen[str]]

FIRST_WRITE = """
print("ready", flush=True)
sys.stdin.readline()
print(store.write("view", [OnlineRow(b"%d" % NUMBER, b"token", b"p"), OnlineRow(b"shared", b"token", b"p")]))
"""


def test_processes_that_make_the_table_at_the_same_time_do_not_disturb_each_other(
    store: PostgresOnlineStore, start: Start
) -> None:
    writers = [start(f"NUMBER = {number}" + FIRST_WRITE) for number in range(6)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = sorted(writer.communicate(timeout=60)[0] for writer in writers)
    assert said == ["[True, False]\n"] * 5 + ["[True, True]\n"]
    assert len(list(store.scan("view"))) == 7


def run_together(*works: Callable[[], None]) -> None:
    faults: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []


def test_writers_and_droppers_that_overlap_do_not_wait_in_a_ring(
    store: PostgresOnlineStore, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [b"%d" % number for number in range(200)]
    store.write("view", [OnlineRow(keys[0], b"", b"")])
    monkeypatch.setattr(writing, "_TRIES", 1)
    monkeypatch.setattr(writing, "_CHUNK_ROWS", 70)

    def write(seed: int) -> None:
        for version in range(15):
            rows = [OnlineRow(key, bytes([version, seed]), bytes([version, seed])) for key in keys]
            random.Random(seed * 100 + version).shuffle(rows)
            store.write("view", rows)

    def drop(seed: int) -> None:
        for turn in range(15):
            store.drop("view", random.Random(seed * 100 + turn).sample(keys, 150))
            if turn % 5 == 0:
                store.drop("view")

    run_together(
        *(lambda seed=seed: write(seed) for seed in range(3)), *(lambda seed=seed: drop(seed) for seed in (8, 9))
    )
    with server.admin() as admin:
        assert admin.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'").fetchone() == (0,)


def test_of_overlapping_writers_the_greatest_token_stays_and_each_row_is_taken_by_one(
    store: PostgresOnlineStore,
) -> None:
    taken: list[bool] = []
    rows = [OnlineRow(b"%d" % number, b"token", b"p") for number in range(500)]
    run_together(*[lambda: taken.extend(store.write("view", rows))] * 4)
    assert sum(taken) == 500


def test_a_write_of_many_chunks_is_one_transaction(store: PostgresOnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_CHUNK_BYTES", 1000)
    keys = [b"%d" % number for number in range(300)]
    done = threading.Event()
    seen: set[int] = set()

    def write() -> None:
        for version in range(20):
            store.write("view", [OnlineRow(key, bytes([version]), bytes([version])) for key in keys])
        done.set()

    def read() -> None:
        while not done.is_set():
            seen.add(len(set(store.read(["view"], [keys])[0])))

    run_together(write, read)
    assert seen == {1}


def test_all_views_of_one_read_are_of_one_moment(store: PostgresOnlineStore) -> None:
    done = threading.Event()
    wrong: list[object] = []

    def write() -> None:
        for version in range(1, 100):
            store.write("first", [OnlineRow(b"k", bytes([version]), bytes([version]))])
            store.write("second", [OnlineRow(b"k", bytes([version]), bytes([version]))])
        done.set()

    def read(count: int) -> None:
        while not done.is_set():
            first, second = store.read(["first", "second"], [[b"k"] * count] * 2)
            ahead = (first[0] or b"\0")[0] - (second[0] or b"\0")[0]
            if len({*first}) != 1 or len({*second}) != 1 or ahead not in (0, 1):
                wrong.append((first, second))

    run_together(write, lambda: read(1), lambda: read(40))
    assert wrong == []


def test_a_forked_child_opens_connections_of_its_own(store: PostgresOnlineStore) -> None:
    store.write("view", [OnlineRow(b"k", b"1", b"of the parent")])
    assert store.read(["view"], [[b"k"]]) == [[b"of the parent"]]

    def in_the_child() -> None:
        for version in range(2, 50):
            assert store.write("view", [OnlineRow(b"child", bytes([version]), b"%d" % version)]) == [True]
            assert store.read(["view"], [[b"child"]]) == [[b"%d" % version]]
        store.close()

    child = multiprocessing.get_context("fork").Process(target=in_the_child)
    child.start()
    while child.is_alive():
        assert store.read(["view"], [[b"k"]]) == [[b"of the parent"]]
    child.join(30)
    assert child.exitcode == 0
    assert store.read(["view"], [[b"child"]]) == [[b"49"]]


def test_no_more_connections_are_opened_than_allowed(
    server: Any, open_store: Callable[..., PostgresOnlineStore]
) -> None:
    url = server.url(rest="?application_name=counted")
    store = open_store(url=url, pool_size=3)
    store.write("view", [OnlineRow(b"k", b"1", b"p")])
    run_together(*[lambda: [store.read(["view"], [[b"k"]]) for _ in range(50)] and None] * 12)
    with server.admin() as admin:
        counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'"
        assert 1 <= admin.execute(counted).fetchone()[0] <= 3


def test_a_scan_goes_on_while_its_caller_writes_and_drops(
    open_store: Callable[..., PostgresOnlineStore],
) -> None:
    store = open_store(pool_size=1)
    rows = [OnlineRow(b"%05d" % number, b"1", b"p" * (number % 50)) for number in range(1_500)]
    store.write("view", rows)
    seen = []
    for row in store.scan("view"):
        seen.append(row)
        if len(seen) % 100 == 1:
            store.write("view", [OnlineRow(row.key, b"2", b"newer")])
            store.drop("view", [b"absent"])
    assert seen == rows


def test_a_view_is_dropped_in_batches(store: PostgresOnlineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_KEYS_AT_ONCE", 100)
    keys = [b"", *(b"%d" % number for number in range(999))]
    store.write("view", [OnlineRow(key, b"1", b"p") for key in keys])
    store.write("other", [OnlineRow(b"k", b"1", b"p")])
    assert store.drop("view", (key for key in [*keys[:250], *keys[:10]])) == 250
    assert store.drop("view") == 750
    assert [row.key for row in store.scan("other")] == [b"k"]
