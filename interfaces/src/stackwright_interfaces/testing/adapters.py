"""The kit for any adapter: what its :class:`~stackwright_interfaces.plugin.AdapterSpec` says must be so."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final

from stackwright_interfaces.feature_store import SupportsComputing, SupportsReaders, SupportsSQL
from stackwright_interfaces.plugin import AdapterSpec, Capability
from stackwright_interfaces.registry import SupportsRuns
from stackwright_interfaces.server import SupportsImages
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.trainer import SupportsQuantiles, SupportsRanking, SupportsTimeToEvent

PROTOCOLS: Final[Mapping[Capability, type]] = {
    Capability.READERS: SupportsReaders,
    Capability.RUNS: SupportsRuns,
    Capability.SQL: SupportsSQL,
    Capability.COMPUTES: SupportsComputing,
    Capability.RANKING: SupportsRanking,
    Capability.TIME_TO_EVENT: SupportsTimeToEvent,
    Capability.QUANTILES: SupportsQuantiles,
    Capability.IMAGES: SupportsImages,
}
"""The protocol that belongs to each capability."""

_MODULES_LOADED = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def load_factory(spec: AdapterSpec) -> Callable[[Any, Any], Any]:
    """Import the factory that a spec names."""
    module, _, name = spec.factory.partition(":")
    factory: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), name)
    return factory


def spec_of(plugin: ModuleType, provides: type) -> AdapterSpec:
    """Return the one spec that a plugin module offers for a contract."""
    specs: list[AdapterSpec] = [spec for spec in plugin.stackwright_adapters() if spec.provides is provides]
    (spec,) = specs
    return spec


class AdapterCases:
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        spec: the spec under test.
    """

    spec: ClassVar[AdapterSpec]

    def config(self, folder: Path) -> Any:
        """Return a configuration that keeps whatever it stores below ``folder``; override it where one is needed."""
        return self.spec.config()

    def build(self, folder: Path, clock: Callable[[], datetime] | None = None) -> Any:
        """Build the adapter as the engine does; again with the same folder, it finds what it left there."""
        return load_factory(self.spec)(self.config(folder), make_context(folder, clock))

    def test_the_configuration_is_a_dataclass(self) -> None:
        assert isinstance(self.spec.config, type)
        assert dataclasses.is_dataclass(self.spec.config)

    def test_the_plugin_offers_the_spec_through_the_hook(self) -> None:
        plugin = importlib.import_module(self.spec.config.__module__)
        assert self.spec in tuple(plugin.stackwright_adapters())
        assert hasattr(plugin.stackwright_adapters, "stackwright_impl"), "decorate stackwright_adapters with @hookimpl"

    def test_the_entry_point_has_the_name_of_the_adapter(self) -> None:
        points = entry_points(group="stackwright", name=self.spec.name)
        assert self.spec.config.__module__ in {point.value for point in points}

    def test_the_plugin_module_imports_no_vendor(self) -> None:
        child = subprocess.run(
            [sys.executable, "-c", _MODULES_LOADED, self.spec.config.__module__],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {name.partition(".")[0] for name in json.loads(child.stdout)}
        own = self.spec.config.__module__.partition(".")[0]
        ours = {name for name in loaded if name in ("pluggy", own) or name.startswith("stackwright_")}
        assert loaded - ours - sys.stdlib_module_names == set()

    def test_the_factory_builds_what_the_spec_provides(self, tmp_path: Path) -> None:
        built = self.build(tmp_path)
        try:
            assert isinstance(built, self.spec.provides)
        finally:
            _close(built)

    def test_the_contract_is_the_one_in_force(self) -> None:
        contract = importlib.import_module(self.spec.provides.__module__)
        assert self.spec.contract == getattr(contract, "CONTRACT", None)

    def test_it_has_exactly_the_abilities_it_declares(self, tmp_path: Path) -> None:
        built = self.build(tmp_path)
        try:
            found = {capability for capability, protocol in PROTOCOLS.items() if isinstance(built, protocol)}
        finally:
            _close(built)
        assert found == self.spec.capabilities

    def test_it_may_be_closed_twice(self, tmp_path: Path) -> None:
        built = self.build(tmp_path)
        _close(built)
        _close(built)


def _close(built: Any) -> None:
    close = getattr(built, "close", None)
    if close is not None:
        close()
