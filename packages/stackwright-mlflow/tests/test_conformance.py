"""The kit's cases on a real MLflow server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.registry import ModelVersion, Registry
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_mlflow import plugin


class TestMlflowRegistry(cases_of(spec_of(plugin, Registry), inapplicable={})):
    """What the server keeps lies on this machine: it can be damaged."""

    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self.options = {**self.options, "url": server.url}
        self._artifacts = server.artifacts

    def alter(self, folder: Path, version: ModelVersion, payload: bytes) -> None:
        root = self._artifacts / self.open(folder)._journal.state().published[version.name][version.version].root
        held = root / "trees" / "weights.bin"
        assert held.read_bytes() == payload
        held.write_bytes(payload[:-1] + b"?")
        super().alter(folder, version, payload)
