"""What trials of the registry write is gone in the end, but for what MLflow keeps of deleted things."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.notebook import NotebookStack
from stackwright.workflows.swapping.candidates import candidate, find_place
from stackwright.workflows.swapping.scratch import scratch
from stackwright_interfaces.errors import RegistryError
from stackwright_interfaces.testing.context import SettableClock

EVERY = "answer = sorted(one.name for one in [*client.search_registered_models(), *client.search_experiments()])"


@pytest.fixture
def stack(tmp_path: Path) -> Any:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "blueprint.toml").write_text('name = "x"\n\n[registry]\nadapter = "files"\n')
    with stackwright.load(tmp_path / "project", progress=lambda *_: None) as opened:
        yield opened


def test_a_comparison_removes_what_it_wrote_and_says_what_mlflow_keeps(
    stack: NotebookStack, server: Any, client: Callable[[str], Any]
) -> None:
    def artifacts() -> list[Path]:
        return sorted(path for path in server.artifacts.rglob("*") if path.is_file())

    before = client(EVERY), artifacts()
    outcome = stack.compare("registry", "mlflow", options={"url": server.url})
    assert outcome.ok, outcome
    assert (client(EVERY), artifacts()) == before
    (told,) = outcome.data["stays"]
    assert told in outcome.notes
    ids = told.rpartition(" ")[2].split(",")
    assert "mlflow gc --experiment-ids" in told
    kept = [client(f"answer = client.get_experiment({id_!r}).lifecycle_stage") for id_ in ids]
    assert kept == ["deleted", "deleted"]


def test_a_trial_that_fails_removes_what_it_wrote_and_an_absent_server_is_told(
    stack: NotebookStack,
    server: Any,
    client: Callable[[str], Any],
    model: Callable[[bytes], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def published(url: str) -> None:
        choice = candidate(stack, find_place(stack, "registry"), "mlflow", {"url": url}).choice
        with scratch(stack) as place:
            place.side("b").build(choice, SettableClock()).publish("valuation", model(b"payload"), {})
            raise RuntimeError("in the middle")

    before = client(EVERY)
    caplog.set_level(logging.WARNING, "stackwright.trials")
    with pytest.raises(RuntimeError, match="in the middle"):
        published(server.url)
    assert client(EVERY) == before
    assert "mlflow gc --experiment-ids" in caplog.text
    with pytest.raises(RegistryError):
        published("http://127.0.0.1:9")
    assert "could not be removed" in caplog.text
    assert "http://127.0.0.1:9: the MLflow server cannot be reached" in caplog.text
