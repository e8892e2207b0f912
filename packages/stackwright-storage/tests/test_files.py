"""Files below a folder."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from stackwright_interfaces.errors import PreconditionFailed, StorageError, UsageError
from stackwright_storage import FileStorage, files


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "objects")


def test_opening_and_reading_make_no_folder(storage: FileStorage, tmp_path: Path) -> None:
    assert list(storage.list()) == []
    storage.delete("a")
    assert list(tmp_path.iterdir()) == []


def test_an_object_is_a_file_that_anyone_may_read(storage: FileStorage, tmp_path: Path) -> None:
    storage.put_if_absent("a/b.json", b"{}")
    path = tmp_path / "objects/a/b.json"
    assert path.read_bytes() == b"{}"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.stat().st_nlink == 1


def test_the_tag_is_the_hash_of_the_content(storage: FileStorage) -> None:
    assert storage.put_if_absent("a", b"same") == storage.put_if_absent("b", b"same")
    assert storage.get("a").tag == "0967115f2813a3541eaef77de9d9d5773f1c0c04314b0bbfe4ff3b3b1c55b5d5"


def test_temporary_files_and_the_lock_are_no_objects(storage: FileStorage, tmp_path: Path) -> None:
    storage.put_if_match("a", b"new", storage.put_if_absent("a", b"old"))
    assert list(storage.list()) == ["a"]
    assert {path.name for path in (tmp_path / "objects/.storage").iterdir()} == {"lock"}
    with pytest.raises(UsageError, match="kept for the storage itself"):
        storage.get(".storage/lock")


def test_what_dead_processes_left_behind_is_removed_after_an_hour(storage: FileStorage, tmp_path: Path) -> None:
    storage.put_if_absent("a", b"")
    old, young = (tmp_path / "objects/.storage" / name for name in ("put-old", "put-young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    FileStorage(tmp_path / "objects").put_if_absent("b", b"")
    assert not old.exists()
    assert young.exists()


def test_a_folder_in_the_place_of_an_object_is_no_lost_race(storage: FileStorage) -> None:
    storage.put_if_absent("a/b", b"")
    with pytest.raises(StorageError, match="a folder lies where a file is meant") as raised:
        storage.put_if_absent("a", b"")
    assert not isinstance(raised.value, PreconditionFailed)


def test_an_object_in_the_place_of_a_folder_is_named(storage: FileStorage) -> None:
    storage.put_if_absent("a", b"")
    with pytest.raises(StorageError, match=r"objects/a/b: .*or a file where a folder is"):
        storage.put_if_absent("a/b", b"")


def test_a_part_that_is_too_long_is_named(storage: FileStorage) -> None:
    with pytest.raises(StorageError, match="too long for this file system"):
        storage.put_if_absent("k" * 300, b"")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "a read-only disk"), (errno.EACCES, "no right to do this"), (errno.ENOSPC, "the disk is full")],
)
def test_what_the_disk_refuses_is_said_in_plain_words(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(StorageError, match=words):
        storage.put_if_absent("a", b"content")
    monkeypatch.undo()
    assert list(storage.list()) == []


def test_a_file_that_outgrows_the_quota_leaves_nothing_behind(storage: FileStorage, tmp_path: Path) -> None:
    def put_too_much() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(StorageError, match="the disk is full"):
            storage.put_if_absent("a", bytes(100_000))

    child = get_context("fork").Process(target=put_too_much)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert list(storage.list()) == []
    assert list((tmp_path / "objects/.storage").iterdir()) == []


def test_a_lock_that_is_never_released_is_an_error(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackwright_storage import lock

    tag = storage.put_if_absent("a", b"old")
    monkeypatch.setattr(lock, "_PATIENCE", 0.05)
    with storage._locked(), pytest.raises(StorageError, match="another process has held it"):
        storage.put_if_match("a", b"new", tag)
    assert storage.put_if_match("a", b"new", tag)


def test_a_folder_that_is_a_file_is_no_storage(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("not a folder")
    with pytest.raises(StorageError, match="a folder lies where a file is meant, or a file where a folder is"):
        list(FileStorage(tmp_path / "registry").list())
