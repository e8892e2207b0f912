"""Local copies of published models, below the cache folder, one a digest."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from stackwright_interfaces.errors import ArtifactError, ObjectNotFound, RegistryError, UsageError
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_interfaces.storage import Storage

_INCOMING: Final = ".incoming-"
_ABANDONED: Final = 86400.0


class LocalCopies:
    """Copies whose files are hashed the first time a process uses them, and cannot be written to by accident."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self._folder = folder
        self._storage = storage
        self._verified: set[str] = set()

    def fetch(self, digest: str, prefix: str) -> Path:
        """Return the folder of the model with this digest, whose files are stored below a prefix.

        Raises:
            ArtifactError: the stored files do not have that digest.
            RegistryError: the cache cannot be written.
        """
        copy = self._folder / digest.removeprefix("sha256:")
        if not (digest in self._verified and copy.is_dir()):
            try:
                if not _has_digest(copy, digest):
                    self._bring(copy, digest, prefix)
            except OSError as error:
                found = f"the local copy cannot be made ({error})"
                raise RegistryError(str(copy), found, "Make room in the cache folder, and make it writable.") from error
            self._verified.add(digest)
        return copy

    def _bring(self, copy: Path, digest: str, prefix: str) -> None:
        """Copy into a folder beside, verify, and rename: other processes may do the same at the same time."""
        self._sweep()
        incoming = self._folder / f"{_INCOMING}{token_hex(8)}"
        try:
            self._copy_files(incoming, digest, prefix)
            _verify(incoming, digest)
            for path in incoming.rglob("*"):
                if path.is_file():
                    path.chmod(0o444)
            _move(incoming, copy, digest)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _copy_files(self, incoming: Path, digest: str, prefix: str) -> None:
        incoming.mkdir(parents=True)
        try:
            data = self._storage.get(prefix + MANIFEST).data
            (incoming / MANIFEST).write_bytes(data)
            manifest = Manifest.from_json(json.loads(data))
            if manifest.digest != digest:
                raise ArtifactError(prefix + MANIFEST, f"its digest is {manifest.digest}, published was {digest}")
            for name in manifest.files:
                data = self._storage.get(prefix + name).data  # refuses a name that leads elsewhere
                (incoming / name).parent.mkdir(parents=True, exist_ok=True)
                (incoming / name).write_bytes(data)
        except (ObjectNotFound, UsageError, ValueError, AttributeError) as error:
            raise ArtifactError(prefix, f"the stored model is damaged ({error})", "Publish it again.") from error

    def _sweep(self) -> None:
        """Remove what processes that died left behind."""
        for path in self._folder.glob(f"{_INCOMING}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)


def _has_digest(folder: Path, digest: str) -> bool:
    """Tell whether a folder holds exactly the model with this digest; every file is hashed."""
    try:
        return Manifest.read(folder).digest == digest
    except ArtifactError:
        return False


def _verify(folder: Path, digest: str) -> None:
    if Manifest.read(folder).digest != digest:
        raise ArtifactError(str(folder), f"its digest is not {digest}", "Publish the model again.")


def _move(incoming: Path, copy: Path, digest: str) -> None:
    """Give the copy its name; what lies there is kept if it is right, and put aside if it is damaged."""
    if copy.exists() and not _has_digest(copy, digest):
        aside = incoming.with_name(f"{incoming.name}-damaged")
        copy.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        incoming.rename(copy)
    except OSError:
        if not _has_digest(copy, digest):
            raise
