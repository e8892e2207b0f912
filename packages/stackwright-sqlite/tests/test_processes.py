"""Many processes and threads on one file."""

from __future__ import annotations

import multiprocessing
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_sqlite.online import SQLiteOnlineStore

Start = Callable[[str], subprocess.Popen[str]]

READ_UNTIL_TOLD = """
import select
reader = store.reader()
keys = [b"%d" % number for number in range(KEYS)]
reads = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    first, second = reader.read(["first", "second"], [keys, keys], timeout=30)
    rows = first + second
    assert all(len(set(payload)) == 1 and len(payload) == 9000 for payload in rows), "torn"
    assert len(set(first)) == len(set(second)) == 1, "half a transaction"
    assert first[0][0] - second[0][0] in (0, 1), "two moments"
    reads += 1
print(reads, flush=True)
"""


def rows_of(version: int, keys: int) -> list[OnlineRow]:
    return [OnlineRow(b"%d" % key, bytes([version]), bytes([version]) * 9000) for key in range(keys)]


@pytest.mark.parametrize("keys", [3, 40])
def test_readers_in_other_processes_see_every_row_whole_and_all_views_of_one_moment(
    store: SQLiteOnlineStore, start: Start, keys: int
) -> None:
    def write(version: int) -> None:
        store.write("first", rows_of(version, keys))
        store.write("second", rows_of(version, keys))

    write(0)
    readers = [start(f"KEYS = {keys}" + READ_UNTIL_TOLD) for _ in range(3)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for version in range(1, 40):
        write(version)
    for reader in readers:
        said, _ = reader.communicate("stop\n", timeout=60)
        assert reader.returncode == 0
        assert int(said) > 0


WRITE_FOREVER = """
for version in range(1, 10**6):
    store.write("view", [OnlineRow(b"%d" % key, version.to_bytes(4, "big"), b"%d" % version) for key in range(50)])
    print(version, flush=True)
"""


def test_what_a_killed_writer_had_been_told_is_stored_is_there(store: SQLiteOnlineStore, start: Start) -> None:
    writer = start(WRITE_FOREVER)
    assert writer.stdout is not None
    for _ in range(20):
        told = int(writer.stdout.readline())
    writer.kill()
    said = writer.stdout.read().split()
    told = int(said[-1]) if said else told
    (payloads,) = store.reader().read(["view"], [[b"%d" % key for key in range(50)]])
    (stored,) = {int(payload or 0) for payload in payloads}
    assert stored in {told, told + 1}
    assert store.write("view", [OnlineRow(b"0", (10**6).to_bytes(4, "big"), b"next")]) == [True]


WRITE_EVERY_SECOND_VERSION = """
alone = 0
for version in range(FIRST, 100, 2):
    rows = [OnlineRow(key, bytes([version]), bytes([version])) for key in (b"of writer %d" % FIRST, b"shared")]
    alone += store.write("view", rows)[0]
print(alone)
"""


def test_two_writing_processes_take_turns_and_the_newest_rows_stay(store: SQLiteOnlineStore, start: Start) -> None:
    writers = [start(f"FIRST = {first}" + WRITE_EVERY_SECOND_VERSION) for first in (0, 1)]
    stored = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert stored == [50, 50]
    assert {row.key: row.payload[0] for row in store.scan("view")} == {
        b"of writer 0": 98,
        b"of writer 1": 99,
        b"shared": 99,
    }


def test_a_writer_that_waits_in_vain_names_who_holds_the_lock(
    open_store: Callable[..., SQLiteOnlineStore], start: Start
) -> None:
    holder = start(
        """
from stackwright_interfaces.writer_lock import WriterLock
with WriterLock(folder / "online.db.lock").hold(10):
    print("held", flush=True)
    sys.stdin.readline()
"""
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    store = open_store(lock_timeout=0.1)
    with pytest.raises(FeatureStoreError, match=f"process {holder.pid} has been writing for more than 0.1 s"):
        store.write("view", rows_of(1, 1))
    holder.communicate("\n", timeout=30)
    assert store.write("view", rows_of(1, 1)) == [True]


def test_a_forked_child_opens_connections_of_its_own(store: SQLiteOnlineStore) -> None:
    store.write("view", rows_of(1, 2))
    assert store.read(["view"], [[b"0"]]) == [[bytes([1]) * 9000]]

    def in_the_child() -> None:
        assert store.read(["view"], [[b"0"]]) == [[bytes([1]) * 9000]]
        assert store.write("view", rows_of(2, 1)) == [True]
        store.close()

    child = multiprocessing.get_context("fork").Process(target=in_the_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert store.read(["view"], [[b"0", b"1"]]) == [[bytes([2]) * 9000, bytes([1]) * 9000]]
    assert store.write("view", rows_of(3, 1)) == [True]


def test_threads_share_one_store(store: SQLiteOnlineStore) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for version in range(10):
                key = b"%d" % number
                assert store.write("view", [OnlineRow(key, bytes([version]), b"%d" % version)]) == [True]
                assert store.read(["view"], [[key]]) == [[b"%d" % version]]
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(list(store.scan("view"))) == 6


def test_closing_the_last_connection_leaves_one_file(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    store.write("view", rows_of(1, 3))
    store.read(["view"], [[b"0"]])
    assert (tmp_path / "online.db-wal").exists()
    store.close()
    assert {path.name for path in tmp_path.glob("online.db*")} == {"online.db", "online.db.lock"}


def test_a_closed_store_says_so(store: SQLiteOnlineStore) -> None:
    store.write("view", rows_of(1, 1))
    store.read(["view"], [[b"0"]])
    store.close()
    for action in (lambda: store.read(["view"], [[b"0"]]), lambda: store.write("view", rows_of(2, 1))):
        with pytest.raises(FeatureStoreError, match="was closed"):
            action()
