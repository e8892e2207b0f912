"""The kit's cases on files."""

from __future__ import annotations

from stackwright_files import plugin
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.registry import RunCases
from stackwright_storage import open_storage


class TestFilesRegistry(RunCases):
    spec = spec_of(plugin, Registry)

    def storage(self, url: str) -> Storage:
        return open_storage(url)
