"""Which views share a table, and what becomes of them when one is dropped, grows, or comes from an older file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from stackwright_interfaces.feature_store import OnlineRow
from stackwright_sqlite import schema
from stackwright_sqlite.numbers import numbers_of
from stackwright_sqlite.online import SQLiteOnlineStore
from stackwright_sqlite.places import ROW, SAMPLE, VIEWS_A_TABLE

OpenStore = Callable[..., SQLiteOnlineStore]

KEYS = [b"%d" % number for number in range(300)]


def rows_of(view: str, size: int = 100, keys: list[bytes] = KEYS) -> list[OnlineRow]:
    return [OnlineRow(key, b"token", key.ljust(size, view[:1].encode())) for key in keys]


def tables(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "online.db")) as raw:
        return {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} - {"others"}


def assert_holds(store: SQLiteOnlineStore, held: dict[str, list[OnlineRow]]) -> None:
    assert store.read(list(held), [KEYS] * len(held)) == [
        [{row.key: row.payload for row in rows}.get(key) for key in KEYS] for rows in held.values()
    ]
    for view, rows in held.items():
        assert {row.key: row for row in store.scan(view)} == {row.key: row for row in rows}


def test_views_of_the_same_keys_share_a_table_and_others_do_not(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    held = {view: rows_of(view) for view in ("first", "second", "third")}
    held["strangers"] = rows_of("strangers", keys=[b"another %s" % key for key in KEYS])
    for view, rows in held.items():
        assert store.write(view, rows) == [True] * 300
    assert tables(tmp_path) == {"rows 1", "rows 2"}
    strangers = held.pop("strangers")
    assert_holds(store, held)
    assert {row.key for row in store.scan("strangers")} == {row.key for row in strangers}


def test_large_rows_lie_in_a_table_of_their_own(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    held = {"first": rows_of("first"), "large": rows_of("large", ROW)}
    for view, rows in held.items():
        store.write(view, rows)
    assert tables(tmp_path) == {"rows 1", "view large"}
    assert_holds(store, held)


def test_shared_rows_stay_small(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    held = {view: rows_of(view, ROW // 3) for view in ("first", "second", "third")}
    for view, rows in held.items():
        store.write(view, rows)
    assert tables(tmp_path) == {"rows 1", "rows 2"}
    assert_holds(store, held)


def test_a_table_has_so_many_views_at_most(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    held = {f"view{number}": [OnlineRow(b"1", b"", b"")] for number in range(VIEWS_A_TABLE + 1)}
    for view, rows in held.items():
        store.write(view, rows)
    assert tables(tmp_path) == {"rows 1", "rows 2"}
    assert_holds(store, held)


def test_a_view_whose_rows_grow_gets_a_table_of_its_own_and_open_readers_follow(
    store: SQLiteOnlineStore, tmp_path: Path
) -> None:
    held = {view: rows_of(view) for view in ("first", "second")}
    for view, rows in held.items():
        store.write(view, rows)
    reader = store.reader()
    assert reader.read(["second"], [KEYS]) == [[row.payload for row in held["second"]]]
    scanned = reader.scan("second")
    seen = {next(scanned).key}
    held["second"][:SAMPLE] = [OnlineRow(row.key, b"token 2", b"s" * ROW) for row in held["second"][:SAMPLE]]
    store.write("second", held["second"][:SAMPLE])
    assert tables(tmp_path) == {"rows 1", "view second"}
    for handle in (store, reader):
        assert_holds(handle, held)
    assert seen | {row.key for row in scanned} == set(KEYS)
    reader.close()


def test_a_few_large_rows_leave_their_view_where_it_is(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    held = {view: rows_of(view) for view in ("first", "second")}
    for view, rows in held.items():
        store.write(view, rows)
    held["second"][0] = OnlineRow(KEYS[0], b"token 2", b"s" * 2 * ROW)
    store.write("second", held["second"][:1])
    assert tables(tmp_path) == {"rows 1"}
    assert_holds(store, held)


def test_a_view_that_is_dropped_leaves_those_it_shared_with_and_no_trace(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    first, second = rows_of("first", keys=KEYS[:200]), rows_of("second")
    store.write("second", second)
    store.write("first", [*first, OnlineRow(b"person", b"token", b"a secret")])
    reader = store.reader()
    assert reader.read(["first"], [[b"person"]]) == [[b"a secret"]]
    assert store.drop("first") == 201
    assert_holds(reader, {"first": [], "second": second})
    assert store.drop("first") == 0
    assert store.write("first", first) == [True] * 200
    assert_holds(reader, {"first": first, "second": second})
    reader.close()
    assert store.drop("second") == 300
    assert_holds(store, {"first": first, "second": []})
    store.close()
    with closing(sqlite3.connect(tmp_path / "online.db")) as raw:
        assert raw.execute('SELECT count(*) FROM "rows 1"').fetchone() == (200,)
    assert b"a secret" not in (tmp_path / "online.db").read_bytes()


def test_the_last_view_of_a_table_takes_it_along(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    for view in ("first", "second"):
        store.write(view, rows_of(view))
        assert store.drop(view, [*KEYS[:2], KEYS[0], b"absent"]) == 2
    for view in ("first", "second"):
        assert store.drop(view) == 298
    assert tables(tmp_path) == set()


@pytest.fixture
def older(tmp_path: Path) -> dict[str, list[OnlineRow]]:
    """A file as it was when every view had a table of its own, and what it holds."""
    held = {view: rows_of(view) for view in ("first", "second")}
    with closing(sqlite3.connect(tmp_path / "online.db")) as raw, raw:
        raw.execute(schema.MAKE_OTHERS)
        for view, rows in held.items():
            raw.execute(
                f'CREATE TABLE "view {view}" '
                "(number INTEGER PRIMARY KEY, key BLOB NOT NULL, ord BLOB NOT NULL, payload BLOB NOT NULL)"
            )
            values = (
                (number, row.key, row.order, row.payload) for number, row in zip(numbers_of(KEYS), rows, strict=True)
            )
            raw.executemany(f'INSERT INTO "view {view}" VALUES (?, ?, ?, ?)', values)
        raw.execute(schema.UPSERT_OTHER, ('"view first"', b"of a taken number", b"token", b"p"))
        raw.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        raw.execute("PRAGMA user_version = 2")
    return {**held, "first": [*held["first"], OnlineRow(b"of a taken number", b"token", b"p")]}


def test_an_older_file_is_read_as_it_is(store: SQLiteOnlineStore, older: dict[str, list[OnlineRow]]) -> None:
    with closing(store.reader()) as reader:
        assert_holds(reader, older)
        assert reader.read(["first"], [[b"of a taken number"]]) == [[b"p"]]


def test_an_older_file_is_written_on_and_then_of_this_layout(
    store: SQLiteOnlineStore, older: dict[str, list[OnlineRow]], tmp_path: Path
) -> None:
    with closing(store.reader()) as reader:
        assert_holds(reader, older)
        assert store.write("second", rows_of("second")[:2]) == [False] * 2
        third = rows_of("third")
        store.write("third", third)
        assert_holds(reader, {**older, "third": third})
    assert store.drop("first", [KEYS[0], b"of a taken number"]) == 2
    assert store.drop("first") == 299
    assert store.write("first", rows_of("first")) == [True] * 300
    assert tables(tmp_path) == {"view second", "rows 1"}
    with closing(sqlite3.connect(tmp_path / "online.db")) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (schema.LAYOUT,)
