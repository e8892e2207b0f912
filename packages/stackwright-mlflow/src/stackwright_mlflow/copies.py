"""Local copies of published models; and the way of files to and from MLflow."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from stackwright_interfaces.copies import LocalCopies
from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_mlflow.server import Refused, Server

LARGEST_MANIFEST: Final = 1 << 26
"""Bytes of a manifest; more is not fetched."""


class Copies:
    """Copies of models whose files are artifacts."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._local = LocalCopies(folder)
        self._server = server

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
        return self._local.fetch(digest, partial(self._download, digest, root))

    def bring(self, digest: str, root: str) -> None:
        """Fetch every file anew.

        Raises as :meth:`fetch`.
        """
        self._local.bring(digest, partial(self._download, digest, root))

    def _download(self, digest: str, root: str, incoming: Path) -> None:
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
