"""The kit's cases on a real MLflow server."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.registry import ModelVersion, Registry
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.registry import RunCases
from stackwright_mlflow import plugin

_numbers = count()


class TestMlflowRegistry(RunCases):
    spec = spec_of(plugin, Registry)
    kills = 5

    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self._url, self._artifacts = server.url, server.artifacts
        self._own = f"kit{next(_numbers)}"

    def config(self, folder: Path) -> Any:
        own = f"{self._own}.{folder.name}"
        return plugin.MlflowConfig(url=self._url, experiment=own, prefix=f"{own}.")

    def copy(self, source: Path, target: Path) -> None:
        original, copied = self.open(source), self.open(target)
        versions, events = original.history()
        for version in versions:
            copied.publish(version.name, original.fetch(version), version.record)
        for event in events:
            if event.kind == "alias":
                copied.record(event, expected=event.before)

    def alter(self, folder: Path, version: ModelVersion, payload: bytes) -> None:
        root = self._artifacts / self.open(folder)._journal.state().published[version.name][version.version].root
        held = root / "trees" / "weights.bin"
        assert held.read_bytes() == payload
        held.write_bytes(payload[:-1] + b"?")
        super().alter(folder, version, payload)
