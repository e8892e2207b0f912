"""What killed publications and fetches leave behind."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from stackwright_files.registry import FilesRegistry
from stackwright_files.versions import ABANDONED, TOO_LONG
from stackwright_interfaces.errors import ArtifactError, RegistryError
from stackwright_interfaces.model import Manifest, ModelRef, describe_files
from stackwright_interfaces.testing.context import SettableClock
from stackwright_interfaces.testing.crashes import crashes
from stackwright_storage import FileStorage

Model = Callable[[bytes], Path]
OpenRegistry = Callable[..., FilesRegistry]


@pytest.fixture
def left_behind(registry: FilesRegistry, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication that was killed before its record was stored."""
    put, delete = FileStorage.put_if_absent, FileStorage.delete

    def put_or_die(storage: FileStorage, key: str, data: bytes) -> str:
        if key.startswith("versions/"):
            raise KeyboardInterrupt
        return put(storage, key, data)

    def die(_storage: FileStorage, _key: str) -> None:
        raise KeyboardInterrupt

    folder = model(b"killed")
    monkeypatch.setattr(FileStorage, "put_if_absent", put_or_die)
    monkeypatch.setattr(FileStorage, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        registry.publish("valuation", folder, {})
    monkeypatch.setattr(FileStorage, "put_if_absent", put)
    monkeypatch.setattr(FileStorage, "delete", delete)


def payloads(home: Path) -> set[bytes]:
    return {path.read_bytes() for path in (home / "files").rglob("weights.bin")}


def test_what_a_killed_publication_left_is_invisible(registry: FilesRegistry, left_behind: None, home: Path) -> None:
    assert payloads(home) == {b"killed"}
    assert [list(part) for part in registry.history()] == [[], []]


def test_it_is_kept_for_a_day_because_it_may_still_be_under_way(
    registry: FilesRegistry, left_behind: None, home: Path, model: Model, clock: SettableClock
) -> None:
    clock.advance(ABANDONED)
    registry.publish("valuation", model(b"next"), {})
    assert payloads(home) == {b"killed", b"next"}
    clock.advance(timedelta(seconds=1))
    registry.publish("valuation", model(b"later"), {})
    assert payloads(home) == {b"next", b"later"}
    assert list((home / "staging/valuation").iterdir()) == []


def test_the_same_model_can_be_published_after_a_killed_publication(
    registry: FilesRegistry, left_behind: None, model: Model, clock: SettableClock
) -> None:
    version = registry.publish("valuation", model(b"killed"), {})
    clock.advance(timedelta(days=3))
    registry.publish("valuation", model(b"next"), {})
    assert describe_files(registry.fetch(version)) == describe_files(model(b"killed"))


def test_a_version_whose_publisher_died_after_its_record_stays(
    registry: FilesRegistry, model: Model, clock: SettableClock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = FileStorage.delete

    def die(_storage: FileStorage, _key: str) -> None:
        raise KeyboardInterrupt

    folder = model(b"published")
    monkeypatch.setattr(FileStorage, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        registry.publish("valuation", folder, {})
    monkeypatch.setattr(FileStorage, "delete", delete)
    clock.advance(timedelta(days=3))
    registry.publish("valuation", model(b"next"), {})
    assert payloads(home) == {b"published", b"next"}
    assert list((home / "staging/valuation").iterdir()) == []


def test_a_publication_that_took_too_long_gives_up(
    registry: FilesRegistry, model: Model, clock: SettableClock, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FileStorage.put_if_absent
    folder = model(b"slow")

    def put_slowly(storage: FileStorage, key: str, data: bytes) -> str:
        clock.advance(TOO_LONG)
        return put(storage, key, data)

    monkeypatch.setattr(FileStorage, "put_if_absent", put_slowly)
    with pytest.raises(RegistryError, match="publishing took more than 12:00:00"):
        registry.publish("valuation", folder, {})
    assert payloads(home) == set()


def test_a_file_that_changes_while_it_is_published_is_refused(
    registry: FilesRegistry, model: Model, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    folder = model(b"before")
    read = Manifest.read

    def read_and_alter(place: Path) -> Manifest:
        manifest = read(place)
        (place / "trees/weights.bin").write_bytes(b"after!")
        return manifest

    monkeypatch.setattr(Manifest, "read", read_and_alter)
    with pytest.raises(ArtifactError, match="altered meanwhile"):
        registry.publish("valuation", folder, {})
    assert payloads(home) == set()


def test_a_local_copy_is_read_only_and_named_by_its_digest(
    registry: FilesRegistry, model: Model, tmp_path: Path
) -> None:
    version = registry.publish("valuation", model(b"p"), {})
    copy = registry.fetch(version)
    assert copy == tmp_path / "project/.cache/models" / version.digest.removeprefix("sha256:")
    assert {path.stat().st_mode & 0o222 for path in copy.rglob("*") if path.is_file()} == {0}
    shutil.rmtree(copy)
    assert describe_files(registry.fetch(version)) == describe_files(model(b"p"))


def test_a_damaged_local_copy_is_replaced_before_it_is_used(open_registry: OpenRegistry, model: Model) -> None:
    version = open_registry().publish("valuation", model(b"p"), {})
    copy = open_registry().fetch(version)
    (copy / "trees/weights.bin").chmod(0o644)
    (copy / "trees/weights.bin").write_bytes(b"?")
    assert describe_files(open_registry().fetch(version)) == describe_files(model(b"p"))
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


@pytest.mark.parametrize("file", ["trees/weights.bin", "manifest.json", "golden.jsonl"])
@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "files": {}}'])
def test_a_damaged_stored_file_never_becomes_a_local_copy(
    registry: FilesRegistry, model: Model, home: Path, file: str, text: str
) -> None:
    version = registry.publish("valuation", model(b"p"), {})
    (stage,) = (home / "files/valuation").iterdir()
    (stage / file).write_text(text)
    with pytest.raises(ArtifactError):
        registry.fetch(version)
    assert not registry._copies._folder.exists() or list(registry._copies._folder.iterdir()) == []


def test_a_fetch_that_is_killed_leaves_no_half_copy(open_registry: OpenRegistry, model: Model, tmp_path: Path) -> None:
    version = open_registry().publish("valuation", model(b"p"), {})
    copies = tmp_path / "project/.cache/models"

    def prepare(_name: str) -> None:
        shutil.rmtree(copies, ignore_errors=True)

    for _ in crashes(lambda _name: open_registry().fetch(version), prepare=prepare, at_most=25):
        for path in copies.glob("[!.]*"):
            assert Manifest.read(path).digest == version.digest
        assert describe_files(open_registry().fetch(version)) == describe_files(model(b"p"))


def test_copies_that_were_never_finished_are_removed_after_a_day(
    registry: FilesRegistry, model: Model, tmp_path: Path
) -> None:
    copies = tmp_path / "project/.cache/models"
    old, young = copies / ".incoming-old", copies / ".incoming-young"
    for path in (old, young):
        path.mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    registry.fetch(registry.publish("valuation", model(b"p"), {}))
    assert not old.exists()
    assert young.exists()


def test_many_processes_fetch_one_model_at_once(open_registry: OpenRegistry, model: Model) -> None:
    version = open_registry().publish("valuation", model(b"p"), {})

    def fetch() -> None:
        registry = open_registry()
        assert describe_files(registry.fetch(registry.resolve(ModelRef("valuation")))) == describe_files(model(b"p"))

    children = [get_context("fork").Process(target=fetch) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4
    assert describe_files(open_registry().fetch(version)) == describe_files(model(b"p"))
