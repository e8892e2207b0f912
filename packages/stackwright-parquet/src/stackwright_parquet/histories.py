"""The histories of all views of a store, and what was deleted from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stackwright_interfaces.definitions import Entity, FeatureView
from stackwright_interfaces.feature_store import Watermark
from stackwright_parquet.columns import instant_of
from stackwright_parquet.deletion import Deletions
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import Manifest


@dataclass(frozen=True)
class Histories:
    """One folder a view.

    Args:
        root: the folder of all views.
        lock_timeout: seconds that a writer waits for another one of the same view.
        clock: the present, in UTC.
    """

    root: Path
    lock_timeout: float
    clock: Callable[[], datetime]

    @property
    def now(self) -> int:
        """The present, microseconds since 1970."""
        return instant_of(self.clock())

    def folder(self, view: FeatureView) -> ViewFolder:
        """The folder of a view."""
        return ViewFolder(self.root, view.ref, self.lock_timeout)

    def deletions(self, entity: Entity) -> Deletions:
        """The deleted keys of an entity."""
        return Deletions(self.root, entity)

    def prepare(self, views: Sequence[FeatureView]) -> None:
        """Make the folders of views, or give their histories the columns that they gained.

        Raises:
            VersionRequired: a view lost or changed a column; nothing was changed.
            FeatureStoreError: a folder cannot be written.
        """
        new = [view for view in views if not _holds(self.folder(view).find(), view)]
        for view in new:
            folder = self.folder(view)
            with folder.writing():
                before = folder.find()
                folder.publish(Manifest.of(view) if before is None else before.widened(view))

    def watermark(self, view: FeatureView, at: datetime | None) -> Watermark:
        """Return the last position of a view that was ingested by an instant; ``None`` is the present.

        Raises:
            UnknownName: the view was never applied.
        """
        manifest = self.folder(view).manifest()
        return Watermark(manifest.position, self.clock()) if at is None else manifest.watermark(at)

    def remember_deletion(self, views: Sequence[FeatureView], keys: Any, at: datetime) -> None:
        """Remember, for the entities of views, that keys were deleted.

        Args:
            views: the views.
            keys: Arrow table of the keys.
            at: when.

        Raises:
            UnknownName: a view was never applied; nothing is remembered.
            DataError: a key is missing or of another type.
            FeatureStoreError: it cannot be written.
        """
        for view in views:
            self.folder(view).manifest()
        for entity in {view.entity.name: view.entity for view in views}.values():
            deletions = self.deletions(entity)
            deletions.remember(deletions.named(keys), instant_of(at), self.lock_timeout)


def _holds(manifest: Manifest | None, view: FeatureView) -> bool:
    """Whether nothing need be done to prepare for a view."""
    return manifest is not None and manifest.widened(view) == manifest
