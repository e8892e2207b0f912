"""Local copies of published models, below the cache folder, one a digest; and the way of files to and from MLflow."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Final

from stackwright_interfaces.errors import ArtifactError, RegistryError
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_mlflow.server import Refused, Server

LARGEST_MANIFEST: Final = 1 << 26
"""Bytes of a manifest; more is not fetched."""

_INCOMING: Final = ".incoming-"
_ABANDONED: Final = 86400.0


class Copies:
    """Copies whose files are hashed the first time a process uses them, and cannot be written to by accident."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._server = server
        self._verified: set[str] = set()

    def upload(self, folder: Path, manifest: Manifest, root: str) -> None:
        """Store a model's files as artifacts.

        Raises:
            ArtifactError: a file cannot be read, or has a name that MLflow does not take.
            RegistryError: MLflow does not take it.
        """
        for name in (*manifest.files, MANIFEST):
            try:
                file = (folder / name).open("rb")
            except OSError as error:
                raise ArtifactError(str(folder / name), f"cannot be published ({error})") from error
            with file:
                try:
                    self._server.upload(f"{root}/{name}", file, file.seek(0, 2))
                except Refused as error:
                    found = f"MLflow does not take this file ({error.found})"
                    raise ArtifactError(str(folder / name), found, "Give it a plainer name.") from error

    def fetch(self, digest: str, root: str) -> Path:
        """Return the folder of the model with this digest, whose files are artifacts below ``root``.

        Raises:
            ArtifactError: the stored files do not have that digest.
            RegistryError: the server cannot be reached, or the cache cannot be written.
        """
        copy = self._folder / digest.removeprefix("sha256:")
        if not (digest in self._verified and copy.is_dir()):
            if not _has_digest(copy, digest):
                self.bring(digest, root)
            self._verified.add(digest)
        return copy

    def bring(self, digest: str, root: str) -> None:
        """Fetch every file into a folder beside, verify, and rename: other processes may do the same at the same time.

        Raises as :meth:`fetch`.
        """
        copy = self._folder / digest.removeprefix("sha256:")
        incoming = self._folder / f"{_INCOMING}{token_hex(8)}"
        try:
            self._sweep()
            incoming.mkdir(parents=True)
            self._download(incoming, digest, root)
            if Manifest.read(incoming).digest != digest:
                raise ArtifactError(root, f"its digest is not {digest}", "Publish the model again.")
            for path in incoming.rglob("*"):
                if path.is_file():
                    path.chmod(0o444)
            _move(incoming, copy, digest)
        except OSError as error:
            found = f"the local copy cannot be made ({error})"
            raise RegistryError(str(copy), found, "Make room in the cache folder, and make it writable.") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _download(self, incoming: Path, digest: str, root: str) -> None:
        self._server.download(f"{root}/{MANIFEST}", incoming / MANIFEST, at_most=LARGEST_MANIFEST)
        try:
            manifest = Manifest.from_json(json.loads((incoming / MANIFEST).read_bytes()))
        except ValueError as error:
            raise ArtifactError(root, f"the stored manifest is damaged ({error})", "Publish it again.") from error
        if manifest.digest != digest:
            raise ArtifactError(root, f"its digest is {manifest.digest}, published was {digest}", "Publish it again.")
        for name, entry in manifest.files.items():
            target = incoming / name
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ArtifactError(root, f"the file name {name!r} leads elsewhere", "Publish it again.")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._server.download(f"{root}/{name}", target, at_most=entry.size)
            with target.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                    raise ArtifactError(f"{root}/{name}", "the stored file was altered", "Publish it again.")

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
