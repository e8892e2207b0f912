"""Many threads, processes and stores on one server."""

from __future__ import annotations

import multiprocessing
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_redis import joining, reading, writing
from stackwright_redis.online import RedisOnlineStore

Start = Callable[[str], subprocess.Popen[str]]
OpenStore = Callable[..., RedisOnlineStore]


def rows_of(version: int, keys: int, size: int = 100) -> list[OnlineRow]:
    return [OnlineRow(b"%d" % key, bytes([version]), bytes([version]) * size) for key in range(keys)]


def test_stores_of_different_prefixes_do_not_mix(open_store: OpenStore, tmp_path: Path) -> None:
    one, other = open_store(prefix=f"{tmp_path} one"), open_store(prefix=f"{tmp_path} other")
    one.write("view", rows_of(2, 3))
    assert other.write("view", rows_of(1, 3)) == [True] * 3
    assert other.drop("view") == 3
    assert one.read(["view"], [[b"0"]]) == [[bytes([2]) * 100]]


def test_all_views_of_a_read_come_in_one_round_trip(store: RedisOnlineStore, server: Any) -> None:
    for view in ("first", "second", "third"):
        store.write(view, rows_of(1, 2500))
    store.write("large", rows_of(1, 10, size=joining.ROW))
    views, keys = ["first", "second", "large", "third"], [b"%d" % key for key in range(2500)]
    store.read(views, [keys] * 4)
    with server.raw() as raw:
        before = raw.info("stats")
        found = store.read(views, [keys, keys[:1], keys, keys])
        after = raw.info("stats")
    assert [len(payloads) for payloads in found] == [2500, 1, 2500, 2500]
    of_views_that_share = 3 + 1
    assert after["total_commands_processed"] - before["total_commands_processed"] == 1 + of_views_that_share + 3 + 1
    assert after["total_connections_received"] == before["total_connections_received"]


class Made(Sequence[list[bytes]]):
    """Lists of keys that are made each time they are asked for."""

    def __getitem__(self, place: Any) -> Any:
        return [[b"1", b"2"], [b"2", b"1"]][place]

    def __len__(self) -> int:
        return 2


def test_keys_are_any_sequences_one_for_each_view(store: RedisOnlineStore) -> None:
    store.write("view", [OnlineRow(key, b"token", key) for key in (b"1", b"2")])
    assert store.read(["view", "view"], Made()) == [[b"1", b"2"], [b"2", b"1"]]
    assert store.read(("view", "view"), ((b"1",), (b"2", b"2"))) == [[b"1"], [b"2", b"2"]]
    for views, keys in ((["view"], Made()), (["view", "view"], [[b"1"]])):
        with pytest.raises(ValueError, match="argument 2 is"):
            store.read(views, keys)


def test_rows_larger_than_a_batch_are_written_one_by_one(store: RedisOnlineStore) -> None:
    rows = rows_of(1, 5, size=writing.BYTES // 2 + 1)
    assert store.write("view", rows) == [True] * 5
    assert store.read(["view"], [[row.key for row in rows]]) == [[row.payload for row in rows]]


@pytest.mark.parametrize("count", [writing.ROWS - 1, writing.ROWS, writing.ROWS + 1, reading.CHUNK + 1])
def test_batches_keep_the_order_of_the_rows(store: RedisOnlineStore, count: int) -> None:
    store.write("view", rows_of(1, count)[::3])
    taken = store.write("view", rows_of(1, count))
    assert taken == [place % 3 != 0 for place in range(count)]
    assert store.drop("view", [b"%d" % key for key in range(count)]) == count


def test_a_scan_gives_each_row_once_while_the_view_grows_and_shrinks(store: RedisOnlineStore) -> None:
    lasting = rows_of(1, 1000)
    passing = [OnlineRow(b"passing %d" % number, b"token", b"p") for number in range(20_000)]
    store.write("view", lasting)
    seen: list[bytes] = []
    for number, row in enumerate(store.scan("view")):
        seen.append(row.key)
        if number == 300:
            store.write("view", passing)
        if number == 3000:
            store.drop("view", [row.key for row in passing])
    assert len(seen) == len(set(seen))
    assert {row.key for row in lasting} <= set(seen)


def test_a_large_view_is_dropped_at_once(store: RedisOnlineStore) -> None:
    store.write("view", [OnlineRow(b"%d" % number, b"token", b"p" * 100) for number in range(50_000)])
    started = time.monotonic()
    assert store.drop("view") == 50_000
    assert time.monotonic() - started < 1
    assert list(store.scan("view")) == []


WRITE_EVERY_SECOND_VERSION = """
alone = 0
for version in range(FIRST, 100, 2):
    rows = [OnlineRow(key, bytes([version]), bytes([version])) for key in (b"of writer %d" % FIRST, b"shared")]
    alone += store.write("view", rows)[0]
print(alone)
"""


def test_two_writing_processes_do_not_undo_each_other_and_the_newest_rows_stay(
    store: RedisOnlineStore, start: Start
) -> None:
    writers = [start(f"FIRST = {first}" + WRITE_EVERY_SECOND_VERSION) for first in (0, 1)]
    stored = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert stored == [50, 50]
    assert {row.key: row.payload[0] for row in store.scan("view")} == {
        b"of writer 0": 98,
        b"of writer 1": 99,
        b"shared": 99,
    }


READ_UNTIL_TOLD = """
import select
reader = store.reader()
keys = [b"%d" % number for number in range(40)]
reads = 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    (rows,) = reader.read(["view"], [keys], timeout=30)
    assert all(len(set(payload)) == 1 and len(payload) == 9000 for payload in rows), "torn"
    reads += 1
print(reads, flush=True)
"""


def test_readers_in_other_processes_see_every_row_whole(store: RedisOnlineStore, start: Start) -> None:
    store.write("view", rows_of(0, 40, size=9000))
    readers = [start(READ_UNTIL_TOLD) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for version in range(1, 40):
        store.write("view", rows_of(version, 40, size=9000))
    for reader in readers:
        said, _ = reader.communicate("stop\n", timeout=60)
        assert reader.returncode == 0
        assert int(said) > 0


def in_a_fork(action: Callable[[], None]) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=action)
    child.start()
    child.join(30)
    child.kill()
    return child.exitcode


def test_a_forked_child_opens_connections_of_its_own(store: RedisOnlineStore, server: Any) -> None:
    store.write("view", rows_of(1, 2))

    def in_the_child() -> None:
        assert store.read(["view"], [[b"0"]]) == [[bytes([1]) * 100]]
        assert store.write("other", rows_of(2, 1)) == [True]
        store.close()

    with server.raw() as raw:
        before = raw.info("stats")["total_connections_received"]
        assert in_a_fork(in_the_child) == 0
        assert store.read(["view", "other"], [[b"1"], [b"0"]]) == [[bytes([1]) * 100], [bytes([2]) * 100]]
        assert raw.info("stats")["total_connections_received"] == before + 1


def test_a_fork_while_every_connection_is_in_use_leaves_the_child_able_to_work(
    open_store: OpenStore, server: Any
) -> None:
    store = open_store(pool_size=1)
    store.write("view", rows_of(1, 2))
    with server.raw() as raw:
        raw.execute_command("CLIENT", "PAUSE", "300", "ALL")
    slow = threading.Thread(target=lambda: store.write("view", rows_of(2, 2)))
    slow.start()
    time.sleep(0.05)

    def in_the_child() -> None:
        assert len(store.read(["view"], [[b"0"]], timeout=20)[0][0] or b"") == 100
        assert store.write("view", rows_of(3, 2)) == [True, True]

    assert in_a_fork(in_the_child) == 0
    slow.join()
    assert store.read(["view"], [[b"1"]]) == [[bytes([3]) * 100]]


def test_threads_share_no_more_connections_than_allowed(open_store: OpenStore, server: Any) -> None:
    with server.raw() as raw:
        before = raw.info("stats")["total_connections_received"]
    store = open_store(pool_size=2)
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for version in range(30):
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
    with server.raw() as raw:
        assert raw.info("stats")["total_connections_received"] - before <= 2 + 1


def test_a_read_waits_for_a_free_connection_up_to_its_deadline(open_store: OpenStore, server: Any) -> None:
    store = open_store(pool_size=1)
    store.write("view", rows_of(1, 1))
    with server.raw() as raw:
        raw.execute_command("CLIENT", "PAUSE", "400", "ALL")
    slow = threading.Thread(target=lambda: store.read(["view"], [[b"0"]]))
    slow.start()
    time.sleep(0.05)
    with pytest.raises(StoreTimeout, match="all 1 connections were in use"):
        store.read(["view"], [[b"0"]], timeout=0.05)
    slow.join()
    assert store.read(["view"], [[b"0"]], timeout=5) == [[bytes([1]) * 100]]


def test_a_closed_store_says_so(store: RedisOnlineStore) -> None:
    store.write("view", rows_of(1, 1))
    store.close()
    for action in (lambda: store.read(["view"], [[b"0"]]), lambda: store.write("view", rows_of(2, 1))):
        with pytest.raises(FeatureStoreError, match="was closed"):
            action()


def test_nothing_is_told_to_the_server_about_the_library(store: RedisOnlineStore, server: Any) -> None:
    store.write("view", rows_of(1, 1))
    with server.raw() as raw:
        clients = [client for client in raw.client_list() if client["cmd"].startswith("evalsha")]
    assert clients
    assert {client.get("lib-name", "") for client in clients} == {""}
