"""The kit's cases, on files and on S3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_interfaces.testing.storage import StorageCases


class TestFileStorage(StorageCases):
    opener = "stackwright_storage:open_storage"


class TestS3Storage(StorageCases):
    opener = "stackwright_storage:open_storage"
    kills = 8

    @pytest.fixture(autouse=True)
    def _bucket(self, s3: Callable[[], str]) -> None:
        self._url = s3()

    def url(self, folder: Path) -> str:
        return self._url.replace("some/prefix", f"some/{folder.name}")
