"""The contracts as a whole: what they import, their abilities, their hooks."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pluggy
import pytest

from stackwright_interfaces import plugin
from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.plugin import PROJECT, Capability, Context, hookimpl
from stackwright_interfaces.testing.adapters import PROTOCOLS
from stackwright_interfaces.testing.context import NOON, make_context

CONTRACTS = (
    "catalogue",
    "checks",
    "compute",
    "contracts",
    "copies",
    "definitions",
    "document",
    "errors",
    "feature_store",
    "forms",
    "gates",
    "imports",
    "listening",
    "model",
    "monitor",
    "online_rows",
    "pipelines",
    "plugin",
    "project",
    "recommender",
    "registry",
    "registry_names",
    "server",
    "storage",
    "streams",
    "tables",
    "trainer",
    "types",
    "upkeep",
    "views",
    "writer_lock",
)

IMPORTS = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(f"stackwright_interfaces.{name}")
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_the_contracts_need_the_standard_library_and_pluggy_alone() -> None:
    child = subprocess.run(
        [sys.executable, "-c", IMPORTS, *CONTRACTS], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(child.stdout))
    assert "stackwright_interfaces" in loaded
    assert loaded - sys.stdlib_module_names <= {"pluggy", "stackwright_interfaces"}


def test_every_module_of_the_contracts_is_under_that_test() -> None:
    folder = Path(plugin.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")} - {"testing"}
    assert modules | packages == set(CONTRACTS)


def test_every_capability_has_a_protocol_that_the_kit_checks() -> None:
    assert set(PROTOCOLS) == set(Capability)


def test_a_plugin_is_asked_through_the_hooks() -> None:
    class Offered:
        @hookimpl
        def stackwright_samples(self) -> list[plugin.SampleSpec]:
            return [plugin.SampleSpec(name="market", factory="market.sample:write")]

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(plugin)
    manager.register(Offered())
    manager.check_pending()
    ((spec,),) = manager.hook.stackwright_samples()
    assert spec.name == "market"
    assert manager.hook.stackwright_adapters() == []


def test_a_context_tells_the_time_in_utc(tmp_path: Path) -> None:
    context = Context(project=tmp_path, cache=tmp_path, storage=make_context(tmp_path).storage)
    assert context.clock().tzinfo is UTC


def test_the_context_of_a_test_stands_at_noon_and_has_a_cache_and_no_storage(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    assert context.clock() == NOON
    assert context.cache.is_dir()
    with pytest.raises(StorageError, match="Give one: make_context"):
        context.storage("s3://bucket")
