"""One part for another in the blueprint: its bytes change alone, what it keeps comes along, a wrong one stays out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import PostgresServer, RedisServer

import stackwright
from stackwright.assembly.discovery import Plugins
from stackwright.notebook import NotebookStack
from stackwright.workflows.swapping.moves import Mismatch
from stackwright_features.watermarks import VIEW
from stackwright_interfaces.errors import BlueprintError, StackwrightError, UsageError
from stackwright_interfaces.feature_store import OnlineRow
from stackwright_interfaces.model import GOLDEN, Manifest, ModelRef, Signature, describe_files
from stackwright_interfaces.registry import Event, Registry, Run, SupportsRuns
from stackwright_interfaces.types import FLOAT64, Field

Tree = Callable[[Path], dict[str, bytes]]
Again = Callable[[], NotebookStack]

START = datetime(2024, 1, 1, tzinfo=UTC)
VIEWS = ("homes@1", "visits@1", VIEW)


@pytest.fixture
def again(stack: NotebookStack, crooked: Plugins) -> Iterator[Again]:
    """Opens the project anew."""
    opened = []

    def again() -> NotebookStack:
        opened.append(stackwright.load(stack.project.folder, plugins=crooked, progress=lambda *_: None))
        return opened[-1]

    yield again
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def servers(
    start_redis: Callable[..., RedisServer], start_postgres: Callable[[], PostgresServer]
) -> Callable[[str, str], dict[str, str]]:
    """Gives options for a place of its own on a real server, started with the first that asks."""
    started: dict[str, Any] = {}

    def options(adapter: str, name: str) -> dict[str, str]:
        if adapter == "redis":
            started["redis"] = started.get("redis") or start_redis("--appendonly", "no")
            return {"url": started["redis"].url, "prefix": name}
        if adapter == "postgres":
            started["postgres"] = started.get("postgres") or start_postgres()
            return {"url": started["postgres"].url(), "table": name}
        return {"path": f"{name}.lmdb"}

    return options


def rows_of(stack: NotebookStack) -> dict[str, list[OnlineRow]]:
    online = stack.online
    assert online is not None
    return {view: sorted(online.scan(view), key=lambda row: row.key) for view in VIEWS}


def text_of(stack: NotebookStack) -> str:
    return stack.project.blueprint.read_bytes().decode()


def test_a_swap_changes_its_own_line_alone_and_says_what_was_not_proven(stack: NotebookStack) -> None:
    before = text_of(stack)
    done = stack.swap("online", "lmdb", {"path": "data/online.lmdb"})
    assert done.ok
    was, now = '{ adapter = "sqlite", path = "data/online.db" }', '{ adapter = "lmdb", path = "data/online.lmdb" }'
    assert text_of(stack) == before.replace(was, now)
    assert "Not proven" in str(done)
    assert "stackwright materialize" in str(done)
    evidence = json.loads(Path(done.data["evidence"]).read_text())
    assert (evidence["before"], evidence["after"], evidence["refused"]) == (was, now, "")


SWAPS = st.lists(
    st.sampled_from(
        [
            ("online", "lmdb", {"path": "o.lmdb"}),
            ("online", "redis", {"url": "redis://nowhere/0"}),
            ("offline", "spark", {"path": "other", "driver_memory": "1g"}),
            ("registry", "mlflow", {}),
            ("trainer", "sklearn", {}),
            ("server", "bentoml", {"port": "3001"}),
        ]
    ),
    unique_by=lambda swap: swap[0],
    min_size=1,
)


@given(SWAPS, st.booleans())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_there_and_back_gives_the_blueprint_its_bytes_again(
    stack: NotebookStack, swaps: list[tuple[str, str, dict[str, str]]], backwards: bool
) -> None:
    before = text_of(stack)
    chosen = {key.partition(":")[0]: choice.spec.name for key, choice in stack.plan.choices.items()}

    def swap(slot: str, adapter: str, options: dict[str, str]) -> None:
        with stackwright.load(stack.project.folder, plugins=stack.plugins, progress=lambda *_: None) as opened:
            opened.swap(slot, adapter, options)

    for slot, adapter, options in swaps:
        swap(slot, adapter, options)
        assert text_of(stack) != before
    for slot, *_ in reversed(swaps) if backwards else swaps:
        swap(slot, chosen[slot], {})
    assert text_of(stack) == before


@pytest.mark.parametrize("adapter", ["redis", "postgres", pytest.param("lmdb", marks=pytest.mark.nightly)])
def test_online_rows_come_along_byte_for_byte(
    stack: NotebookStack, again: Again, servers: Callable[[str, str], dict[str, str]], tree: Tree, adapter: str
) -> None:
    before, files = rows_of(stack), tree(stack.project.folder / "data")
    asked = {"home_id": ["00", "07", "none"]}
    at = START + timedelta(days=40)
    answer = stack.features.read("valuation@1", asked, {"rooms": [1, 2, 3]}, at=at)
    done = stack.swap("online", adapter, servers(adapter, "moved"), migrate=True)
    moved = again()
    assert moved.plan.choices["online"].spec.name == adapter
    assert rows_of(moved) == before
    found = moved.features.read("valuation@1", asked, {"rooms": [1, 2, 3]}, at=at)
    assert {name: list(map(str, column)) for name, column in found.columns.items()} == {
        name: list(map(str, column)) for name, column in answer.columns.items()
    }
    assert tree(stack.project.folder / "data").items() >= files.items()
    assert done.data["moved"]["things"] == {"rows": sum(map(len, before.values()))}
    assert done.data["moved"]["digests"].keys() == set(VIEWS)


def test_rows_that_the_new_store_holds_otherwise_stop_the_swap(stack: NotebookStack) -> None:
    before = text_of(stack)
    with pytest.raises(Mismatch, match=r"view 'homes@1', key \w+: the old store has digest \w+, the new one digest"):
        stack.swap("online", "crooked", {"vice": "altering"}, migrate=True)
    assert text_of(stack) == before
    (evidence,) = (stack.project.state / "swaps").glob("*.json")
    assert "the new one digest" in json.loads(evidence.read_text())["refused"]


def test_rows_that_were_there_before_stop_the_swap(stack: NotebookStack, crooked: Plugins) -> None:
    with stackwright.load(stack.project.folder, plugins=crooked, progress=lambda *_: None) as other:
        other.swap("online", "lmdb", {"path": "other.lmdb"}, migrate=True)
        other.swap("online", "sqlite")
    with stackwright.load(stack.project.folder, plugins=crooked, progress=lambda *_: None) as held:
        before = text_of(held)
        assert held.online is not None
        gone = next(iter(held.online.scan("homes@1"))).key
        held.online.drop("homes@1", [gone])
        with pytest.raises(Mismatch, match=f"key {gone.hex()}: the old store has no row"):
            held.swap("online", "lmdb", {"path": "other.lmdb"}, migrate=True)
        assert text_of(held) == before


_CHILD = """
import sys, crooked_plugin, stackwright
from stackwright.assembly.discovery import Plugins
plugins = Plugins(extra={"crooked": crooked_plugin})
stack = stackwright.load(sys.argv[1], plugins=plugins, progress=lambda *_: None)
stack.swap(sys.argv[2], "crooked", {"vice": "dying", "after": sys.argv[3]}, migrate=True)
"""


def die(stack: NotebookStack, slot: str, after: int) -> None:
    command = [sys.executable, "-c", _CHILD, str(stack.project.folder), slot, str(after)]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL


def test_a_move_of_rows_that_was_killed_goes_on_and_may_be_begun_twice(stack: NotebookStack, again: Again) -> None:
    before, text = rows_of(stack), text_of(stack)
    die(stack, "online", after=len(before["homes@1"]))
    assert text_of(stack) == text
    stack.swap("online", "crooked", migrate=True)
    assert rows_of(again()) == before
    assert not (stack.project.state / "trials").exists()


def publish(registry: Registry, folder: Path, name: str, payload: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(payload)
    (folder / GOLDEN).write_text('{"inputs": {"area": 70.0}, "outputs": {"price": 1.0}}\n')
    signature = Signature(inputs=(Field("area", FLOAT64),), outputs=(Field("price", FLOAT64),))
    Manifest(flavour="none", files=describe_files(folder), signature=signature, task="regression").write(folder)
    registry.publish(name, folder, {"metrics": {"mdape": 0.1}, "tags": [1, None, "é"]}, who="ada")


@pytest.fixture
def published(stack: NotebookStack, tmp_path: Path) -> NotebookStack:
    """The small project with three versions of two models, aliases, evidence and a run."""
    registry = stack.registry
    for number, name in enumerate(("valuation", "valuation", "ranking")):
        publish(registry, tmp_path / "models" / str(number), name, f"model {number}".encode())
    evidence = {"gates": [{"name": "baseline", "passed": True, "value": 0.25}]}
    at = datetime.now(UTC)
    registry.record(Event(at=at, kind="evidence", name="valuation", version=2, who="ada", evidence=evidence))
    for before, after in ((None, 1), (1, 2)):
        moved = Event(at=at, kind="alias", name="valuation", alias="champion", after=after, who="bob", why="better")
        registry.record(moved, expected=before)
    run = Run(id="r1", name="valuation", status="finished", started=START, ended=at, metrics={"mdape": 0.1})
    assert isinstance(registry, SupportsRuns)
    registry.save_run(run)
    return stack


def test_a_registry_comes_along_with_numbers_times_aliases_evidence_and_runs(
    published: NotebookStack, again: Again, tree: Tree
) -> None:
    life, files = published.registry.history(), tree(published.project.folder / "registry")
    assert isinstance(published.registry, SupportsRuns)
    runs = published.registry.runs()
    done = published.swap("registry", "files", {"url": "elsewhere"}, migrate=True)
    moved = again().registry
    assert moved.history() == life
    assert isinstance(moved, SupportsRuns)
    assert moved.runs() == runs
    champion = moved.resolve(ModelRef("valuation", alias="champion"))
    assert (
        Manifest.read(moved.fetch(champion)).digest == champion.digest == done.data["moved"]["digests"]["valuation@2"]
    )
    assert done.data["moved"]["things"] == {"versions": 3, "journal lines": 6, "runs": 1}
    assert tree(published.project.folder / "registry") == files


@pytest.mark.parametrize("vice", ["forgetful", "silent"])
def test_a_registry_that_keeps_something_else_stops_the_swap(published: NotebookStack, vice: str) -> None:
    before = text_of(published)
    with pytest.raises(Mismatch, match={"forgetful": "record", "silent": "line"}[vice]):
        published.swap("registry", "crooked", {"vice": vice}, migrate=True)
    assert text_of(published) == before


@pytest.mark.nightly
def test_a_registry_whose_move_was_killed_goes_on(published: NotebookStack, again: Again) -> None:
    life, text = published.registry.history(), text_of(published)
    die(published, "registry", after=3)
    assert text_of(published) == text
    published.swap("registry", "crooked", migrate=True)
    assert again().registry.history() == life


def test_a_version_damaged_in_the_new_place_is_noticed(published: NotebookStack) -> None:
    published.swap("registry", "files", {"url": "elsewhere"}, migrate=True)
    for weights in (published.project.folder / "elsewhere").rglob("weights.bin"):
        weights.chmod(0o644)
        weights.write_bytes(b"altered")
    published.project.blueprint.write_text(text_of(published).replace('url = "elsewhere"\n', ""))
    with stackwright.load(published.project.folder, plugins=published.plugins, progress=lambda *_: None) as held:
        before = text_of(held)
        with pytest.raises(StackwrightError, match="the file is altered"):
            held.swap("registry", "files", {"url": "elsewhere"}, migrate=True)
        assert text_of(held) == before


def test_history_comes_along_with_its_positions(stack: NotebookStack, again: Again, tmp_path: Path) -> None:
    (homes, _) = stack.definitions.views
    assert stack.offline is not None
    early = {homes.ref: stack.offline.watermark(homes)}
    (tmp_path / "more.csv").write_text("home_id,changed_at,area,kind\n00,2024-02-01T00:00:00Z,99.5,flat\n")
    stack.ingest("homes", tmp_path / "more.csv")
    done = stack.swap("offline", "duckdb", {"path": "moved"}, migrate=True)
    moved = again()
    assert moved.offline is not None
    assert (
        moved.offline.watermark(homes).position == stack.offline.watermark(homes).position > early[homes.ref].position
    )
    times = [datetime(2024, 3, 1, tzinfo=UTC), START + timedelta(days=5)]
    asked = pa.table({"home_id": ["00", "05"], "rooms": [1, 2], "event_time": times})
    for as_of in (None, early):
        then, now = (pa.table(one.features.join("valuation@1", asked, as_of=as_of)) for one in (stack, moved))
        assert then.equals(now)
    assert done.data["moved"]["things"] == {"rows": 3 * 12 + 1}
    assert "stackwright delete-entity" in str(done)


def test_what_the_kit_passes_is_still_refused_where_a_value_of_the_project_differs(stack: NotebookStack) -> None:
    before = text_of(stack)
    done = stack.swap("online", "crooked", {"vice": "forgetful"}, prove=True)
    assert not done.ok
    assert text_of(stack) == before
    assert "home_id=07" in str(done)
    evidence = json.loads(Path(done.data["evidence"]).read_text())
    assert evidence["proof"]["kit"]["failed"] == []
    assert evidence["proof"]["comparison"]["differing"] > 0
    assert "values differ" in evidence["refused"]


@pytest.mark.nightly
def test_what_fails_in_the_kit_is_refused_and_the_case_named(stack: NotebookStack) -> None:
    before = text_of(stack)
    done = stack.swap("online", "crooked", {"vice": "stale"}, prove=True)
    assert not done.ok
    assert text_of(stack) == before
    evidence = json.loads(Path(done.data["evidence"]).read_text())
    assert evidence["proof"].keys() == {"kit"}
    assert "test_" in evidence["refused"]


@pytest.mark.nightly
def test_what_is_proven_is_swapped_in_with_its_rows(
    stack: NotebookStack, again: Again, servers: Callable[[str, str], dict[str, str]]
) -> None:
    before = rows_of(stack)
    done = stack.swap("online", "redis", servers("redis", "proven"), prove=True, migrate=True)
    assert done.ok, str(done)
    assert "cases of the conformance kit pass" in str(done)
    assert rows_of(again()) == before


def test_an_environment_has_its_own_part_swapped(stack: NotebookStack, crooked: Plugins) -> None:
    layer = '\n[env.staging.feature_store.online] # small\nadapter = "lmdb"\npath = "staging.lmdb"\n'
    stack.project.blueprint.write_text(text_of(stack) + layer)
    with stackwright.load(stack.project.folder, env="staging", plugins=crooked, progress=lambda *_: None) as staging:
        staging.apply()
        before = text_of(staging)
        staging.swap("online", "sqlite", {"path": "staging.db"})
        put = layer.replace('"lmdb"', '"sqlite"').replace("staging.lmdb", "staging.db")
        assert text_of(staging) == before.replace(layer, put)
        with pytest.raises(BlueprintError, match="no registry of its own"):
            staging.swap("registry", "mlflow")


@pytest.mark.parametrize(
    ("slot", "adapter", "options", "migrate", "error", "said"),
    [
        ("online", "sqlite", {}, False, UsageError, "already"),
        ("online", "lmdb", {}, False, BlueprintError, "path is missing"),
        ("online", "redis", {"timeout": "-1"}, False, BlueprintError, "timeout"),
        ("trainer", "sklearn", {}, True, UsageError, "nothing that could be moved"),
        ("feature_stor", "feast", {}, False, UsageError, "cannot be swapped"),
    ],
)
def test_what_cannot_be_swapped_is_said_and_nothing_changes(
    stack: NotebookStack,
    tree: Tree,
    slot: str,
    adapter: str,
    options: dict[str, str],
    migrate: bool,
    error: type[StackwrightError],
    said: str,
) -> None:
    before = tree(stack.project.folder)
    with pytest.raises(error, match=said):
        stack.swap(slot, adapter, options, migrate=migrate)
    assert tree(stack.project.folder) == before
