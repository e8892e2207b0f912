"""The conformance kits, tried on stores that are wrong in one way each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.testing.broken import BROKEN_OFFLINE, BROKEN_ONLINE, BROKEN_WHOLE, Broken

SUITE = """
from pathlib import Path

from hypothesis import Phase, settings

# What is broken need not be narrowed down.
settings.register_profile("once", phases=[Phase.generate], report_multiple_bugs=False, derandomize=True, database=None)
settings.load_profile("once")

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.feature_store import OfflineStore, OnlineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.broken import BROKEN_OFFLINE, BROKEN_ONLINE, BROKEN_WHOLE, Broken
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.offline_store import OfflineStoreCases
from stackwright_interfaces.testing.online_store import OnlineStoreCases
from stackwright_memory import plugin
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.online import MemoryOnlineStore

EVERY = tuple(range(1, 46))


class Whole(FeatureStoreCases):
    durable = False
    broken = Broken(name="nothing", cases=EVERY)

    def open(self, folder, clock):
        context = make_context(folder, clock)

        def make(offline, online):
            history = offline(MemoryOfflineStore(plugin.MemoryConfig(), context))
            rows = online(MemoryOnlineStore(plugin.MemoryConfig(), context))
            return ComposedFeatureStore(history, rows, project=folder, clock=clock)

        return self.broken.build(make)


class Offline(OfflineStoreCases):
    spec = spec_of(plugin, OfflineStore)
    durable = False
    broken = Broken(name="nothing", cases=EVERY, offline=lambda half: half)

    def open(self, folder, clock):
        return self.broken.offline(super().open(folder, clock))


class Online(OnlineStoreCases):
    spec = spec_of(plugin, OnlineStore)
    durable = False
    broken = Broken(name="nothing", cases=EVERY, online=lambda half: half)

    def open(self, folder):
        return self.broken.online(super().open(folder))


def define(kit, broken):
    name = f"Test{kit.__name__}: {broken.name}"
    globals()[name] = type(name, (kit,), {"broken": broken, "__test__": True})


for kit in (Whole, Offline, Online):
    define(kit, kit.broken)
for broken in (*BROKEN_OFFLINE, *BROKEN_ONLINE, *BROKEN_WHOLE):
    define(Whole, broken)
for broken in BROKEN_OFFLINE:
    define(Offline, broken)
for broken in BROKEN_ONLINE:
    define(Online, broken)
"""

CONFTEST = '''
import json
from pathlib import Path

import pytest

found = {}


def wanted(item):
    broken = item.cls.broken
    cases = {f"case {mark.args[0]}" for mark in item.iter_markers("case") if mark.args[0] in broken.cases}
    return cases | {item.originalname} & set(broken.tests)


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if wanted(item)]


def pytest_runtest_setup(item):
    """Once something has been found, it need not be found again."""
    if item.cls.broken.name != "nothing" and wanted(item) <= found.get(item.cls.__name__, set()):
        pytest.skip("found already")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        found.setdefault(item.cls.__name__, set()).update(wanted(item))
    elif report.failed:
        found.setdefault("outside of tests", set()).add(f"{item.nodeid}: {report.longreprtext}")
    return report


def pytest_sessionfinish(session):
    tried = sorted({item.cls.__name__ for item in session.items})
    outcome = {"tried": tried, "found": {name: sorted(what) for name, what in found.items()}}
    Path(__file__).with_name("outcome.json").write_text(json.dumps(outcome))
'''


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the kits found, kit and fault by kit and fault."""
    folder: Path = tmp_path_factory.mktemp("broken")
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "--no-header", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    child = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    report = folder / "outcome.json"
    assert report.exists(), child.stdout + child.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize("kit", ["Whole", "Offline", "Online"])
def test_a_correct_store_passes_every_case(outcome: dict[str, Any], kit: str) -> None:
    assert f"Test{kit}: nothing" in outcome["tried"]
    assert f"Test{kit}: nothing" not in outcome["found"]


def test_no_broken_store_fails_outside_of_the_tests(outcome: dict[str, Any]) -> None:
    assert outcome["found"].get("outside of tests", []) == []


@pytest.mark.parametrize(
    "broken", [*BROKEN_OFFLINE, *BROKEN_ONLINE, *BROKEN_WHOLE], ids=lambda broken: broken.name.replace(" ", "-")
)
def test_each_named_case_finds_the_broken_store(outcome: dict[str, Any], broken: Broken) -> None:
    kits = [kit for kit in ("Whole", "Offline", "Online") if f"Test{kit}: {broken.name}" in outcome["tried"]]
    found = {name for kit in kits for name in outcome["found"].get(f"Test{kit}: {broken.name}", [])}
    assert found == {*(f"case {case}" for case in broken.cases), *broken.tests}


@pytest.mark.parametrize("broken", BROKEN_OFFLINE, ids=lambda broken: broken.name.replace(" ", "-"))
def test_the_kit_of_the_offline_half_finds_its_faults_by_itself(outcome: dict[str, Any], broken: Broken) -> None:
    assert outcome["found"].get(f"TestOffline: {broken.name}", [])


@pytest.mark.parametrize("broken", BROKEN_ONLINE, ids=lambda broken: broken.name.replace(" ", "-"))
def test_the_kit_of_the_online_half_finds_its_faults_by_itself(outcome: dict[str, Any], broken: Broken) -> None:
    assert outcome["found"].get(f"TestOnline: {broken.name}", [])


def test_every_case_of_the_specification_finds_a_broken_store() -> None:
    every = [*BROKEN_OFFLINE, *BROKEN_ONLINE, *BROKEN_WHOLE]
    assert {case for broken in every for case in broken.cases} == set(range(1, 46))
