"""The kit for any adapter: what its :class:`~stackwright_interfaces.plugin.AdapterSpec` says must be so."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from hashlib import blake2b
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final, get_type_hints

import pytest

from stackwright_interfaces.contracts import in_force
from stackwright_interfaces.feature_store import SupportsComputing, SupportsReaders, SupportsSQL
from stackwright_interfaces.plugin import AdapterSpec, Capability, with_paths
from stackwright_interfaces.registry import SupportsRuns
from stackwright_interfaces.server import SupportsImages
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.testing.context import make_context, no_storage
from stackwright_interfaces.trainer import SupportsParts, SupportsQuantiles, SupportsRanking, SupportsTimeToEvent

PROTOCOLS: Final[Mapping[Capability, type]] = {
    Capability.READERS: SupportsReaders,
    Capability.RUNS: SupportsRuns,
    Capability.SQL: SupportsSQL,
    Capability.COMPUTES: SupportsComputing,
    Capability.RANKING: SupportsRanking,
    Capability.TIME_TO_EVENT: SupportsTimeToEvent,
    Capability.QUANTILES: SupportsQuantiles,
    Capability.PARTS: SupportsParts,
    Capability.IMAGES: SupportsImages,
}
"""The protocol that belongs to each capability."""

_MODULES_LOADED = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def load(reference: str) -> Any:
    """Import what ``"package.module:name"`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def load_factory(spec: AdapterSpec) -> Callable[[Any, Any], Any]:
    """Import the factory that a spec names."""
    factory: Callable[[Any, Any], Any] = load(spec.factory)
    return factory


def spec_of(plugin: ModuleType, provides: type) -> AdapterSpec:
    """Return the one spec that a plugin module offers for a contract."""
    specs: list[AdapterSpec] = [spec for spec in plugin.stackwright_adapters() if spec.provides is provides]
    (spec,) = specs
    return spec


def configured(spec: AdapterSpec, options: Mapping[str, Any], folder: Path) -> Any:
    """Return the configuration of an adapter whose project is a test's folder; see :meth:`AdapterCases.config`."""
    kinds = get_type_hints(spec.config)
    paths = {option: option for option in missing(spec, options) if kinds[option] is Path}
    return spec.config(**with_paths(spec.config, {**paths, **filled(options, folder)}, folder))


def missing(spec: AdapterSpec, options: Mapping[str, Any]) -> list[str]:
    """Return the options of an adapter that must be given, and are not."""
    absent = dataclasses.MISSING
    needed = [item for item in dataclasses.fields(spec.config) if item.default is item.default_factory is absent]
    return [item.name for item in needed if item.init and item.name not in options]


def filled(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return options with the folder of a test put in for ``{folder}``, and a word of its own for ``{name}``."""
    name = f"kit_{blake2b(bytes(folder), digest_size=10).hexdigest()}"

    def put_in(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{folder}", str(folder)).replace("{name}", name)
        if isinstance(value, Mapping):
            return {key: put_in(item) for key, item in value.items()}
        return type(value)(map(put_in, value)) if isinstance(value, list | tuple) else value

    return {key: put_in(value) for key, value in options.items()}


def remove_objects(storage: Storage) -> None:
    """Empty a storage that belongs to a test."""
    with closing(storage):
        for key in list(storage.list()):
            storage.delete(key)


class AdapterKit:
    """Base of cases on an adapter: how it is configured and built, and that nothing of it is left on a server.

    Attributes:
        spec: the spec under test.
        options: options of the adapter, laid over its defaults. In a text ``{folder}`` stands for the folder of the
            test, ``{name}`` for a word that no other test has: what keeps tests apart on a server that they share.
        files: path → content of what must lie in the folder of each test: code of a project, or a model.
        unmet: name of a test → why this adapter cannot meet it. Such a test must fail.
        inapplicable: name of a test, or of a class of cases → why it says nothing about this adapter. It is skipped.
        opener: ``"package.module:callable"`` that opens a storage by URL or path, for an adapter that keeps objects in
            one.
    """

    spec: ClassVar[AdapterSpec]
    options: ClassVar[Mapping[str, Any]] = {}
    files: ClassVar[Mapping[str, str | bytes]] = {}
    unmet: ClassVar[Mapping[str, str]] = {}
    inapplicable: ClassVar[Mapping[str, str]] = {}
    opener: ClassVar[str] = ""

    def config(self, folder: Path) -> Any:
        """Return a configuration that keeps whatever it stores apart from that of other folders.

        Paths are resolved against the folder, as the engine resolves them against a project; a path that must be given
        and is not has the name of its option. Override it where this, :attr:`options` and :attr:`files` do not do.
        """
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return configured(self.spec, self.options, folder)

    def build(self, folder: Path, clock: Callable[[], datetime] | None = None) -> Any:
        """Build the adapter as the engine does; again with the same folder, it finds what it left there."""
        vars(self).setdefault("_folders", {})[folder] = None
        return load_factory(self.spec)(self.config(folder), make_context(folder, clock, self.storage))

    def storage(self, url: str) -> Storage:
        """Open a storage for the adapter."""
        vars(self).setdefault("_storages", {})[url] = None
        open_storage: Callable[[str], Storage] = load(self.opener) if self.opener else no_storage
        return open_storage(url)

    def tidy(self, folder: Path) -> None:
        """Remove what the adapter of a folder keeps on a server; override it where the contract alone cannot."""

    @pytest.fixture(autouse=True)
    def _left_tidy(self) -> Iterator[None]:
        """Remove what a test leaves where ``{name}`` keeps it apart; folders are removed by themselves."""
        yield
        if "{name}" not in str(self.options):
            return
        for folder in list(vars(self).get("_folders", ())):
            self.tidy(folder)
            word = filled({"word": "{name}"}, folder)["word"]
            for url in [url for url in vars(self).get("_storages", ()) if word in url]:
                remove_objects(self.storage(url))


class AdapterCases(AdapterKit):
    """Subclass it in a test module, under a name that starts with ``Test``."""

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
        assert self.spec.contract == in_force(self.spec.provides)

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
