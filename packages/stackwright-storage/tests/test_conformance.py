"""The kit's cases on files."""

from __future__ import annotations

from stackwright_interfaces.testing.storage import StorageCases


class TestFileStorage(StorageCases):
    opener = "stackwright_storage:open_storage"
