"""A registry of files moved into MLflow, and back: every number, time, alias, line, run and file is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stackwright.workflows.swapping.moves import Mismatch
from stackwright.workflows.swapping.moving_registry import move_registry
from stackwright.workflows.swapping.replaying import Clock
from stackwright_files.plugin import FilesConfig
from stackwright_files.registry import FilesRegistry
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.registry import Run
from stackwright_interfaces.testing.context import NOON, SettableClock
from stackwright_interfaces.testing.registry_trial import alias, at
from stackwright_mlflow.plugin import MlflowConfig
from stackwright_mlflow.registry import MlflowRegistry
from stackwright_storage import open_storage


def silent(_what: str, _done: int, _total: int) -> None:
    return None


def context(folder: Path, clock: Callable[[], Any]) -> Context:
    """Return the context of one registry; its cache is its own, so that no file of the other is taken for its."""
    cache = folder / "cache"
    cache.mkdir(parents=True)
    return Context(project=folder, cache=cache, storage=open_storage, clock=clock)


def test_there_and_back(server: Any, own: str, tmp_path: Path, model: Callable[[bytes], Path]) -> None:
    clock = SettableClock()
    old = FilesRegistry(FilesConfig(), context(tmp_path / "old", clock))
    for payload in (b"one", b"two"):
        old.publish("valuation", model(payload), {"metrics": {"mdape": 0.1}, "tags": ["größer", None]}, who="ada")
        clock.advance(timedelta(minutes=1))
    old.record(replace(alias(1, minute=2), who="bob", why="first"), expected=None)
    old.record(replace(alias(2, minute=3), evidence={"gates": [{"name": "baseline", "passed": True}]}), expected=1)
    run = Run(id="a1", name="valuation", status="finished", started=NOON, ended=at(4), metrics={"mdape": 0.1})
    old.save_run(run)

    config = MlflowConfig(url=server.url, experiment=own, prefix=f"{own}.", timeout=20)
    there = Clock()
    middle = MlflowRegistry(config, context(tmp_path / "middle", there))
    moved = move_registry(old, middle, there, silent)
    assert moved.things == {"versions": 2, "journal lines": 4, "runs": 1}
    assert middle.history() == old.history()
    assert move_registry(old, middle, there, silent) == moved

    back = Clock()
    new = FilesRegistry(FilesConfig(), context(tmp_path / "new", back))
    assert move_registry(middle, new, back, silent).digests == moved.digests
    assert new.history() == old.history()
    assert new.runs() == old.runs() == [run]

    old.record(alias(1, minute=5), expected=2)
    middle.record(alias(None, minute=5), expected=2)
    with pytest.raises(Mismatch, match="line 5"):
        move_registry(old, middle, there, silent)
