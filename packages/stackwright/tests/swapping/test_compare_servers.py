"""Servers held against each other: the same requests, every value of every answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import stackwright
from stackwright.assembly.discovery import Plugins
from stackwright.workflows.swapping import server_trial
from stackwright.workflows.swapping.answers import Answers, differences
from stackwright.workflows.swapping.candidates import candidate, find_place, present
from stackwright.workflows.swapping.scratch import Scratch

Tree = Callable[[Path], dict[str, bytes]]


@pytest.mark.nightly
def test_a_careless_server_is_found_and_the_project_is_left_alone(
    served: Path, crooked: Plugins, tree: Tree, tmp_path: Path
) -> None:
    before = tree(served)
    with stackwright.load(served, plugins=crooked, progress=lambda *_: None) as stack:
        workload = server_trial.record(stack)
        place = find_place(stack, "server")
        found = {}
        for part in (present(stack, place), candidate(stack, place, "crooked", {"vice": "careless"})):
            found[part.name] = Answers()
            workload.run(
                Scratch(tmp_path / part.name, served, part.name), part.choice, found[part.name], lambda *_: None
            )
    own = found["uvicorn"]
    answered = [values for (case, _), values in own.values.items() if not case.startswith("mistakes")]
    assert {values["status"] for values in answered} == {200}
    assert {values["status"] for (case, _), values in own.values.items() if case.startswith("mistakes")} > {400, 404}
    assert own.memory > 10_000_000
    assert 0 < own.told[server_trial.READY] < 60
    named = {(item.case, item.column) for item in differences(own, found["crooked"])}
    assert named == {("predict valuation@1", "predictions.0.value"), ("mistakes about valuation@1", "status")}
    assert tree(served) == before


@pytest.mark.nightly
@pytest.mark.parametrize("adapter", ["bentoml", "sagemaker"])
def test_servers_that_are_right_differ_in_nothing(work: Path, tree: Tree, adapter: str) -> None:
    before = tree(work)
    with stackwright.load(work, progress=lambda *_: None) as stack:
        compared = stack.compare("server", adapter)
    assert compared.ok, str(compared)
    told = json.loads(json.dumps(compared.to_json()))
    assert told["values"] > 1000
    assert {"p50_ms", "p99_ms"} < told["latency"]["predict valuation@1"]["b"].keys()
    assert all(told["memory"][side] > 0 and told["measures"][side][server_trial.READY] > 0 for side in "ab")
    assert tree(work) == before


@pytest.mark.nightly
def test_a_server_that_does_not_start_is_a_finding(work: Path, crooked: Plugins, tree: Tree) -> None:
    before = tree(work)
    with stackwright.load(work, plugins=crooked, progress=lambda *_: None) as stack:
        compared = stack.compare("server", "crooked", options={"vice": "failing"})
    assert not compared.ok
    assert "full of eels" in str(compared)
    assert tree(work) == before


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_proven_server_is_swapped_in(work: Path) -> None:
    with stackwright.load(work, progress=lambda *_: None) as stack:
        swapped = stack.swap("server", "bentoml", prove=True)
    assert swapped.ok, str(swapped)
    assert "cases of the conformance kit pass, and none of" in str(swapped)
    assert 'adapter = "bentoml"' in (work / "blueprint.toml").read_text()


@pytest.mark.nightly
@pytest.mark.parametrize("adapter", ["uvicorn", "bentoml"])
def test_an_interruption_ends_the_server_and_leaves_nothing_behind(
    work: Path, tree: Tree, interruptible: list[str], adapter: str
) -> None:
    blueprint = work / "blueprint.toml"
    blueprint.write_text(blueprint.read_text().replace('"uvicorn"', f'"{adapter}"'))
    before = tree(work)
    command = [*interruptible, "compare", "server", "uvicorn", "--project", str(work)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(work.glob(".stackwright/trials/*/a/served.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)  # ends when the last process that holds standard error has ended
    assert child.returncode == 130, said
    assert tree(work) == before
    assert not (work / ".stackwright" / "trials").exists()
