"""Which plugins are installed, and what each offers. A plugin is loaded only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pluggy

from stackwright.assembly.entry_points import EntryPoint, entry_points
from stackwright_interfaces import plugin as hooks
from stackwright_interfaces.contracts import in_force, older, refusal
from stackwright_interfaces.errors import AdapterNotInstalled, PluginError, did_you_mean
from stackwright_interfaces.gates import CONTRACT as GATES
from stackwright_interfaces.gates import GateSpec
from stackwright_interfaces.plugin import PROJECT, AdapterSpec, BlueprintSpec, SampleSpec


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """What one entry point offers.

    Args:
        name: the entry point's name.
        distribution: the distribution it comes from, with its version.
        problem: why it cannot be used; empty when it can.
    """

    name: str
    distribution: str
    version: str
    module: str
    adapters: tuple[AdapterSpec, ...] = ()
    blueprints: tuple[BlueprintSpec, ...] = ()
    samples: tuple[SampleSpec, ...] = ()
    gates: tuple[GateSpec, ...] = ()
    problem: str = ""

    @property
    def origin(self) -> str:
        """The distribution, or the module of a plugin registered by hand."""
        return self.distribution or self.module


@dataclass
class Plugins:
    """The installed plugins, by entry-point name.

    Args:
        extra: plugin modules or objects registered by hand, by name; for tests and notebooks.
        order: names of entry points whose hooks run before those of others, in this order.
    """

    extra: dict[str, object] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    _loaded: dict[str, list[Plugin]] = field(default_factory=dict)

    @cached_property
    def _entries(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(PROJECT):
            found.setdefault(entry.name, []).append(entry)
        return found

    @property
    def names(self) -> list[str]:
        """Names of all entry points, sorted."""
        return sorted({*self._entries, *self.extra})

    def load(self, name: str) -> list[Plugin]:
        """Load the entry points of one name; a broken one is returned with its problem."""
        if name not in self._loaded:
            plugins = [_load(entry) for entry in self._entries.get(name, [])]
            if name in self.extra:
                plugins.append(_guarded(name, "", "", name, lambda: self.extra[name]))
            self._loaded[name] = plugins
        return self._loaded[name]

    def all(self) -> Iterator[Plugin]:
        """Load every plugin, in the order in which their hooks run."""
        for name in sorted(self.names, key=self._turn):
            yield from self.load(name)

    def _turn(self, name: str) -> int:
        return self.order.index(name) if name in self.order else len(self.order)

    def turn_of_gate(self, gate: str) -> int:
        """Return when a gate of a plugin runs: the place of its plugin in the order; 0 is first."""
        offering = {plugin.name for plugin in self.all() if any(spec.name == gate for spec in plugin.gates)}
        return min(map(self._turn, offering), default=len(self.order))

    def adapter(self, where: str, name: str, provides: type) -> AdapterSpec:
        """Return the adapter of this name for this contract.

        Raises:
            AdapterNotInstalled: there is none.
            PluginError: its plugin is broken, two distributions offer it, or it was written to another contract.
        """
        plugins = self.load(name)
        found = [(plugin, spec) for plugin in plugins for spec in plugin.adapters if _fits(spec, name, provides)]
        if len(found) > 1:
            both = " and ".join(sorted(plugin.origin for plugin, _ in found))
            raise PluginError(where, f"adapter {name!r} is offered by {both}", "Uninstall one of them.")
        if found:
            return _served(where, *found[0])
        for plugin in plugins:
            if plugin.problem:
                found_ = f"the plugin of {plugin.distribution} {plugin.version} is broken: {plugin.problem}"
                raise PluginError(where, found_, f"Reinstall or upgrade {plugin.distribution}.")
        raise AdapterNotInstalled.named(where, name, self._providing(provides))

    def offering(self, spec: AdapterSpec) -> Plugin:
        """Return the plugin that offers an adapter."""
        return next(plugin for plugin in self.load(spec.name) if spec in plugin.adapters)

    def _providing(self, provides: type) -> Iterable[str]:
        return {spec.name for plugin in self.all() for spec in plugin.adapters if spec.provides is provides}

    def blueprint(self, name: str) -> BlueprintSpec:
        """Return the blueprint of this name.

        Raises:
            AdapterNotInstalled: there is none.
        """
        known = {spec.name: spec for plugin in self.all() for spec in plugin.blueprints}
        if name not in known:
            found = f"no blueprint named {name!r}" if name else "none is named"
            todo = did_you_mean(name, known) or f"Installed: {', '.join(sorted(known))}."
            raise PluginError("--blueprint", found, todo)
        return known[name]

    def sample(self, name: str) -> SampleSpec:
        """Return the sample of this name.

        Raises:
            PluginError: there is none.
        """
        known = {spec.name: spec for plugin in self.all() for spec in plugin.samples}
        if name not in known:
            raise PluginError(
                "--sample", f"no sample named {name!r} is installed", f"Run: pip install stackwright-{name}"
            )
        return known[name]

    def gate(self, where: str, name: str, known: Iterable[str] = ()) -> GateSpec:
        """Return the gate of this name that a plugin offers; one whose entry point has that name is asked first.

        Args:
            known: the engine's own gates, for the message.

        Raises:
            PluginError: there is none, two distributions offer it, its plugin is broken or written to another contract.
        """
        offered = [(plugin, spec) for plugin in self.load(name) for spec in plugin.gates]
        found = [(plugin, spec) for plugin, spec in offered if spec.name == name]
        if not found:
            offered = [(plugin, spec) for plugin in self.all() for spec in plugin.gates]
            found = [(plugin, spec) for plugin, spec in offered if spec.name == name]
        if len(found) > 1:
            both = " and ".join(sorted(plugin.origin for plugin, _ in found))
            raise PluginError(where, f"gate {name!r} is offered by {both}", "Uninstall one of them.")
        if found:
            return _current(where, *found[0])
        for plugin in self.load(name):
            if plugin.problem:
                problem = f"the plugin of {plugin.origin} {plugin.version} is broken: {plugin.problem}"
                raise PluginError(where, problem, f"Reinstall or upgrade {plugin.distribution}.")
        origins = {spec.name: f" (of {plugin.origin})" for plugin, spec in offered}
        near = did_you_mean(name, [*known, *origins])
        origin = next((text for gate, text in origins.items() if f"{gate!r}" in near), "")
        listed = ", ".join([*known, *(f"{gate}{text}" for gate, text in sorted(origins.items()))])
        raise PluginError(where, f"no gate {name!r}", near[:-1] + origin + "?" if near else f"Known: {listed}.")


def _current(where: str, plugin: Plugin, spec: GateSpec) -> GateSpec:
    if refused := refusal(spec.contract, GATES, {}):
        raise PluginError(where, f"gate {spec.name!r} of {plugin.origin} {refused}", _upgrade(plugin, spec, GATES))
    return spec


def _fits(spec: AdapterSpec, name: str, provides: type) -> bool:
    return spec.name == name and spec.provides is provides


def _served(where: str, plugin: Plugin, spec: AdapterSpec) -> AdapterSpec:
    current = in_force(spec.provides)
    if refused := refusal(spec.contract, current, older(spec.provides)):
        raise PluginError(where, f"adapter {spec.name!r} of {plugin.origin} {refused}", _upgrade(plugin, spec, current))
    return spec


def _upgrade(plugin: Plugin, spec: AdapterSpec | GateSpec, current: int) -> str:
    """Return what to do about a version that is not served: whoever is behind is upgraded."""
    return f"Run: pip install --upgrade {plugin.origin if spec.contract < current else 'stackwright'}"


def _load(entry: EntryPoint) -> Plugin:
    return _guarded(entry.name, entry.distribution, entry.version, entry.value, entry.load)


def _guarded(name: str, distribution: str, version: str, module: str, load: Callable[[], object]) -> Plugin:
    """Load a plugin; whatever a stranger's module raises is noted, and does not stop stacks that don't use it."""
    try:
        return _gather(name, distribution, version, module, load())
    except Exception as error:  # noqa: BLE001 -- a stranger's module may raise anything
        problem = f"{type(error).__name__}: {error}"
        return Plugin(name=name, distribution=distribution, version=version, module=module, problem=problem)


def _gather(name: str, distribution: str, version: str, module: str, found: object) -> Plugin:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(found, name=name)
    manager.check_pending()
    return Plugin(
        name=name,
        distribution=distribution,
        version=version,
        module=module,
        adapters=_flat(manager.hook.stackwright_adapters()),
        blueprints=_flat(manager.hook.stackwright_blueprints()),
        samples=_flat(manager.hook.stackwright_samples()),
        gates=_flat(manager.hook.stackwright_gates()),
    )


def _flat(offers: Iterable[Iterable[object]]) -> tuple:  # type: ignore[type-arg]
    return tuple(item for offer in offers for item in offer)
