"""A server that stops, is killed, or cuts connections, while a store is being used."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Self

import pytest

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_postgres.online import PostgresOnlineStore

ROWS = [OnlineRow(b"key %d" % number, b"token", b"payload %d" % number) for number in range(100)]
KEYS = [row.key for row in ROWS]


class Load:
    """Threads that write and read until told to stop, whatever the store refuses meanwhile.

    Attributes:
        told: key → the last version that was said to be stored.
        refused: the errors of the store.
        wrong: wrong answers, and errors of any other kind.
    """

    def __init__(self, store: PostgresOnlineStore) -> None:
        self.told: dict[int, int] = {}
        self.refused: list[FeatureStoreError] = []
        self.wrong: list[object] = []
        self._store = store
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(self._write, key)) for key in range(2)]
        self._threads += [threading.Thread(target=self._repeat, args=(self._read, key)) for key in range(2)]

    def _repeat(self, action: Callable[[int, int], None], key: int) -> None:
        for version in count(1):
            try:
                action(key, version)
            except FeatureStoreError as error:
                self.refused.append(error)
                time.sleep(0.01)
            except BaseException as error:
                self.wrong.append(error)
            if self._done.is_set() or self.wrong:
                return

    def _write(self, key: int, version: int) -> None:
        self._store.write("load", [OnlineRow(b"%d" % key, version.to_bytes(8, "big"), b"%d" % version)])
        self.told[key] = version

    def _read(self, _: int, version: int) -> None:
        asked = slice(0, 100 if version % 2 else 3)
        assert self._store.read(["view"], [KEYS[asked]]) == [[row.payload for row in ROWS[asked]]]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_restart_under_load_is_survived_and_nothing_that_was_stored_is_lost(
    server: Any, store: PostgresOnlineStore, how: signal.Signals
) -> None:
    store.write("view", ROWS)
    with Load(store) as load:
        wait_until(lambda: len(load.told) == 2 or bool(load.wrong))
        server.stop(how)
        wait_until(lambda: len(load.refused) > 20 or bool(load.wrong))
        server.start()
        before = dict(load.told)
        wait_until(lambda: all(load.told[key] > before[key] for key in before) or bool(load.wrong))
    assert load.wrong == []
    (payloads,) = store.read(["load"], [[b"0", b"1"]])
    assert all(int(payload or 0) >= load.told[key] for key, payload in enumerate(payloads))


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


CUT = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'stackwright'"


def test_a_connection_that_was_cut_while_idle_is_noticed_before_it_is_used(
    server: Any, store: PostgresOnlineStore
) -> None:
    store.write("view", ROWS)
    with server.admin() as admin:
        uses: list[Callable[[], object]] = [
            lambda: store.read(["view"], [KEYS[:1]]),
            lambda: store.write("view", ROWS),
            lambda: store.drop("view", [b"absent"]),
            lambda: list(store.scan("view")),
        ]
        for use in uses:
            assert admin.execute(CUT).fetchone()[0] >= 1
            use()


def test_a_read_whose_connection_is_cut_while_it_waits_is_done_again(
    server: Any, store: PostgresOnlineStore, schema: str
) -> None:
    store.write("view", ROWS)
    found: list[object] = []
    with server.admin() as admin:
        with admin.transaction():
            admin.execute(f'LOCK TABLE "{schema}".stackwright_online')
            reading = threading.Thread(target=lambda: found.append(store.read(["view"], [KEYS[:1]])))
            reading.start()
            with server.admin() as other:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                wait_until(lambda: other.execute(waiting).fetchone()[0] == 1)
                other.execute(CUT)
        reading.join(30)
    assert found == [[[ROWS[0].payload]]]


def test_a_write_whose_connection_is_cut_says_that_it_is_not_known(
    server: Any, store: PostgresOnlineStore, schema: str
) -> None:
    store.write("view", ROWS)
    found: list[BaseException] = []

    def write() -> None:
        try:
            store.write("view", [OnlineRow(b"key 0", b"token 2", b"p")])
        except BaseException as error:
            found.append(error)

    with server.admin() as admin:
        with admin.transaction():
            admin.execute(f'LOCK TABLE "{schema}".stackwright_online')
            writing = threading.Thread(target=write)
            writing.start()
            with server.admin() as other:
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                wait_until(lambda: other.execute(waiting).fetchone()[0] == 1)
                other.execute(CUT)
        writing.join(30)
    (error,) = found
    assert isinstance(error, FeatureStoreError)
    assert "Run the command again" in str(error)
    assert store.write("view", [OnlineRow(b"key 0", b"token 2", b"p")]) == [True]
