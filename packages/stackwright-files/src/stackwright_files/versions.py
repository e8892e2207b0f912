"""Publishing: files first, then one record that makes them a version.

The record is stored only if its number is free. What a killed publication left behind is named by no record and so is
invisible; a later publication of the same model removes it after a day. A publication that took so long gives up, so
that what is removed can no longer become a version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from stackwright_files.layout import VERSIONS, files_prefix, new_stage, staging_prefix, version_key, version_of
from stackwright_files.records import Publication, encode, publication_to_json, read_publication
from stackwright_interfaces.errors import (
    ArtifactError,
    ModelNotFound,
    ObjectNotFound,
    PreconditionFailed,
    RegistryError,
    StorageError,
    UsageError,
    did_you_mean,
)
from stackwright_interfaces.model import MANIFEST, Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.storage import Storage

ABANDONED: Final = timedelta(days=1)
"""Age after which an unfinished publication is removed."""

TOO_LONG: Final = ABANDONED / 2
"""Age at which a publication gives up; half, so that clocks may differ by hours."""


class Versions:
    """Versions in a storage; usable from many threads and processes."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._clock = clock

    def get(self, name: str, number: int) -> Publication:
        """Return a version's record.

        Raises:
            ModelNotFound: there is none.
        """
        key = version_key(name, number)
        try:
            found = read_publication(key, self._storage.get(key).data)
        except ObjectNotFound:
            raise self.missing(name, f"version {number}") from None
        if (found.version.name, found.version.version) != (name, number):
            raise RegistryError(key, f"the record is of {found.version.ref}", "Restore it from a backup.")
        return found

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a model's versions, ascending."""
        return [number for found, number in self._keys(f"{VERSIONS}{name}/") if found == name]

    def all(self, name: str | None = None) -> list[Publication]:
        """Return the records of one model or of all, by name and number."""
        keys = self._keys(VERSIONS if name is None else f"{VERSIONS}{name}/")
        return [self.get(found, number) for found, number in sorted(keys) if name in {None, found}]

    def missing(self, name: str, what: str) -> ModelNotFound:
        """Return the error for a version or alias that is not there, or for a model that has no version at all."""
        numbers = self.numbers(name)
        if numbers:
            return ModelNotFound(f"model {name!r}", f"no {what}; versions: {_ranges(numbers)}")
        names = sorted({found for found, _ in self._keys(VERSIONS)})
        found = f"nothing is published under this name. Published: {', '.join(names) or 'nothing'}"
        return ModelNotFound(f"model {name!r}", found, did_you_mean(name, names))

    def publish(self, name: str, folder: Path, record: Mapping[str, Any], who: str) -> ModelVersion:
        """Copy a folder in as the next version, or find the version that has its digest.

        Raises:
            ArtifactError: the folder is not what its manifest says.
            UsageError: the record is not JSON.
        """
        manifest = Manifest.read(folder)
        encode(f"record of {name!r}", record)
        known = self._with_digest(self.all(name), manifest.digest)
        if known is not None:
            return known
        started = self._clock()
        stage = new_stage(started)
        marker = f"{staging_prefix(name)}{stage}.json"
        self._storage.put_if_absent(marker, encode(marker, {"started": started.isoformat()}))
        draft = ModelVersion(name=name, version=0, digest=manifest.digest, created=started, record=record)
        try:
            self._upload(folder, manifest, files_prefix(name, stage))
            published = self._commit(draft, who, stage)
        except BaseException:
            with suppress(StorageError):
                self._discard(name, stage)
            raise
        with suppress(StorageError):
            self._clean(name, stage)
        return published

    def _upload(self, folder: Path, manifest: Manifest, prefix: str) -> None:
        for name in (*manifest.files, MANIFEST):
            try:
                data = (folder / name).read_bytes()
                self._storage.put_if_absent(prefix + name, data)
            except (OSError, UsageError) as error:
                raise ArtifactError(str(folder / name), f"cannot be published ({error})") from error
            entry = manifest.files.get(name)
            if entry is not None and hashlib.sha256(data).hexdigest() != entry.sha256:
                raise ArtifactError(str(folder / name), "the file was altered meanwhile", "Publish the model again.")

    def _commit(self, draft: ModelVersion, who: str, stage: str) -> ModelVersion:
        """Take the next number; where another publication has the same digest, the version is that one."""
        while True:
            publications = self.all(draft.name)
            known = self._with_digest(publications, draft.digest)
            if known is not None:
                return known
            now = self._clock()
            if now - draft.created > TOO_LONG:
                raise RegistryError(f"model {draft.name!r}", f"publishing took more than {TOO_LONG}", "Publish again.")
            number = 1 + max((item.version.version for item in publications), default=0)
            version = ModelVersion(
                name=draft.name, version=number, digest=draft.digest, created=now, record=draft.record
            )
            document = publication_to_json(Publication(version=version, who=who, stage=stage))
            try:
                self._storage.put_if_absent(version_key(draft.name, number), encode(version.ref, document))
            except PreconditionFailed:
                continue
            return version

    def _with_digest(self, publications: list[Publication], digest: str) -> ModelVersion | None:
        return next((item.version for item in publications if item.version.digest == digest), None)

    def _clean(self, name: str, stage: str) -> None:
        """Remove what this publication no longer needs, and what others that never ended left behind."""
        self._discard(name, stage)
        prefix = staging_prefix(name)
        for key in list(self._storage.list(prefix)):
            other = key.removeprefix(prefix).removesuffix(".json")
            if "/" not in other and self._is_abandoned(key):
                self._discard(name, other)

    def _is_abandoned(self, marker: str) -> bool:
        try:
            started = datetime.fromisoformat(json.loads(self._storage.get(marker).data)["started"])
        except (ObjectNotFound, ValueError, KeyError, TypeError):
            return False
        return self._clock() - started > ABANDONED

    def _discard(self, name: str, stage: str) -> None:
        """Remove a publication's marker, and its files unless they are a version's."""
        if all(item.stage != stage for item in self.all(name)):
            for key in list(self._storage.list(files_prefix(name, stage))):
                self._storage.delete(key)
        self._storage.delete(f"{staging_prefix(name)}{stage}.json")

    def _keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        return (found for found in map(version_of, self._storage.list(prefix)) if found is not None)


def _ranges(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
