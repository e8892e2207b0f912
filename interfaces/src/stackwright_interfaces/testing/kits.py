"""Which cases an adapter must meet: those of its contract, and those of what it declares.

An adapter's whole test module::

    from stackwright_interfaces.feature_store import OnlineStore
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.kits import cases_of
    from stackwright_sqlite import plugin

    TestSQLiteOnlineStore = cases_of(spec_of(plugin, OnlineStore))

What its kit must be told, the adapter says in a class that its spec names (``AdapterSpec.conformance``); it imports
nothing of the kit and may hold any attribute or method of the cases, and fixtures::

    class RedisConformance:
        options = {"prefix": "{name}"}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final

from stackwright_interfaces.errors import PluginError, UsageError
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineStore
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.plugin import PROJECT, AdapterSpec, Capability
from stackwright_interfaces.recommender import RecommenderFormat, RecommenderTrainer
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.server import Server
from stackwright_interfaces.storage import Storage
from stackwright_interfaces.streams import StreamSource
from stackwright_interfaces.tables import TableSource, TableTarget
from stackwright_interfaces.testing.adapters import AdapterCases, load
from stackwright_interfaces.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The cases of a contract, each as ``"module:Class"`` of :mod:`stackwright_interfaces.testing`.

    Args:
        cases: what every adapter must meet.
        abilities: what one that declares a capability must meet as well.
        format: the contract of the format that loads what the adapter saves, where it saves models.
    """

    cases: tuple[str, ...] = ("adapters:AdapterCases",)
    abilities: Mapping[Capability, str] = field(default_factory=dict)
    format: type | None = None


KITS: Final[Mapping[type, Kit]] = {
    FeatureStore: Kit(cases=("feature_store:WholeStoreCases",)),
    OfflineStore: Kit(cases=("offline_store:OfflineStoreCases",), abilities={Capability.SQL: "offline_store:SQLCases"}),
    OnlineStore: Kit(
        cases=("online_store:OnlineStoreCases",), abilities={Capability.READERS: "online_store:ReaderCases"}
    ),
    Trainer: Kit(
        cases=("trainer:ClassificationCases", "trainer:TrainerCases"),
        abilities={
            Capability.QUANTILES: "trainer:QuantileCases",
            Capability.RANKING: "trainer:RankingCases",
            Capability.TIME_TO_EVENT: "trainer:TimeToEventCases",
        },
        format=ModelFormat,
    ),
    ModelFormat: Kit(),
    RecommenderTrainer: Kit(cases=("recommender:RecommenderCases",), format=RecommenderFormat),
    RecommenderFormat: Kit(),
    Registry: Kit(cases=("registry:RegistryCases",), abilities={Capability.RUNS: "registry:RunCases"}),
    Executor: Kit(cases=("executor:ExecutorCases",)),
    Server: Kit(cases=("server:ServerCases",)),
    Monitor: Kit(cases=("monitor:MonitorCases",)),
    Storage: Kit(cases=("storage:StorageCases",)),
    StreamSource: Kit(cases=("stream:StreamSourceCases",)),
    TableSource: Kit(),
    TableTarget: Kit(),
}
"""Contract → its kit. What a format loads is tested with the trainer that saved it."""


def cases_of(spec: AdapterSpec, *, options: Mapping[str, Any] | None = None, **attributes: Any) -> type[AdapterCases]:
    """Return the cases that an adapter must meet, as a class that pytest runs.

    Args:
        spec: the adapter.
        options: laid over those that the adapter itself declares.
        attributes: of the class, in the place of those that the adapter declares.

    Raises:
        UsageError: an option would let the tests share what the adapter keeps apart.
        PluginError: there is no kit of its contract, its declaration cannot be imported, or the format that its trainer
            saves is not installed.
    """
    kit = _kit(spec)
    declared = _declared(spec)
    abilities = [name for capability, name in kit.abilities.items() if capability in spec.capabilities]
    told = {"spec": spec, **attributes}
    if kit.format is not None and "format_spec" not in told:
        told["format_spec"] = _format(kit.format, getattr(declared, "flavour", spec.name))
    bases = (*(() if declared is None else (declared,)), *map(_cases, (*abilities, *kit.cases)))
    cases: Any = type("Conformance", bases, told)
    cases.options = _over(spec, cases.options, options or {})
    found: type[AdapterCases] = cases
    return found


def undeclared(spec: AdapterSpec) -> Iterator[tuple[str, Capability]]:
    """Give the tests that an adapter need not meet, and the capability that each is of."""
    for capability, cases in _kit(spec).abilities.items():
        if capability not in spec.capabilities:
            yield from ((name, capability) for name in vars(_cases(cases)) if name.startswith("test_"))


def _cases(name: str) -> type[AdapterCases]:
    found: type[AdapterCases] = load(f"stackwright_interfaces.testing.{name}")
    return found


def _kit(spec: AdapterSpec) -> Kit:
    if spec.provides not in KITS:
        known = ", ".join(sorted(contract.__name__ for contract in KITS))
        raise PluginError(f"adapter {spec.name!r}", f"there is no kit of {spec.provides.__name__}", f"Kits: {known}.")
    return KITS[spec.provides]


def _declared(spec: AdapterSpec) -> type | None:
    if not spec.conformance:
        return None
    try:
        declared: type = load(spec.conformance)
    except (ImportError, AttributeError) as error:
        found = f"its conformance {spec.conformance!r} cannot be imported ({error})"
        raise PluginError(f"adapter {spec.name!r}", found, 'Name a class, as "package.module:Class".') from error
    return declared


def _over(spec: AdapterSpec, own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over those that an adapter declares; what keeps tests apart must still do so."""
    for key, value in given.items():
        apart = [mark for mark in ("{name}", "{folder}") if mark in str(own.get(key, ""))]
        if apart and not any(mark in str(value) for mark in ("{name}", "{folder}")):
            found = f"{key} is {value!r}, but every test needs one of its own"
            raise UsageError(f"adapter {spec.name!r}", found, f"Leave it out, or let it hold {apart[0]}.")
    return {**own, **given}


def _format(provides: type, flavour: str) -> AdapterSpec:
    for point in entry_points(group=PROJECT, name=flavour):
        for spec in point.load().stackwright_adapters():
            if isinstance(spec, AdapterSpec) and spec.provides is provides and spec.name == flavour:
                return spec
    found = f"no {provides.__name__} named {flavour!r} is installed, to load what the trainer saves"
    raise PluginError(f"flavour {flavour!r}", found, "Offer it in the plugin, or name its flavour in the declaration.")
