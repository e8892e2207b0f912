"""BentoML, and servers in child processes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackwright_bentoml import plugin
from stackwright_interfaces.server import App, Server
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.server_child import Running

BY_DAY = ("test_a_body_goes_in_and_out_unchanged", "test_several_workers_answer", "test_it_says_once_where_it_answers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A server under BentoML takes ten seconds to start: by day it answers, by night it goes through the whole kit."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "TestBentoMLServer" in item.nodeid and not _is_of_day(item):
            item.add_marker(pytest.mark.nightly)


def _is_of_day(item: pytest.Item) -> bool:
    return item.name.startswith(BY_DAY) or "start" not in getattr(item, "fixturenames", ())


@pytest.fixture
def bentoml() -> None:
    """Without BentoML the test is skipped, but in CI it fails."""
    if importlib.util.find_spec("bentoml") is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("BentoML is not installed; run: pip install 'bentoml>=1.4.20'")


@pytest.fixture
def start(bentoml: None, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a server on a free port; the arguments are a factory of the kit's application, and options."""
    started: list[Running] = []

    def start(factory: str = "application", **options: Any) -> Running:
        config = plugin.BentoMLConfig(**{"port": 0, **options})
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
        plan = tmp_path / "plan.json"
        plan.write_text("{}")
        return App(factory="written_app:make", plan=plan)

    return write
