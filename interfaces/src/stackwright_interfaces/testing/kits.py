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

Half of a feature store meets further cases in a whole one: :func:`composed_cases_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    from stackwright_interfaces.testing.composed_store import ComposedCases


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

    def cases_of(self, declared: Container[Capability]) -> tuple[str, ...]:
        """Return the cases of an adapter that declares these capabilities, those of capabilities first."""
        return (*(name for capability, name in self.abilities.items() if capability in declared), *self.cases)


KITS: Final[Mapping[type, Kit]] = {
    FeatureStore: Kit(cases=("feature_store:WholeStoreCases",)),
    OfflineStore: Kit(cases=("offline_store:OfflineStoreCases",), abilities={Capability.SQL: "offline_store:SQLCases"}),
    OnlineStore: Kit(
        cases=("online_store:OnlineStoreCases",), abilities={Capability.READERS: "online_store:ReaderCases"}
    ),
    Trainer: Kit(
        cases=("trainer:ClassificationCases", "trainer:TrainerCases"),
        abilities={
            Capability.PARTS: "trainer:PartsCases",
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

_COMPOSED: Final = ("composed_store:ComposedCases",)
_BESIDE: Final[Mapping[type, tuple[type, tuple[str, ...]]]] = {
    OfflineStore: (OnlineStore, ("memory", "sqlite")),
    OnlineStore: (OfflineStore, ("memory", "duckdb")),
}
"""Half of a store → the half beside it, and which adapters may be it."""


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
    told = {**_said(spec, kit.cases_of(spec.capabilities), _COMPOSED if is_half(spec) else ()), **attributes}
    if kit.format is not None and "format_spec" not in told:
        flavour = getattr(_declared(spec), "flavour", spec.name)
        todo = "Offer it in the plugin, or name its flavour in the declaration."
        told["format_spec"] = _installed(kit.format, (flavour,), "to load what the trainer saves", todo)
    found: type[AdapterCases] = _made(spec, kit.cases_of(spec.capabilities), options, told)
    return found


def is_half(spec: AdapterSpec) -> bool:
    """Return whether an adapter is half of a feature store."""
    return spec.provides in _BESIDE


def composed_cases_of(
    spec: AdapterSpec,
    composer: Callable[..., FeatureStore],
    *,
    options: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> type[ComposedCases]:
    """Return the cases of a whole store that half of one must meet, as a class that pytest runs.

    Beside it stands the reference in memory, or else the default adapter of the other half.

    Args:
        spec: the half under test.
        composer: makes a whole store of an offline and an online half, and of ``project`` and ``clock`` by name.
        options: laid over those that the adapter itself declares.
        attributes: of the class, in the place of those that the adapter declares.

    Raises:
        UsageError: an option would let the tests share what the adapter keeps apart.
        PluginError: its declaration cannot be imported, or nothing is installed that could stand beside it.
    """
    provides, names = _BESIDE[spec.provides]
    beside = _installed(provides, names, "to stand beside it in a whole store", "Run: pip install stackwright-memory")
    told = {
        **_said(spec, _COMPOSED, _kit(spec).cases_of(tuple(Capability))),
        "composer": composer,
        "beside": beside,
        "beside_lasts": getattr(_declared(beside), "durable", True),
        **attributes,
    }
    found: type[ComposedCases] = _made(spec, _COMPOSED, options, told)
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


def _made(spec: AdapterSpec, kit: Iterable[str], options: Mapping[str, Any] | None, told: Mapping[str, Any]) -> Any:
    """Make a class of cases, with what the adapter declares over them."""
    declared = _declared(spec)
    bases = (*(() if declared is None else (declared,)), *map(_cases, kit))
    cases: Any = type("Conformance", bases, {"spec": spec, **told})
    cases.options = _over(spec, cases.options, options or {})
    return cases


def _said(spec: AdapterSpec, kit: Iterable[str], other: Iterable[str]) -> dict[str, Any]:
    """Return what an adapter says of single tests, without those that only the other of its two kits has."""
    elsewhere = _names(other) - _names(kit)
    said: dict[str, Mapping[str, str]] = {
        listed: getattr(_declared(spec), listed, {}) for listed in ("unmet", "inapplicable")
    }
    return {
        listed: {name: why for name, why in names.items() if name not in elsewhere} for listed, names in said.items()
    }


def _names(kit: Iterable[str]) -> set[str]:
    """Return the names of tests, and of the classes that hold them."""
    classes = {base for name in kit for base in _cases(name).__mro__}
    tests = {name for base in classes for name in vars(base) if name.startswith("test_")}
    return tests | {base.__name__ for base in classes}


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


def _installed(provides: type, names: Iterable[str], what_for: str, todo: str) -> AdapterSpec:
    """Return the first of these adapters that is installed."""
    for name in names:
        for point in entry_points(group=PROJECT, name=name):
            for spec in point.load().stackwright_adapters():
                if isinstance(spec, AdapterSpec) and spec.provides is provides and spec.name == name:
                    return spec
    said = " or ".join(map(repr, names))
    raise PluginError(f"adapter {said}", f"no {provides.__name__} of this name is installed, {what_for}", todo)
