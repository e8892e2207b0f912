"""Local copies of models: made once, verified, and whole whatever happens on the way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_interfaces.copies import LocalCopies
from stackwright_interfaces.errors import ArtifactError, RegistryError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.testing.registry_trial import write_model

PAYLOAD = b"a model"


@pytest.fixture
def digest(tmp_path: Path) -> str:
    return Manifest.read(write_model(tmp_path / "trained", PAYLOAD)).digest


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


def filling(payload: bytes, calls: list[Path]) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        calls.append(folder)
        folder.rmdir()
        write_model(folder, payload)

    return fill


def test_a_copy_is_made_once_and_cannot_be_written_to(cache: Path, digest: str) -> None:
    calls: list[Path] = []
    copies = LocalCopies(cache)
    place = copies.fetch(digest, filling(PAYLOAD, calls))
    assert copies.fetch(digest, filling(PAYLOAD, calls)) == place == LocalCopies(cache).fetch(digest, calls.append)
    assert Manifest.read(place).digest == digest
    assert len(calls) == 1
    assert {path.stat().st_mode & 0o222 for path in place.rglob("*") if path.is_file()} == {0}
    assert list(cache.iterdir()) == [place]


def test_files_of_another_digest_are_refused_and_nothing_is_left(cache: Path, digest: str) -> None:
    with pytest.raises(ArtifactError, match="its digest is not"):
        LocalCopies(cache).fetch(digest, filling(b"another", []))
    assert list(cache.iterdir()) == []


def test_a_fill_that_fails_leaves_nothing(cache: Path, digest: str) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError("no space left")

    with pytest.raises(RegistryError, match="no space left"):
        LocalCopies(cache).fetch(digest, fill)
    assert list(cache.iterdir()) == []


def test_a_damaged_copy_is_made_anew(cache: Path, digest: str) -> None:
    place = LocalCopies(cache).fetch(digest, filling(PAYLOAD, []))
    payload = next(path for path in place.rglob("*") if path.is_file() and path.name != "manifest.json")
    payload.chmod(0o644)
    payload.write_bytes(b"altered")
    assert Manifest.read(LocalCopies(cache).fetch(digest, filling(PAYLOAD, []))).digest == digest


def test_what_another_process_made_meanwhile_is_kept(cache: Path, digest: str) -> None:
    def fill(folder: Path) -> None:
        LocalCopies(cache).fetch(digest, filling(PAYLOAD, []))
        filling(PAYLOAD, [])(folder)

    place = LocalCopies(cache).fetch(digest, fill)
    assert list(cache.iterdir()) == [place]


def test_what_a_dead_process_left_is_removed_after_a_day(cache: Path, digest: str) -> None:
    old, young = cache / ".incoming-old", cache / ".incoming-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 100_000,) * 2)
    LocalCopies(cache).fetch(digest, filling(PAYLOAD, []))
    assert (old.exists(), young.exists()) == (False, True)
