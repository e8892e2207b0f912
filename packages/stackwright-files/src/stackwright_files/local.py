"""Published files on their way from the storage into a local copy."""

from __future__ import annotations

import json
from pathlib import Path

from stackwright_interfaces.errors import ArtifactError, ObjectNotFound, UsageError
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_interfaces.storage import Storage


def copy_files(storage: Storage, prefix: str, digest: str, folder: Path) -> None:
    """Copy a model's files from below a prefix into an empty folder.

    Raises:
        ArtifactError: a file is missing, or the manifest has another digest.
    """
    try:
        data = storage.get(prefix + MANIFEST).data
        (folder / MANIFEST).write_bytes(data)
        manifest = Manifest.from_json(json.loads(data))
        if manifest.digest != digest:
            raise ArtifactError(prefix + MANIFEST, f"its digest is {manifest.digest}, published was {digest}")
        for name in manifest.files:
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ArtifactError(prefix + MANIFEST, f"it names {name!r}, which leads elsewhere", "Publish it again.")
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.fetch(prefix + name, path)
    except (ObjectNotFound, UsageError, ValueError, AttributeError) as error:
        raise ArtifactError(prefix, f"the stored model is damaged ({error})", "Publish it again.") from error
