"""The kit's cases on a real MLflow server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.registry import ModelVersion, Registry, Run
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import NOON
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


def test_what_the_kit_made_is_removed(
    server: Any, client: Callable[[str], Any], model: Callable[[bytes], Path], tmp_path: Path
) -> None:
    kit = cases_of(spec_of(plugin, Registry))()
    kit.options = {**kit.options, "url": server.url}
    (tmp_path / "project").mkdir()
    word = kit.config(tmp_path / "project").experiment
    every = "answer = [one.name for one in [*client.search_registered_models(), *client.search_experiments()]]"
    registry = kit.build(tmp_path / "project")
    registry.publish("homes/valuation", model(b"payload"), {})
    registry.save_run(Run(id="r1", name="homes/valuation", status="finished", started=NOON, ended=NOON))
    made = {name for name in client(every) if word in name}
    assert made == {word, f"{word} journal", f"{word}.homes.valuation"}
    kit.tidy(tmp_path / "project")
    assert not [name for name in client(every) if word in name]
