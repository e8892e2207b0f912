"""Views that share a hash: which do, and what becomes of the others when one is dropped or lies elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_redis.joining import ROW, VIEWS_A_HASH
from stackwright_redis.online import RedisOnlineStore
from stackwright_redis.plugin import RedisConfig
from stackwright_redis.writing import Writer

OpenStore = Callable[..., RedisOnlineStore]
Held = dict[str, list[OnlineRow]]

KEYS = [b"%d" % number for number in range(300)]


def rows_of(view: str, size: int = 100, keys: list[bytes] = KEYS) -> list[OnlineRow]:
    return [OnlineRow(key, b"token", key.ljust(size, view[:1].encode())) for key in keys]


def write(store: RedisOnlineStore, held: Held) -> None:
    for view, rows in held.items():
        assert store.write(view, rows) == [True] * len(rows)


def assert_holds(store: RedisOnlineStore, held: Held) -> None:
    assert store.read(list(held), [KEYS] * len(held)) == [
        [{row.key: row.payload for row in rows}.get(key) for key in KEYS] for rows in held.values()
    ]
    for view, rows in held.items():
        assert {row.key: row for row in store.scan(view)} == {row.key: row for row in rows}


@pytest.fixture
def raw(server: Any) -> Iterator[redis.Redis]:
    with server.raw() as client:
        yield client


@pytest.fixture
def hashes(raw: redis.Redis, tmp_path: Path) -> Callable[[], set[str]]:
    """Tells which hashes lie under the prefix of the test, beside the catalogue."""
    prefix = f"{tmp_path}:"
    return lambda: {name.decode().removeprefix(prefix) for name in raw.keys(f"{prefix}*")} - {"#views"}


def test_views_of_the_same_keys_share_a_hash_and_others_do_not(
    store: RedisOnlineStore, hashes: Callable[[], set[str]]
) -> None:
    held = {view: rows_of(view) for view in ("first", "second", "third")}
    strangers = rows_of("strangers", keys=[b"another %s" % key for key in KEYS])
    write(store, {**held, "strangers": strangers})
    assert hashes() == {"#rows 1", "#rows 2"}
    assert_holds(store, held)
    assert {row.key for row in store.scan("strangers")} == {row.key for row in strangers}


def test_large_rows_lie_in_a_hash_of_their_own(store: RedisOnlineStore, hashes: Callable[[], set[str]]) -> None:
    held = {"first": rows_of("first"), "large": rows_of("large", ROW)}
    write(store, held)
    assert hashes() == {"#rows 1", "large"}
    assert_holds(store, held)


def test_shared_values_stay_small(store: RedisOnlineStore, hashes: Callable[[], set[str]]) -> None:
    held = {view: rows_of(view, ROW // 3) for view in ("first", "second", "third")}
    write(store, held)
    assert hashes() == {"#rows 1", "#rows 2"}
    assert_holds(store, held)


def test_a_hash_has_so_many_views_at_most(store: RedisOnlineStore, hashes: Callable[[], set[str]]) -> None:
    held = {f"view{number}": [OnlineRow(b"1", b"", b"")] for number in range(VIEWS_A_HASH + 1)}
    write(store, held)
    assert hashes() == {"#rows 1", "#rows 2"}
    assert_holds(store, held)


def test_what_lies_on_a_server_from_earlier_is_read_written_on_and_shared_once_it_was_dropped(
    store: RedisOnlineStore, raw: redis.Redis, tmp_path: Path, hashes: Callable[[], set[str]]
) -> None:
    older = {view: rows_of(view) for view in ("first", "second")}
    for view, rows in older.items():
        raw.hset(f"{tmp_path}:{view}", mapping={row.key: b"\x05token" + row.payload for row in rows})
    assert_holds(store, older)
    assert store.write("first", rows_of("first")[:2]) == [False] * 2
    assert_holds(store, older)
    assert hashes() == {"first", "second"}
    for view in older:
        assert store.drop(view) == 300
    write(store, older)
    assert hashes() == {"#rows 1"}
    assert_holds(store, older)


def test_what_an_earlier_version_writes_beside_a_shared_view_goes_when_that_is_dropped(
    store: RedisOnlineStore, raw: redis.Redis, tmp_path: Path
) -> None:
    held = {view: rows_of(view) for view in ("first", "second")}
    write(store, held)
    raw.hset(f"{tmp_path}:second", mapping={KEYS[0]: b"\x05token" + b"of the earlier version"})
    assert store.drop("second") == 300
    assert_holds(store, {"first": held["first"], "second": []})


def test_a_view_that_is_dropped_leaves_those_it_shared_with_and_no_trace(
    store: RedisOnlineStore, raw: redis.Redis, tmp_path: Path
) -> None:
    held = {"first": rows_of("first", keys=KEYS[:200]), "second": rows_of("second", keys=KEYS[50:])}
    write(store, held)
    assert store.drop("first") == 200
    assert_holds(store, {"first": [], "second": held["second"]})
    assert len(raw.hgetall(f"{tmp_path}:#rows 1")) == 250
    assert all(b"f" not in value[12:] for value in raw.hvals(f"{tmp_path}:#rows 1"))
    assert store.drop("first") == 0
    assert store.drop("second") == 250
    assert raw.keys(f"{tmp_path}:*") == []


def test_dropped_keys_leave_no_empty_values(store: RedisOnlineStore, raw: redis.Redis, tmp_path: Path) -> None:
    held = {view: rows_of(view) for view in ("first", "second")}
    write(store, held)
    assert store.drop("first", [*KEYS[:20], KEYS[0], b"absent"]) == 20
    assert_holds(store, {"first": held["first"][20:], "second": held["second"]})
    assert store.drop("second", KEYS[:10]) == 10
    assert raw.hlen(f"{tmp_path}:#rows 1") == 290


def test_a_drop_that_was_cut_short_is_ended_by_the_next(
    store: RedisOnlineStore, monkeypatch: pytest.MonkeyPatch, raw: redis.Redis, tmp_path: Path
) -> None:
    held = {view: rows_of(view) for view in ("first", "second", "third")}
    write(store, held)
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_sweep", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.drop("first")
    assert_holds(store, {"first": [], "second": held["second"], "third": held["third"]})
    anew = rows_of("first", size=50, keys=KEYS[100:])
    assert store.write("first", anew) == [True] * 200
    assert_holds(store, {**held, "first": anew})
    assert store.drop("second") == 300
    assert_holds(store, {"first": anew, "second": [], "third": held["third"]})
    assert {value[0] for value in raw.hvals(f"{tmp_path}:#rows 1")} == {1, 2}
    assert not [field for field in raw.hkeys(f"{tmp_path}:#views") if field.startswith(b"#left")]


def test_what_another_store_moved_is_read_and_written_where_it_lies(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    held = {view: rows_of(view) for view in ("first", "second")}
    write(one, held)
    assert_holds(other, held)
    other.drop("first")
    large = rows_of("first", ROW)
    write(other, {"first": large})
    assert_holds(one, {**held, "first": large})
    assert one.write("first", [OnlineRow(KEYS[0], b"token 2", b"newer"), *large[1:]]) == [True] + [False] * 299
    assert other.read(["first"], [KEYS[:1]]) == [[b"newer"]]


def test_stores_that_write_other_views_of_the_same_keys_lose_nothing(open_store: OpenStore) -> None:
    views = [f"{letter} view" for letter in "abcd"]
    stores = {view: open_store() for view in views}
    for view in views:
        stores[view].write(view, [OnlineRow(key, b"\0", b"") for key in KEYS])

    def go_on(view: str) -> None:
        for version in range(1, 15):
            stores[view].write(view, [OnlineRow(key, bytes([version]), view.encode() * version) for key in KEYS])

    threads = [threading.Thread(target=go_on, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_store().read(views, [KEYS] * 4) == [[view.encode() * 14] * 300 for view in views]


def test_a_server_without_memory_still_lets_shared_rows_be_dropped(
    open_store: OpenStore, start_redis: Callable[..., Any]
) -> None:
    server = start_redis("--maxmemory-policy", "noeviction")
    store = open_store(url=server.url)
    held = {view: rows_of(view) for view in ("first", "second", "third")}
    write(store, held)
    with server.raw() as raw:
        raw.config_set("maxmemory", "1mb")
    with pytest.raises(FeatureStoreError, match="no memory left"):
        store.write("first", [OnlineRow(KEYS[0], b"token 2", b"newer")])
    assert store.drop("first", KEYS[:10]) == 10
    assert store.drop("second") == 300
    assert_holds(store, {"first": held["first"][10:], "second": [], "third": held["third"]})
    server.kill()


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x00rest", b"\x01" + bytes(11) + b"rest"])
def test_a_shared_value_that_is_none_of_ours_is_an_error_not_an_answer(
    store: RedisOnlineStore, raw: redis.Redis, tmp_path: Path, value: bytes
) -> None:
    store.write("view", rows_of("view"))
    raw.hset(f"{tmp_path}:#rows 1", KEYS[5], value)
    reads = (
        lambda: store.read(["view"], [KEYS]),
        lambda: store.read(["view"], [KEYS[5:6]]),
        lambda: list(store.scan("view")),
    )
    for read in reads:
        with pytest.raises(FeatureStoreError, match="not one that stackwright wrote"):
            read()


VIEWS = ("first", "second", "third")
FEW = KEYS[:6]
views = st.sampled_from(VIEWS)
keys = st.lists(st.sampled_from(FEW), max_size=6)
orders = st.binary(max_size=2)
sizes = st.sampled_from((0, 1, 1, 9, ROW))


class SharingStore(RuleBasedStateMachine):
    """Two stores on one server, and a dictionary that says what they must hold."""

    config: RedisConfig
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.stores = [RedisOnlineStore(self.config, make_context(self.folder)) for _ in range(2)]
        for view in VIEWS:
            self.stores[0].drop(view)
        self.held: dict[str, dict[bytes, tuple[bytes, bytes]]] = {view: {} for view in VIEWS}

    @rule(number=st.integers(0, 1), view=views, written=keys, order=orders, size=sizes)
    def write(self, number: int, view: str, written: list[bytes], order: bytes, size: int) -> None:
        rows = [OnlineRow(key, order, view.encode() * size) for key in dict.fromkeys(written)]
        newer = [row.key not in self.held[view] or row.order > self.held[view][row.key][0] for row in rows]
        assert self.stores[number].write(view, rows) == newer
        stored = (row for row, is_newer in zip(rows, newer, strict=True) if is_newer)
        self.held[view].update({row.key: (row.order, row.payload) for row in stored})

    @rule(number=st.integers(0, 1), view=views, dropped=keys)
    def drop(self, number: int, view: str, dropped: list[bytes]) -> None:
        there = {key for key in dropped if self.held[view].pop(key, None)}
        assert self.stores[number].drop(view, dropped) == len(there)

    @rule(number=st.integers(0, 1), view=views)
    def drop_all(self, number: int, view: str) -> None:
        assert self.stores[number].drop(view) == len(self.held[view])
        self.held[view] = {}

    @invariant()
    def every_row_is_read_and_scanned(self) -> None:
        expected = [[self.held[view].get(key, (b"", None))[1] for key in FEW] for view in VIEWS]
        for store in self.stores:
            assert store.read(VIEWS, [FEW] * 3) == expected
        for view in VIEWS:
            found = {row.key: (row.order, row.payload) for row in self.stores[0].scan(view)}
            assert found == self.held[view]

    def teardown(self) -> None:
        for store in self.stores:
            store.close()


def test_whatever_is_written_and_dropped_each_view_holds_its_own(server: Any, tmp_path: Path) -> None:
    class Sharing(SharingStore):
        config = RedisConfig(url=server.url, prefix=str(tmp_path))
        folder = tmp_path

    case: Any = Sharing.TestCase
    case.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
    case().runTest()
