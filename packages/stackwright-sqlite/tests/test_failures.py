"""What can go wrong with a file, and what is said about it."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_sqlite import connections, failures, writing
from stackwright_sqlite.online import SQLiteOnlineStore
from stackwright_sqlite.plugin import SQLiteConfig

OpenStore = Callable[..., SQLiteOnlineStore]

ROWS = [OnlineRow(b"key %d" % number, b"token", b"payload" * 100) for number in range(300)]
KEYS = [row.key for row in ROWS]


def test_a_file_that_is_no_database_is_named_with_what_to_do(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    (tmp_path / "online.db").write_bytes(b"nonsense" * 1000)
    for action in (lambda: store.read(["view"], [[b"k"]]), lambda: store.write("view", ROWS)):
        with pytest.raises(FeatureStoreError, match=r"online\.db: .*not an SQLite database.*materialize again"):
            action()


def test_a_damaged_page_is_an_error_not_an_answer(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.write("view", ROWS)
    store.close()
    file = tmp_path / "online.db"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    damaged = open_store()
    with pytest.raises(FeatureStoreError, match="the file is damaged"):
        damaged.read(["view"], [KEYS])
    with pytest.raises(FeatureStoreError, match="the file is damaged"):
        damaged.write("view", ROWS)
    with pytest.raises(FeatureStoreError, match="the file is damaged"):
        list(damaged.scan("view"))


def test_a_database_of_another_program_is_refused_and_left_alone(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "online.db")) as other:
        other.execute("CREATE TABLE notes (text)")
    before = (tmp_path / "online.db").read_bytes()
    for action in (lambda: store.read(["view"], [[b"k"]]), lambda: store.write("view", ROWS)):
        with pytest.raises(FeatureStoreError, match="database of another program"):
            action()
    assert (tmp_path / "online.db").read_bytes() == before


def test_a_later_layout_is_refused(open_store: OpenStore, tmp_path: Path) -> None:
    first = open_store()
    first.write("view", ROWS)
    first.close()
    with closing(sqlite3.connect(tmp_path / "online.db")) as raw:
        raw.execute("PRAGMA user_version = 4")
    with pytest.raises(FeatureStoreError, match="layout 4, this version reads 2 and 3"):
        open_store().read(["view"], [[b"k"]])


def test_a_folder_in_the_place_of_the_file_is_named(store: SQLiteOnlineStore, tmp_path: Path) -> None:
    (tmp_path / "online.db").mkdir()
    for action in (lambda: store.read(["view"], [[b"k"]]), lambda: store.write("view", ROWS)):
        with pytest.raises(FeatureStoreError, match=r"online\.db: a folder, not a file"):
            action()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    store = SQLiteOnlineStore(SQLiteConfig(path=Path("data/online.db")), make_context(tmp_path))
    with pytest.raises(FeatureStoreError, match=r"data: cannot be made or locked"):
        store.write("view", ROWS)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    store = SQLiteOnlineStore(SQLiteConfig(path=Path("a/b/online.db")), make_context(tmp_path))
    assert store.write("view", ROWS[:1]) == [True]
    store.close()
    assert (tmp_path / "a/b/online.db").is_file()


def test_a_disk_that_takes_no_more_leaves_the_rows_as_they_were(
    store: SQLiteOnlineStore, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    store.write("view", ROWS)
    writer = start(
        """
import resource
from stackwright_interfaces.errors import FeatureStoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
rows = [OnlineRow(b"key %d" % number, b"token 2", b"p" * 9000) for number in range(300)]
try:
    store.write("view", rows)
except FeatureStoreError as error:
    print(error)
"""
    )
    said, _ = writer.communicate(timeout=30)
    assert "the disk cannot be read or written" in said
    assert {row.payload for row in store.scan("view")} == {b"payload" * 100}
    assert store.write("view", [OnlineRow(b"key 0", b"token 3", b"after")]) == [True]


def test_a_full_disk_and_a_read_only_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "any.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE rows (payload)")
        raw.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as full:
            raw.execute("INSERT INTO rows VALUES (?)", (b"p" * 100_000,))
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as raw,
        pytest.raises(sqlite3.OperationalError) as read_only,
    ):
        raw.execute("DELETE FROM rows")
    assert str(failures.translate(full.value, path)).startswith(f"{path}: the disk is full")
    assert "cannot be written to" in str(failures.translate(read_only.value, path))


def test_a_read_that_is_not_done_in_time_raises_a_timeout(store: SQLiteOnlineStore) -> None:
    store.write("view", ROWS)
    started = time.monotonic()
    with pytest.raises(StoreTimeout, match="before its deadline"):
        store.read(["view"], [KEYS * 3000], timeout=0.02)
    assert time.monotonic() - started < 1
    assert store.read(["view"], [[KEYS[0]]], timeout=30) == [[ROWS[0].payload]]


def test_a_locked_database_is_waited_for_up_to_the_deadline(open_store: OpenStore, tmp_path: Path) -> None:
    first = open_store()
    first.write("view", ROWS)
    first.close()
    with closing(sqlite3.connect(tmp_path / "online.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreTimeout):
            open_store().read(["view"], [[KEYS[0]]], timeout=0.1)
        with pytest.raises(FeatureStoreError, match="stayed locked"):
            open_store(lock_timeout=0.1).read(["view"], [[KEYS[0]]])
    assert open_store().read(["view"], [[KEYS[0]]]) == [[ROWS[0].payload]]


@pytest.mark.parametrize(("version", "warned"), [((3, 51, 2), True), ((3, 51, 3), False)])
def test_a_program_that_passes_the_lock_by_is_waited_for_and_warned_about_once(
    store: SQLiteOnlineStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: tuple[int, int, int],
    warned: bool,
) -> None:
    monkeypatch.setattr(writing.sqlite3, "sqlite_version_info", version)
    store.write("view", ROWS)
    with closing(sqlite3.connect(tmp_path / "online.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.1, lambda: other.execute("ROLLBACK")).start()
        with caplog.at_level(logging.WARNING, logger="stackwright_sqlite"):
            assert store.write("view", [OnlineRow(b"new", b"token", b"p")]) == [True]
    assert len(caplog.records) == int(warned)


def test_writers_that_take_turns_are_not_warned_about(
    store: SQLiteOnlineStore, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    second = open_store()
    for version in range(5):
        store.write("view", [OnlineRow(b"k", bytes([version, 0]), b"p")])
        second.write("view", [OnlineRow(b"k", bytes([version, 1]), b"p")])
    assert caplog.records == []


def test_a_replaced_file_is_noticed_by_readers_and_by_the_writer(
    store: SQLiteOnlineStore, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "RECHECK", 0.0)
    store.write("view", ROWS)
    assert store.read(["view"], [[KEYS[0]]]) == [[ROWS[0].payload]]
    for path in list(tmp_path.glob("online.db*")):
        path.unlink()
    assert store.read(["view"], [[KEYS[0]]]) == [[None]]
    assert store.write("view", [OnlineRow(KEYS[0], b"a", b"anew")]) == [True]
    assert store.read(["view"], [[KEYS[0]]]) == [[b"anew"]]


def test_dropped_rows_leave_no_trace_in_the_file(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.write("view", [OnlineRow(b"person", b"token", b"a secret"), *ROWS])
    store.drop("view", [b"person"])
    store.close()
    assert b"a secret" not in (tmp_path / "online.db").read_bytes()
