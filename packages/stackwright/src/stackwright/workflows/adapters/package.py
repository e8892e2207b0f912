"""The files of a new adapter's package: what its contract asks for is read off the contract itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from stackwright.assembly.plan import SLOTS
from stackwright.workflows.adapters import texts
from stackwright.workflows.adapters.contract_source import ContractSource, Method
from stackwright_interfaces.compute import Inline
from stackwright_interfaces.feature_store import OfflineStore, OnlineStore
from stackwright_interfaces.model import ModelFormat, Predictor
from stackwright_interfaces.recommender import FittedRecommender, Recommender, RecommenderFormat
from stackwright_interfaces.trainer import FittedModel


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """What the contract of a slot says in words alone.

    Args:
        format: the contract of what loads the models that the adapter saves.
        returned: what its methods return, to be written with it.
        options: fields of the configuration.
        given: options that its kit is given.
        set_up: statements of the constructor.
        sends: the kit must be told how events get into the stream.
    """

    format: type | None = None
    returned: tuple[type, ...] = ()
    options: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    set_up: tuple[str, ...] = ()
    sends: bool = False


COMPOSER: Final = ("stackwright_features.store", "ComposedFeatureStore")
"""Module and name of what makes a whole feature store of two halves."""

_OF_TABLES: Final = _Slot(options=("url: str = field(repr=False)",), given={"url": "none://"})
_SLOTS: Final[Mapping[str, _Slot]] = {
    "trainer": _Slot(format=ModelFormat, returned=(FittedModel, Predictor)),
    "model_format": _Slot(returned=(Predictor,)),
    "recommender": _Slot(format=RecommenderFormat, returned=(FittedRecommender, Recommender)),
    "recommender_format": _Slot(returned=(Recommender,)),
    "server": _Slot(options=('host: str = "127.0.0.1"', "port: int = 8000", "workers: int = 1")),
    "compute": _Slot(options=("workers: int = 2",), set_up=("self.workers = config.workers", "self.threads = 1")),
    "stream": _Slot(sends=True),
    "tables": _OF_TABLES,
    "table_targets": _OF_TABLES,
}


@dataclass(frozen=True)
class _Class:
    """A class of the adapter.

    Args:
        name: its name.
        base: what it implements.
        source: where its methods are read.
        config: the name of its configuration; empty where another class makes it.
    """

    name: str
    base: type
    source: ContractSource
    config: str = ""

    @property
    def open_methods(self) -> list[Method]:
        """What is left to write: nothing is held yet that could be closed."""
        return [method for method in self.source.methods() if method.name != "close"]

    def imports(self) -> texts.Imports:
        """Return what its text needs."""
        found = {(module, name) for name, module in self.source.imports().items()}
        found.add((_module(self.base), self.base.__name__))
        return found | ({("typing", "ClassVar")} if self._has_flavour else set())

    @property
    def _has_flavour(self) -> bool:
        return "flavour" in vars(self.base).get("__annotations__", {})

    def text(self, adapter: str, set_up: Iterable[str]) -> str:
        """Return the class."""
        lines = [f"class {self.name}({self.base.__name__}):", f'    """{self.base.__name__}, to be written."""', ""]
        if self._has_flavour:
            lines += [f'    flavour: ClassVar[str] = "{adapter}"', ""]
        if self.config:
            statements = ("self.config = config", "self.context = context", *set_up)
            lines += [f"    def __init__(self, config: {self.config}, context: Context) -> None:"]
            lines += [*(f"        {statement}" for statement in statements), ""]
        for method in self.source.methods():
            lines += [f"    {line}" for line in method.header.splitlines()]
            lines += texts.docstring(method.summary)
            if method in self.open_methods:
                lines += [f'        raise NotImplementedError("{self.name}.{method.name} is to be written")']
            lines += [""]
        return "\n".join(lines)


class AdapterPackage:
    """The distribution of an adapter that is to be written.

    Args:
        slot: what it is for.
        name: the name that a blueprint will use.
    """

    def __init__(self, slot: str, name: str) -> None:
        self.slot = slot
        self.name = name
        self.distribution = f"stackwright-{name.replace('_', '-')}"
        self._module = self.distribution.replace("-", "_")
        self._words = _SLOTS.get(slot, _Slot())
        camel = "".join(part.capitalize() for part in re.split("[-_]", name))
        provided = {SLOTS[slot]: f"{camel}Config"}
        if self._words.format is not None:
            provided[self._words.format] = f"{camel}FormatConfig"
        self._adapters = [_class(camel, contract, config) for contract, config in provided.items()]
        self._classes = [*self._adapters, *(_class(camel, contract) for contract in self._words.returned)]

    @property
    def _is_half(self) -> bool:
        """Whether it is half of a feature store, which meets the cases of a whole one too."""
        return SLOTS[self.slot] in (OfflineStore, OnlineStore)

    @property
    def open_methods(self) -> list[str]:
        """What is left to write, as ``Class.method``."""
        return [f"{each.name}.{method.name}" for each in self._classes for method in each.open_methods]

    def files(self) -> dict[str, str]:
        """Return path → text."""
        home = f"src/{self._module}"
        found = {
            "pyproject.toml": self._pyproject(),
            "README.md": self._readme(),
            f"{home}/__init__.py": f'"""The adapter ``{self.name}`` of stackwright."""\n',
            f"{home}/py.typed": "",
            f"{home}/plugin.py": self._plugin(),
            f"{home}/adapter.py": self._adapter(),
            "tests/test_conformance.py": self._tests(),
        }
        return found | ({f"{home}/conformance.py": texts.CONFORMANCE} if self._words.sends else {})

    def _pyproject(self) -> str:
        major, minor = version("stackwright-interfaces").split(".")[:2]
        bounds = f">={major}.{minor},<{major}.{int(minor) + 1}"
        needed = ("interfaces[testing]", *(("features", "memory") if self._is_half else ()))
        testing = ", ".join(f'"stackwright-{name}{bounds}"' for name in needed)
        return texts.PYPROJECT.format(
            distribution=self.distribution,
            module=self._module,
            name=self.name,
            slot=self.slot,
            bounds=bounds,
            testing=testing,
        )

    def _readme(self) -> str:
        summaries = [
            f"- `{each.name}.{method.name}`: {method.summary}" for each in self._classes for method in each.open_methods
        ]
        return texts.README.format(
            distribution=self.distribution, name=self.name, slot=self.slot, methods="\n".join(summaries)
        )

    def _plugin(self) -> str:
        imports = {("collections.abc", "Iterable"), ("dataclasses", "dataclass")}
        imports |= {("stackwright_interfaces.plugin", "AdapterSpec"), ("stackwright_interfaces.plugin", "hookimpl")}
        home = self._adapters[0].source.contract.__module__
        configs, specs = [], []
        for each in self._adapters:
            module = each.source.contract.__module__
            contract = "CONTRACT" if module == home else "FORMAT_CONTRACT"
            imports |= {(_module(each.base), each.base.__name__)}
            imports |= {(module, contract if module == home else f"CONTRACT as {contract}")}
            options = self._words.options if each is self._adapters[0] else ()
            imports |= {("dataclasses", "field") for option in options if "field(" in option}
            told = f'\n            conformance="{self._module}.conformance:Told",' if self._words.sends else ""
            lines = "".join(f"    {one}\n" for one in options)
            configs.append(texts.CONFIG.format(config=each.config, options=lines and f"\n{lines}"))
            specs.append(
                texts.SPEC.format(
                    name=self.name, provides=each.base.__name__, contract=contract, config=each.config,
                    factory=f"{self._module}.adapter:{each.name}", told=told,
                )
            )  # fmt: skip
        return texts.PLUGIN.format(imports=texts.imports(imports), configs="\n\n".join(configs), specs="".join(specs))

    def _adapter(self) -> str:
        imports = {("stackwright_interfaces.plugin", "Context")}
        imports |= {(f"{self._module}.plugin", each.config) for each in self._adapters}
        imports |= {item for each in self._classes for item in each.imports()}
        classes = "\n\n".join(each.text(self.name, self._words.set_up) for each in self._classes)
        return texts.ADAPTER.format(name=self.name, imports=texts.imports(imports, self._module), classes=classes)

    def _tests(self) -> str:
        imports = {
            ("stackwright_interfaces.testing.adapters", "spec_of"),
            ("stackwright_interfaces.testing.kits", "cases_of"),
            (self._module, "plugin"),
            *((_module(each.base), each.base.__name__) for each in self._adapters),
        }
        given = "".join(f', options={{"{key}": "{value}"}}' for key, value in self._words.given.items())
        tests = [
            f"Test{each.name} = cases_of(spec_of(plugin, {each.base.__name__}){given})\n" for each in self._adapters
        ]
        if self._is_half:
            (half,) = self._adapters
            imports |= {("stackwright_interfaces.testing.kits", "composed_cases_of"), COMPOSER}
            composed = f"composed_cases_of(spec_of(plugin, {half.base.__name__}), {COMPOSER[1]})"
            tests.append(f"Test{half.name}InAStore = {composed}\n")
        return texts.TESTS.format(name=self.name, imports=texts.imports(imports, self._module), tests="".join(tests))


def _class(camel: str, contract: type, config: str = "") -> _Class:
    """Return the class for a contract; that of executors is Python's own, and is read where we implement it."""
    source = ContractSource(Inline if contract is Executor else contract)
    return _Class(f"{camel}{contract.__name__}", contract, source, config)


def _module(contract: type) -> str:
    return "concurrent.futures" if contract is Executor else contract.__module__
