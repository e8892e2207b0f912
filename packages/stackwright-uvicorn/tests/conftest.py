"""Servers in child processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.server import App, Server
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.server_child import Running
from stackwright_uvicorn import plugin


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a server on a free port; the arguments are a factory of the kit's application, and options."""
    started: list[Running] = []

    def start(factory: str = "application", **options: Any) -> Running:
        config = plugin.UvicornConfig(**{"port": 0, **options})
        folder = tmp_path / f"server-{len(started)}"
        started.append(Running(spec_of(plugin, Server), config, folder, factory))
        return started[-1]

    yield start
    for running in started:
        running.clear()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], App]:
    """Writes a module whose function ``make`` returns an application, for what the kit's application cannot do."""

    def write(source: str) -> App:
        (tmp_path / "written_app.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return App(factory="written_app:make", plan=tmp_path / "plan.json")

    return write
