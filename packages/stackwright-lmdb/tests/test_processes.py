"""Many processes and threads on one file."""

from __future__ import annotations

import multiprocessing
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_lmdb.environment import shared_environment
from stackwright_lmdb.online import LMDBOnlineStore
from stackwright_lmdb.plugin import LMDBConfig

Start = Callable[[str], subprocess.Popen[str]]
OpenStore = Callable[..., LMDBOnlineStore]

READ_UNTIL_TOLD = """
import select
reader = store.reader()
keys = [b"%d" % number for number in range(KEYS)]
reads = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    first, second = reader.read(["first", "second"], [keys, keys], timeout=30)
    rows = [*first, *second]
    assert all(len(set(payload)) == 1 and len(payload) == SIZE for payload in rows), "torn"
    assert len(set(first)) == len(set(second)) == 1, "half a transaction"
    assert first[0][0] - second[0][0] in (0, 1), "two moments"
    reads += 1
print(reads, flush=True)
"""


def rows_of(version: int, keys: int, size: int = 9000) -> list[OnlineRow]:
    return [OnlineRow(b"%d" % key, bytes([version]), bytes([version]) * size) for key in range(keys)]


@pytest.mark.parametrize(("keys", "size"), [(3, 9000), (40, 9000), (40, 3000)])
def test_readers_in_other_processes_see_every_row_whole_and_all_views_of_one_moment(
    store: LMDBOnlineStore, start: Start, keys: int, size: int
) -> None:
    def write(version: int) -> None:
        store.write("first", rows_of(version, keys, size))
        store.write("second", rows_of(version, keys, size))

    write(0)
    readers = [start(f"KEYS, SIZE = {keys}, {size}" + READ_UNTIL_TOLD) for _ in range(3)]
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


def test_what_a_killed_writer_had_been_told_is_stored_is_there(store: LMDBOnlineStore, start: Start) -> None:
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


def test_two_writing_processes_take_turns_and_the_newest_rows_stay(store: LMDBOnlineStore, start: Start) -> None:
    writers = [start(f"FIRST = {first}" + WRITE_EVERY_SECOND_VERSION) for first in (0, 1)]
    stored = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert stored == [50, 50]
    assert {row.key: row.payload[0] for row in store.scan("view")} == {
        b"of writer 0": 98,
        b"of writer 1": 99,
        b"shared": 99,
    }


def test_a_writer_that_waits_in_vain_names_who_holds_the_lock(open_store: OpenStore, start: Start) -> None:
    holder = start(
        """
from stackwright_interfaces.writer_lock import WriterLock
with WriterLock(folder / "online.lmdb.writer").hold(10):
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


def test_a_forked_child_opens_connections_of_its_own(store: LMDBOnlineStore) -> None:
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


def test_a_forked_child_does_not_use_what_its_parent_opened(store: LMDBOnlineStore, tmp_path: Path) -> None:
    store.write("view", rows_of(1, 1))
    shared = shared_environment(tmp_path / "online.lmdb")
    inherited = shared.current(1)

    def in_the_child() -> None:
        assert store.read(["view"], [[b"0"]]) == [[bytes([1]) * 9000]]
        assert shared.current(1) is not inherited

    child = multiprocessing.get_context("fork").Process(target=in_the_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert shared.current(1) is inherited


def test_threads_share_one_store(store: LMDBOnlineStore) -> None:
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


def test_a_store_and_its_readers_share_the_file_until_the_last_is_closed(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    reader = store.reader()
    store.write("view", rows_of(1, 1))
    for handle in (store, other):
        handle.close()
        assert reader.read(["view"], [[b"0"]]) == [[bytes([1]) * 9000]]
    reader.close()
    assert open_store().read(["view"], [[b"0"]]) == [[bytes([1]) * 9000]]


def test_a_closed_store_says_so(store: LMDBOnlineStore) -> None:
    store.write("view", rows_of(1, 1))
    store.read(["view"], [[b"0"]])
    store.close()
    for action in (lambda: store.read(["view"], [[b"0"]]), lambda: store.write("view", rows_of(2, 1))):
        with pytest.raises(FeatureStoreError, match="was closed"):
            action()


def test_the_map_grows_with_the_rows_in_this_process_and_in_those_that_read(
    open_store: OpenStore, start: Start
) -> None:
    store = open_store(map_mb=1)
    store.write("first", rows_of(0, 40))
    store.write("second", rows_of(0, 40))
    opened_small = 'store = LMDBOnlineStore(LMDBConfig(path=Path("online.lmdb"), map_mb=1), make_context(folder))'
    reader = start(f"{opened_small}\nKEYS, SIZE = 40, 9000{READ_UNTIL_TOLD}")
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    for number in range(6):
        rows = [OnlineRow(b"%d %d" % (number, key), b"token", b"p" * 9000) for key in range(100 * 2**number)]
        assert store.write("grown", rows) == [True] * len(rows)
    said, _ = reader.communicate("stop\n", timeout=60)
    assert reader.returncode == 0
    assert int(said) > 0
    assert len(list(store.scan("grown"))) == 6300


def test_a_second_writer_takes_up_the_map_that_the_first_made_larger(open_store: OpenStore, start: Start) -> None:
    store = open_store(map_mb=1)
    store.write("view", rows_of(0, 1))
    other = start(
        """
store.write("view", [OnlineRow(b"other %d" % key, b"token", b"p" * 9000) for key in range(2000)])
print("done")
"""
    )
    assert other.communicate(timeout=30)[0] == "done\n"
    assert store.write("view", rows_of(1, 1)) == [True]
    assert store.read(["view"], [[b"0", b"other 1999"]]) == [[bytes([1]) * 9000, b"p" * 9000]]


def test_readers_that_were_killed_leave_no_trace(store: LMDBOnlineStore, start: Start, tmp_path: Path) -> None:
    store.write("view", rows_of(0, 3))
    reader = start(
        """
import lmdb
with lmdb.open(str(folder / "online.lmdb"), subdir=False).begin() as transaction:
    print("reading", flush=True)
    sys.stdin.readline()
"""
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    reader.kill()
    reader.wait()
    for version in range(1, 60):
        store.write("view", rows_of(version, 3))
    assert (tmp_path / "online.lmdb").stat().st_size < 40 * 9000


def test_a_fork_during_reads_and_writes_of_other_threads_leaves_both_processes_able_to_work(
    store: LMDBOnlineStore,
) -> None:
    store.write("view", rows_of(0, 3))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            store.read(["view"], [[b"0", b"1", b"2"]])

    def write() -> None:
        version = 0
        while not done.is_set():
            version = (version + 1) % 256
            store.write("busy", rows_of(version, 3))

    def in_the_child() -> None:
        assert store.read(["view"], [[b"2"]]) == [[bytes([0]) * 9000]]
        assert store.reader().read(["view"], [[b"1"]]) == [[bytes([0]) * 9000]]

    threads = [threading.Thread(target=work) for work in (read, write)]
    for thread in threads:
        thread.start()
    try:
        children = [multiprocessing.get_context("fork").Process(target=in_the_child) for _ in range(5)]
        for child in children:
            child.start()
            child.join(30)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert [child.exitcode for child in children] == [0] * 5


@given(st.dictionaries(st.binary(max_size=1200), st.binary(max_size=20), max_size=30))
def test_keys_of_any_length_are_found_scanned_and_dropped(rows: dict[bytes, bytes]) -> None:
    with TemporaryDirectory() as folder:
        store = LMDBOnlineStore(LMDBConfig(path=Path("online.lmdb")), make_context(Path(folder)))
        written = [OnlineRow(key, b"token", payload) for key, payload in rows.items()]
        assert store.write("view", written) == [True] * len(written)
        assert store.read(["view"], [list(rows)]) == [list(rows.values())]
        assert {row.key: row for row in store.scan("view")} == {row.key: row for row in written}
        dropped = list(rows)[::2]
        assert store.drop("view", dropped) == len(dropped)
        assert store.drop("view") == len(rows) - len(dropped)
        store.close()


@pytest.mark.parametrize("length", [494, 495, 511, 512])
def test_keys_about_the_longest_that_lmdb_takes_are_told_apart(store: LMDBOnlineStore, length: int) -> None:
    keys = [b"k" * length + end for end in (b"", b"a", b"b")]
    store.write("view", [OnlineRow(key, b"token", b"of " + key) for key in keys])
    assert store.read(["view"], [keys]) == [[b"of " + key for key in keys]]
    assert sorted(row.key for row in store.scan("view")) == keys
