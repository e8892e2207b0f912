"""The kit's cases on files, and on S3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright_files import plugin
from stackwright_interfaces.registry import ModelVersion, Registry
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_storage import open_storage

OPENER = "stackwright_storage:open_storage"

TestFilesRegistry = cases_of(spec_of(plugin, Registry), opener=OPENER)


class TestFilesRegistryOnS3(cases_of(spec_of(plugin, Registry), opener=OPENER)):
    kills = 8

    @pytest.fixture(autouse=True)
    def _bucket(self, s3: Callable[[], str]) -> None:
        self._url = s3()

    def config(self, folder: Path) -> Any:
        return plugin.FilesConfig(url=self._url.replace("some/prefix", f"some/{folder.name}"))

    def copy(self, source: Path, target: Path) -> None:
        super().copy(source, target)
        copied = open_storage(self.config(target).url)
        original = open_storage(self.config(source).url)
        for key in original.list():
            copied.put_if_absent(key, original.get(key).data)

    def alter(self, folder: Path, version: ModelVersion, payload: bytes) -> None:
        storage = open_storage(self.config(folder).url)
        held = [(key, found) for key in storage.list() if (found := storage.get(key)).data == payload]
        assert held
        for key, found in held:
            storage.put_if_match(key, payload[:-1] + b"?", found.tag)
        for path in folder.rglob("*"):
            if path.is_file() and path.read_bytes() == payload:
                path.chmod(0o644)
                path.write_bytes(payload[:-1] + b"?")
