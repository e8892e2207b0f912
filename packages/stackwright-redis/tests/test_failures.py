"""What can go wrong with a server and the way to it, and what is said about it."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from redis.connection import Connection, _HiredisParser, _RESP2Parser

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_redis import plugin, pool
from stackwright_redis.online import RedisOnlineStore

OpenStore = Callable[..., RedisOnlineStore]
OwnServer = Callable[..., Any]

ROWS = [OnlineRow(b"key %d" % number, b"token", b"payload" * 100) for number in range(300)]
KEYS = [row.key for row in ROWS]
NOTHING = b"*1\r\n$-1\r\n"
"""What a server says of one view that is not in the catalogue."""


def refused(store: RedisOnlineStore, match: str) -> None:
    actions: tuple[Callable[[], object], ...] = (
        lambda: store.read(["view"], [[b"k"]]),
        lambda: store.write("view", ROWS),
        lambda: list(store.scan("view")),
        lambda: store.drop("view"),
        lambda: store.drop("view", [b"k"]),
    )
    for action in actions:
        with pytest.raises(FeatureStoreError, match=match) as caught:
            action()
        assert "hidden" not in str(caught.value)


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds that fails at first."""
    deadline = time.monotonic() + 30
    while True:
        with suppress(FeatureStoreError):
            if holds():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a free port, and answer each connection by a function of the test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_server_that_is_not_there_is_named_without_the_password(open_store: OpenStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = open_store(url=f"redis://user:hidden@127.0.0.1:{port}/3")
    refused(store, rf"redis at 127\.0\.0\.1:{port}, database 3: the server cannot be reached")


def test_the_configuration_does_not_show_the_password() -> None:
    assert "hidden" not in repr(plugin.RedisConfig(url="redis://user:hidden@host/0"))


def test_a_wrong_password_is_told_apart_and_the_right_one_opens(open_store: OpenStore, own_server: OwnServer) -> None:
    port = own_server("--requirepass", "open sesame").port
    for user in ("", ":hidden@", "somebody:hidden@"):
        refused(open_store(url=f"redis://{user}127.0.0.1:{port}"), "user or password is refused")
    store = open_store(url=f"redis://:open%20sesame@127.0.0.1:{port}")
    assert store.write("view", ROWS) == [True] * 300


def test_a_user_with_the_rights_of_the_readme_may_do_everything_and_one_without_is_told(
    open_store: OpenStore, server: Any, tmp_path: Path
) -> None:
    rights = ("+hmget", "+hscan", "+hset", "+hdel", "+hlen", "+unlink", "+eval", "+evalsha", "+info")
    with server.raw() as raw:
        raw.execute_command("ACL", "SETUSER", "writer", "on", ">hidden", f"~{tmp_path}:*", *rights)
        raw.execute_command("ACL", "SETUSER", "reader", "on", ">hidden", f"~{tmp_path}:*", "+hmget", "+hscan")
    writer, reader = (open_store(url=f"redis://{user}:hidden@127.0.0.1:{server.port}") for user in ("writer", "reader"))
    assert writer.write("view", ROWS) == [True] * 300
    assert reader.read(["view"], [KEYS]) == [[row.payload for row in ROWS]]
    assert len(list(reader.scan("view"))) == 300
    for action in (lambda: reader.write("view", ROWS), lambda: reader.drop("view")):
        with pytest.raises(FeatureStoreError, match="this user may not do that"):
            action()
    assert writer.drop("view", KEYS[:10]) == 10
    assert writer.drop("view") == 290


def test_a_view_that_another_program_uses_is_told_apart(store: RedisOnlineStore, server: Any, tmp_path: Path) -> None:
    with server.raw() as raw:
        raw.set(f"{tmp_path}:view", "something else")
        for action in (lambda: store.read(["view"], [[b"k"]]), lambda: store.write("view", ROWS)):
            with pytest.raises(FeatureStoreError, match="another program keeps something else under this name"):
                action()
        assert raw.get(f"{tmp_path}:view") == b"something else"


def test_after_a_view_that_is_refused_the_next_read_gets_its_own_answer(
    store: RedisOnlineStore, server: Any, tmp_path: Path
) -> None:
    store.write("view", ROWS)
    with server.raw() as raw:
        raw.set(f"{tmp_path}:other", "something else")
    with pytest.raises(FeatureStoreError, match="another program"):
        store.read(["other", "view", "view"], [[b"k"], KEYS[:1], KEYS[1:2]])
    assert store.read(["view"], [KEYS[2:3]]) == [[ROWS[2].payload]]
    assert store.read(["view", "view"], [KEYS[3:4], [b"absent"]]) == [[ROWS[3].payload], [None]]


def test_a_value_that_is_none_of_ours_is_an_error_not_an_answer(
    store: RedisOnlineStore, server: Any, tmp_path: Path
) -> None:
    with server.raw() as raw:
        raw.hset(f"{tmp_path}:view", "k", b"")
    with pytest.raises(FeatureStoreError, match="not one that stackwright wrote"):
        store.read(["view"], [[b"k"]])
    with pytest.raises(FeatureStoreError, match="not one that stackwright wrote"):
        list(store.scan("view"))


def test_a_server_without_memory_says_so_keeps_its_rows_and_recovers(
    open_store: OpenStore, own_server: OwnServer
) -> None:
    server = own_server("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    store = open_store(url=server.url)
    store.write("view", ROWS)
    more = [OnlineRow(b"more %d" % number, b"token", b"p" * 9000) for number in range(2000)]
    with pytest.raises(FeatureStoreError, match=r"no memory left for more rows .*Raise its maxmemory"):
        store.write("large", more)
    assert store.read(["view"], [KEYS]) == [[row.payload for row in ROWS]]
    assert {row.payload for row in store.scan("large")} == {b"p" * 9000}
    assert store.drop("large") > 0
    # What was unlinked is freed in the background.
    eventually(lambda: store.write("view", [OnlineRow(KEYS[0], b"token 2", b"after")]) == [True])
    assert store.read(["view"], [KEYS[:1]]) == [[b"after"]]


def test_a_server_that_throws_rows_away_is_warned_about_once(
    open_store: OpenStore, own_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
    store = open_store(url=server.url)
    with caplog.at_level(logging.WARNING, logger="stackwright_redis"):
        store.write("view", ROWS[:1])
        store.write("view", ROWS)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "set it to noeviction" in caplog.text


def test_a_server_that_keeps_its_rows_is_not_warned_about(
    store: RedisOnlineStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.write("view", ROWS)
    assert caplog.records == []


def test_a_replica_answers_reads_and_refuses_writes(open_store: OpenStore, own_server: OwnServer) -> None:
    primary = own_server("--repl-diskless-sync-delay", "0")
    replica = own_server("--replicaof", "127.0.0.1", str(primary.port))
    open_store(url=primary.url).write("view", ROWS)
    store = open_store(url=replica.url)
    eventually(lambda: store.read(["view"], [KEYS[-1:]]) == [[ROWS[-1].payload]])
    with pytest.raises(FeatureStoreError, match=r"the server is a replica.*Name the primary"):
        store.write("view", [OnlineRow(b"k", b"token", b"p")])


def test_a_server_that_is_loading_says_so_and_then_answers(open_store: OpenStore, own_server: OwnServer) -> None:
    server = own_server()
    store = open_store(url=server.url)
    store.write("view", ROWS)
    with server.raw() as raw:
        for number in range(1000):
            raw.set(f"filler {number}", b"f" * 4096)
        raw.save()
    server.kill()
    server.options = ("--key-load-delay", "1500", "--loading-process-events-interval-bytes", "1024")
    server.start()
    with pytest.raises(FeatureStoreError, match="still loading its data"):
        store.read(["view"], [KEYS])
    eventually(lambda: store.read(["view"], [KEYS]) == [[row.payload for row in ROWS]])


def test_a_read_that_is_not_done_in_time_raises_a_timeout_and_the_next_gets_its_own_answer(
    store: RedisOnlineStore, server: Any
) -> None:
    store.write("view", ROWS)
    assert store.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]
    with server.raw() as raw:
        raw.execute_command("CLIENT", "PAUSE", "400", "ALL")
    started = time.monotonic()
    with pytest.raises(StoreTimeout, match="before its deadline"):
        store.read(["view"], [KEYS[:1]], timeout=0.05)
    assert time.monotonic() - started < 0.3
    assert store.read(["view", "unknown"], [KEYS[1:3], [b"k"]]) == [[row.payload for row in ROWS[1:3]], [None]]


class Looking(Connection):
    """Counts how often it was looked for an answer."""

    looks = 0

    def can_read(self, timeout: float = 0) -> bool:
        """Look."""
        type(self).looks += 1
        return super().can_read(timeout)


@pytest.mark.parametrize(("busy_wait", "awake"), [(0.0, False), (plugin.LONGEST_BUSY_WAIT, True)])
def test_reads_look_out_for_their_answers_and_writes_do_not(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, busy_wait: float, awake: bool
) -> None:
    monkeypatch.setattr(pool, "Connection", Looking)
    store = open_store(busy_wait=busy_wait)
    store.write("view", ROWS[:1])
    monkeypatch.setattr(Looking, "looks", 0)
    store.read(["view"], [KEYS[:1]])
    assert (Looking.looks > 0) == awake
    monkeypatch.setattr(Looking, "looks", 0)
    store.write("view", ROWS[1:2])
    assert Looking.looks == 1, "whether the connection still stands"


def test_a_read_beside_another_does_not_look_out_for_its_answer(
    open_store: OpenStore, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "Connection", Looking)
    store = open_store(busy_wait=plugin.LONGEST_BUSY_WAIT)
    store.write("view", ROWS)
    with server.raw() as raw:
        raw.execute_command("CLIENT", "PAUSE", "800", "ALL")
    monkeypatch.setattr(Looking, "looks", 0)
    other = threading.Thread(target=store.read, args=(["view"], [KEYS]))
    other.start()
    eventually(lambda: Looking.looks > 0)
    time.sleep(0.1)
    monkeypatch.setattr(Looking, "looks", 0)
    assert store.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]
    other.join()
    assert Looking.looks == 0


@pytest.mark.parametrize("parser", [_HiredisParser, _RESP2Parser])
@pytest.mark.parametrize("busy_wait", [0.0, plugin.LONGEST_BUSY_WAIT])
def test_a_deadline_holds_whatever_reads_the_answer_and_waits_for_it(
    open_store: OpenStore, server: Any, monkeypatch: pytest.MonkeyPatch, parser: type, busy_wait: float
) -> None:
    monkeypatch.setattr(pool, "Connection", partial(Connection, parser_class=parser))
    store = open_store(busy_wait=busy_wait)
    store.write("view", ROWS)
    for _ in range(3):
        assert store.read(["view"], [KEYS]) == [[row.payload for row in ROWS]]
    with server.raw() as raw:
        raw.execute_command("CLIENT", "PAUSE", "400", "ALL")
    started = time.monotonic()
    with pytest.raises(StoreTimeout, match="before its deadline"):
        store.read(["view"], [KEYS], timeout=0.05)
    assert time.monotonic() - started < 0.3


def test_a_server_that_answers_nobody_is_waited_for_up_to_the_configured_time(open_store: OpenStore) -> None:
    with listener(lambda connection: time.sleep(0.3)) as port:
        store = open_store(url=f"redis://127.0.0.1:{port}", timeout=0.1)
        with pytest.raises(StoreTimeout):
            store.read(["view"], [[b"k"]])
        with pytest.raises(FeatureStoreError, match="no answer in time"):
            store.drop("view")


def test_a_deadline_that_has_passed_is_a_timeout(store: RedisOnlineStore) -> None:
    with pytest.raises(StoreTimeout):
        store.read(["view"], [[b"k"]], timeout=0.0)


def test_a_write_whose_answer_is_lost_is_not_sent_again(open_store: OpenStore) -> None:
    received: list[bytes] = []

    def hang_up_on_writes(connection: socket.socket) -> None:
        while said := connection.recv(65536):
            received.append(said)
            if b"EVALSHA" in said:
                return
            connection.sendall(b"$0\r\n\r\n" if b"INFO" in said else NOTHING)

    with listener(hang_up_on_writes) as port:
        store = open_store(url=f"redis://127.0.0.1:{port}")
        with pytest.raises(FeatureStoreError, match=r"broke off the connection.*will not be stored twice"):
            store.write("view", [OnlineRow(b"k", b"token", b"large" * 1000)])
    assert sum(b"EVALSHA" in said for said in received) == 1


def test_a_scan_gives_once_what_the_server_names_twice(open_store: OpenStore) -> None:
    pages = iter(
        [
            NOTHING,
            b"*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$3\r\n\x01tA\r\n",
            b"*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$3\r\n\x01tA\r\n$1\r\nb\r\n$3\r\n\x01tB\r\n",
        ]
    )

    def name_one_twice(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(next(pages))

    with listener(name_one_twice) as port:
        store = open_store(url=f"redis://127.0.0.1:{port}")
        assert list(store.scan("view")) == [OnlineRow(b"a", b"t", b"A"), OnlineRow(b"b", b"t", b"B")]
        store.close()


def test_connections_that_the_server_ended_are_replaced(store: RedisOnlineStore, server: Any) -> None:
    for _ in range(2):
        store.write("view", ROWS)
        with server.raw() as raw:
            raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert store.read(["view"], [KEYS[:1]]) == [[ROWS[0].payload]]
        with server.raw() as raw:
            raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert store.write("view", [OnlineRow(b"k", time.time_ns().to_bytes(8, "big"), b"p")]) == [True]


def test_scripts_that_the_server_forgot_are_sent_again(store: RedisOnlineStore, server: Any) -> None:
    store.write("view", ROWS[:1])
    with server.raw() as raw:
        raw.script_flush()
    assert store.write("view", ROWS) == [False] + [True] * 299
    with server.raw() as raw:
        raw.script_flush()
    assert store.drop("view") == 300


class Load:
    """Threads that write versions of rows, each of its own, and threads that read what was confirmed."""

    def __init__(self, store: RedisOnlineStore) -> None:
        self.store = store
        self.confirmed = dict.fromkeys(range(3), 0)
        self.outages: list[str] = []
        self.faults: list[BaseException] = []
        self.done = threading.Event()
        actions = [lambda number=number: self.write(number) for number in self.confirmed] + [self.read] * 2
        self.threads = [threading.Thread(target=self.go_on, args=(action,)) for action in actions]

    def go_on(self, action: Callable[[], None]) -> None:
        while not self.done.is_set():
            try:
                action()
            except FeatureStoreError as error:
                self.outages.append(str(error))
                time.sleep(0.01)
            except BaseException as error:
                self.faults.append(error)
                return

    def write(self, number: int) -> None:
        # After an outage the next version is greater by two, since the last may have been stored unconfirmed.
        version = self.confirmed[number] + 1 + len(self.outages)
        rows = [OnlineRow(b"%d %d" % (number, key), version.to_bytes(8, "big"), b"%d" % version) for key in range(50)]
        assert self.store.write("view", rows) == [True] * 50
        self.confirmed[number] = version

    def read(self) -> None:
        at_least = dict(self.confirmed)
        (found,) = self.store.read(["view"], [[b"%d 0" % number for number in at_least]])
        for number, payload in zip(at_least, found, strict=True):
            assert int(payload or 0) >= at_least[number]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()


def test_a_server_that_is_killed_under_load_loses_nothing_it_confirmed_and_is_found_again(
    open_store: OpenStore, own_server: OwnServer
) -> None:
    server = own_server("--appendonly", "yes", "--appendfsync", "always")
    store = open_store(url=server.url)
    with Load(store) as load:
        for _ in range(2):
            time.sleep(0.4)
            server.kill()
            time.sleep(0.1)
            before = dict(load.confirmed)
            server.start()
            eventually(lambda before=before: all(load.confirmed[number] > before[number] for number in before))
    assert load.faults == []
    assert load.outages
    assert all("cannot be reached" in said or "still loading" in said for said in load.outages)
    for number, version in load.confirmed.items():
        (payloads,) = store.read(["view"], [[b"%d %d" % (number, key) for key in range(50)]])
        assert set(payloads) == {b"%d" % version}


def test_an_encrypted_connection_is_made_and_one_to_a_stranger_is_not(
    open_store: OpenStore, own_server: OwnServer, tmp_path: Path, program: Callable[[str, str], str]
) -> None:
    openssl = program("openssl", "openssl")
    for name in ("ours", "stranger"):
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-days", "2", "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            ],
            check=True,
            capture_output=True,
        )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own_server(
        *("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(tmp_path / "ours.crt")),
        *("--tls-cert-file", str(tmp_path / "ours.crt"), "--tls-key-file", str(tmp_path / "ours.key")),
    )
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}"
    store = open_store(url=f"{url}/ours.crt")
    assert store.write("view", ROWS) == [True] * 300
    assert store.read(["view"], [KEYS], timeout=10) == [[row.payload for row in ROWS]]
    refused(open_store(url=f"{url}/stranger.crt"), "cannot be reached.*certificate")


def test_a_socket_in_the_file_system_serves_too(open_store: OpenStore, own_server: OwnServer) -> None:
    server = own_server("--unixsocket", "redis.sock")
    store = open_store(url=f"unix://{str(server.folder).replace(' ', '%20')}/redis.sock")
    assert store.write("view", ROWS) == [True] * 300
    assert store.read(["view"], [KEYS]) == [[row.payload for row in ROWS]]


def test_a_url_that_is_not_understood_is_refused_without_showing_its_password(tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreError, match=r"url is not understood.*%2F") as caught:
        RedisOnlineStore(plugin.RedisConfig(url="redis://:hidden/secret@localhost/0"), make_context(tmp_path))
    assert "hidden" not in "".join(traceback.format_exception(caught.value, limit=0))


def test_an_unknown_option_of_the_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreError, match=r"an option of the URL is refused.*'max_konnections'"):
        RedisOnlineStore(plugin.RedisConfig(url="redis://localhost/0?max_konnections=3"), make_context(tmp_path))


@pytest.mark.parametrize(
    "options", [{"url": "http://hidden"}, {"timeout": 0.0}, {"pool_size": 0}, {"busy_wait": -0.1}, {"busy_wait": 50.0}]
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))) as caught:
        plugin.RedisConfig(**options)
    assert "hidden" not in str(caught.value)
