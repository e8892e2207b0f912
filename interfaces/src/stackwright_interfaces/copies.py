"""Local copies of published models, one a digest: what ``fetch`` of a registry returns."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from stackwright_interfaces.errors import ArtifactError, RegistryError
from stackwright_interfaces.model import Manifest

_INCOMING: Final = ".incoming-"
_ABANDONED: Final = 86400.0
"""Seconds after which a copy that is still under way belongs to a process that died."""


class LocalCopies:
    """Copies whose files are hashed the first time a process uses them, and cannot be written to by accident.

    Args:
        folder: where they lie; several processes may use it at the same time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._verified: set[str] = set()

    def fetch(self, digest: str, fill: Callable[[Path], None]) -> Path:
        """Return the folder of the model with a digest.

        Args:
            digest: the digest of its manifest.
            fill: called with an empty folder where there is no copy yet, or a damaged one; puts the files there.

        Raises:
            ArtifactError: what was put there does not have that digest.
            RegistryError: the folder cannot be written.
        """
        copy = self._copy(digest)
        if not (digest in self._verified and copy.is_dir()):
            if not _has_digest(copy, digest):
                self.bring(digest, fill)
            self._verified.add(digest)
        return copy

    def bring(self, digest: str, fill: Callable[[Path], None]) -> None:
        """Make the copy anew: fill a folder beside, verify it, and rename.

        Raises as :meth:`fetch`.
        """
        copy = self._copy(digest)
        incoming = self._folder / f"{_INCOMING}{token_hex(8)}"
        try:
            self._sweep()
            incoming.mkdir(parents=True)
            fill(incoming)
            if Manifest.read(incoming).digest != digest:
                raise ArtifactError(str(copy), f"its digest is not {digest}", "Publish the model again.")
            for path in incoming.rglob("*"):
                if path.is_file():
                    path.chmod(0o444)
            _move(incoming, copy, digest)
        except OSError as error:
            found = f"the local copy cannot be made ({error})"
            raise RegistryError(str(copy), found, "Make room in the cache folder, and make it writable.") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _copy(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

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
