"""What can go wrong with a file, and what is said about it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.testing.context import make_context
from stackwright_lmdb import environment, failures
from stackwright_lmdb.online import LMDBOnlineStore
from stackwright_lmdb.plugin import LMDBConfig

OpenStore = Callable[..., LMDBOnlineStore]
Start = Callable[[str], subprocess.Popen[str]]

ROWS = [OnlineRow(b"key %d" % number, b"token", b"payload" * 100) for number in range(300)]
KEYS = [row.key for row in ROWS]


def refused(store: LMDBOnlineStore, match: str) -> None:
    actions: tuple[Callable[[], object], ...] = (
        lambda: store.read(["view"], [[b"k"]]),
        lambda: store.write("view", ROWS),
        lambda: list(store.scan("view")),
        lambda: store.drop("view"),
    )
    for action in actions:
        with pytest.raises(FeatureStoreError, match=match):
            action()


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"abc", b"SQLite format 3\x00" + bytes(8192)])
def test_a_file_that_is_no_database_is_named_with_what_to_do(
    store: LMDBOnlineStore, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "online.lmdb").write_bytes(content)
    refused(store, r"online\.lmdb: .*not an LMDB file.*materialize again")
    assert (tmp_path / "online.lmdb").read_bytes() == content


@pytest.mark.parametrize("filler", [b"\xa5", b"\x00", b"\xff"])
def test_damaged_pages_are_an_error_not_an_answer(open_store: OpenStore, tmp_path: Path, filler: bytes) -> None:
    store = open_store()
    store.write("view", ROWS)
    store.close()
    file = tmp_path / "online.lmdb"
    content = file.read_bytes()
    file.write_bytes(content[:8192] + filler * (len(content) - 8192))
    refused(open_store(), "the file is damaged")


@pytest.mark.parametrize("pages", [1, 2, 10])
def test_a_file_that_was_cut_short_is_an_error_and_does_not_end_the_process(
    open_store: OpenStore, tmp_path: Path, pages: int
) -> None:
    store = open_store()
    store.write("view", ROWS)
    store.close()
    file = tmp_path / "online.lmdb"
    file.write_bytes(file.read_bytes()[: pages * 4096])
    refused(open_store(), r"online\.lmdb: the file is .*materialize again")


def test_a_file_that_is_cut_short_while_it_is_open_is_noticed(
    store: LMDBOnlineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "RECHECK", 0.0)
    store.write("view", ROWS)
    store.read(["view"], [KEYS])
    with (tmp_path / "online.lmdb").open("r+b") as file:
        file.truncate(8192)
    refused(store, r"the file is damaged: 8192 bytes are left of \d+")


def test_dropping_rows_never_makes_the_file_look_cut_short(open_store: OpenStore) -> None:
    rows = [OnlineRow(b"key %d" % number, b"token", b"p" * (number % 9000)) for number in range(2000)]
    for kept in (0, 1, 1000, 1999):
        store = open_store()
        store.write("view", rows)
        assert store.drop("view", [row.key for row in rows[kept:]]) == len(rows) - kept
        store.close()
        assert len(list(open_store().scan("view"))) == kept


def test_a_file_of_another_program_is_refused_and_left_alone(store: LMDBOnlineStore, tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "online.lmdb"), subdir=False) as other, other.begin(write=True) as transaction:
        transaction.put(b"note", b"text")
    before = (tmp_path / "online.lmdb").read_bytes()
    refused(store, "LMDB file of another program")
    assert (tmp_path / "online.lmdb").read_bytes() == before


def test_an_empty_value_is_a_damaged_row(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.write("view", ROWS)
    store.close()
    with lmdb.open(str(tmp_path / "online.lmdb"), subdir=False) as raw, raw.begin(write=True) as transaction:
        (place,) = [key for key, _ in transaction.cursor() if key.endswith(KEYS[7])]
        transaction.put(place, b"")
    store = open_store()
    for keys in (KEYS, KEYS[7:8]):
        with pytest.raises(FeatureStoreError, match="a row is damaged"):
            store.read(["view"], [keys])
    with pytest.raises(FeatureStoreError, match="a row is damaged"):
        list(store.scan("view"))
    assert store.read(["view"], [KEYS[:3]]) == [[row.payload for row in ROWS[:3]]]


def test_a_later_layout_is_refused(open_store: OpenStore, tmp_path: Path) -> None:
    first = open_store()
    first.write("view", ROWS)
    first.close()
    with lmdb.open(str(tmp_path / "online.lmdb"), subdir=False) as raw, raw.begin(write=True) as transaction:
        transaction.put(b"stackwright online", b"2")
    refused(open_store(), "layout 2, this version reads 1")


def test_a_folder_in_the_place_of_the_file_is_named(store: LMDBOnlineStore, tmp_path: Path) -> None:
    (tmp_path / "online.lmdb").mkdir()
    refused(store, r"online\.lmdb: a folder, not a file")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    store = LMDBOnlineStore(LMDBConfig(path=Path("data/online.lmdb")), make_context(tmp_path))
    with pytest.raises(FeatureStoreError, match=r"data: cannot be made or locked"):
        store.write("view", ROWS)
    store.close()


def test_missing_folders_are_made(tmp_path: Path) -> None:
    store = LMDBOnlineStore(LMDBConfig(path=Path("a/b/online.lmdb")), make_context(tmp_path))
    assert store.write("view", ROWS[:1]) == [True]
    store.close()
    assert (tmp_path / "a/b/online.lmdb").is_file()


def test_a_disk_that_takes_no_more_leaves_the_rows_as_they_were(store: LMDBOnlineStore, start: Start) -> None:
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
print(store.write("view", [OnlineRow(b"small", b"token", b"p")]))
"""
    )
    said, _ = writer.communicate(timeout=30)
    assert "the disk is full or failing" in said
    assert said.endswith("[True]\n")
    assert {row.payload for row in store.scan("view") if row.key != b"small"} == {b"payload" * 100}
    assert store.write("view", [OnlineRow(b"key 0", b"token 3", b"after")]) == [True]


def test_an_address_space_that_takes_no_more_is_named_and_leaves_the_rows_as_they_were(
    store: LMDBOnlineStore, start: Start
) -> None:
    store.write("view", ROWS)
    writer = start(
        """
import resource
from stackwright_interfaces.errors import FeatureStoreError
store = LMDBOnlineStore(LMDBConfig(path=Path("online.lmdb"), map_mb=1), make_context(folder))
store.read(["view"], [[b"key 0"]])
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)
try:
    for part in range(100):
        store.write("view", [OnlineRow(b"%d %d" % (part, number), b"t", b"p" * 9000) for number in range(300)])
except FeatureStoreError as error:
    print(error)
print(store.read(["view"], [[b"key 0"]]) == [[b"payload" * 100]])
"""
    )
    said, _ = writer.communicate(timeout=30)
    assert "cannot be mapped into memory" in said
    assert said.endswith("True\n")
    assert store.read(["view"], [KEYS]) == [[row.payload for row in ROWS]]


def test_a_file_that_may_not_be_written_to_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "any.lmdb"
    lmdb.open(str(path), subdir=False).close()
    with lmdb.open(str(path), subdir=False, readonly=True) as raw, pytest.raises(lmdb.ReadonlyError) as read_only:
        raw.begin(write=True)
    assert "cannot be opened or written to" in str(failures.translate(read_only.value, path))


def test_a_read_that_is_not_done_in_time_raises_a_timeout(store: LMDBOnlineStore) -> None:
    store.write("view", ROWS)
    started = time.monotonic()
    with pytest.raises(StoreTimeout, match="before its deadline"):
        store.read(["view"], [KEYS * 3000], timeout=0.02)
    assert time.monotonic() - started < 1
    assert store.read(["view"], [[KEYS[0]]], timeout=30) == [[ROWS[0].payload]]


def test_a_replaced_file_is_noticed_by_readers_and_by_the_writer(
    store: LMDBOnlineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "RECHECK", 0.0)
    store.write("view", ROWS)
    assert store.read(["view"], [[KEYS[0]]]) == [[ROWS[0].payload]]
    for path in list(tmp_path.glob("online.lmdb*")):
        path.unlink()
    assert store.read(["view"], [[KEYS[0]]]) == [[None]]
    assert store.write("view", [OnlineRow(KEYS[0], b"a", b"anew")]) == [True]
    assert store.read(["view"], [[KEYS[0]]]) == [[b"anew"]]


@pytest.mark.parametrize("options", [{"map_mb": 0}, {"lock_timeout": 0.0}])
def test_options_without_a_meaning_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LMDBConfig(path=Path("online.lmdb"), **options)
