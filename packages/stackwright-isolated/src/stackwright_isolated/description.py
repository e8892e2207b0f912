"""What an environment offers: found out by a child process inside it, and kept as JSON.

``python -m stackwright_isolated.description`` prints it: the adapters of every plugin there, with the keys, types and
defaults of their options, and the version of every distribution.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata as installed
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from stackwright_interfaces.contracts import in_force, older, refusal
from stackwright_interfaces.plugin import PROJECT, AdapterSpec, Capability
from stackwright_isolated import documents
from stackwright_isolated.config import config_class
from stackwright_isolated.host import CONTRACTS
from stackwright_isolated.process import Launch

_PLAIN: Final[Mapping[str, type]] = {"str": str, "int": int, "float": float, "bool": bool, "path": Path}


def describe() -> dict[str, Any]:
    """Return what this environment offers, a JSON object."""
    adapters, problems = [], {}
    for point in installed.entry_points(group=PROJECT):
        distribution = point.dist
        origin = ["", ""] if distribution is None else [distribution.name, distribution.version]
        try:
            specs = list(point.load().stackwright_adapters())
        except Exception as error:  # noqa: BLE001 -- a stranger's module may raise anything
            problems[point.name] = f"{type(error).__name__}: {error}"
            continue
        adapters += [{**_of(spec), "distribution": origin} for spec in specs if spec.provides in CONTRACTS.values()]
    versions = {found.name: found.version for found in installed.distributions()}
    return {"adapters": adapters, "problems": problems, "versions": dict(sorted(versions.items()))}


def _of(spec: AdapterSpec) -> dict[str, Any]:
    hints = typing.get_type_hints(spec.config)
    return {
        "name": spec.name,
        "provides": spec.provides.__name__,
        "contract": spec.contract,
        "factory": spec.factory,
        "config": f"{spec.config.__module__}:{spec.config.__qualname__}",
        "capabilities": sorted(spec.capabilities),
        "description": spec.description,
        "takes_others": bool(getattr(spec.config, "takes_others", False)),
        "fields": [
            {"name": item.name, "kind": _kind(hints[item.name]), **_default(item)}
            for item in dataclasses.fields(spec.config)
            if item.init
        ],
    }


def _default(item: dataclasses.Field[Any]) -> dict[str, Any]:
    if item.default_factory is not dataclasses.MISSING:
        return {"default": documents.write(item.default_factory())}
    return {} if item.default is dataclasses.MISSING else {"default": documents.write(item.default)}


def _kind(hint: Any) -> Any:
    """Return a type of an option as JSON holds it; what a blueprint cannot write is ``"any"``."""
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return {"union": [_kind(item) for item in typing.get_args(hint)]}
    if origin is Literal:
        return {"literal": list(typing.get_args(hint))}
    if origin is type(None):
        return "none"
    for name, kind in _PLAIN.items():
        if origin is kind:
            return name
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "table"
    return "list" if isinstance(origin, type) and issubclass(origin, Sequence) else "any"


def _type(kind: Any) -> Any:
    if isinstance(kind, dict):
        if "literal" in kind:
            return Literal[tuple(kind["literal"])]
        return typing.Union[tuple(_type(item) for item in kind["union"])]  # noqa: UP007 -- made of a list
    others: dict[str, Any] = {"none": None, "table": dict[str, Any], "list": tuple[Any, ...], "any": Any}
    return _PLAIN[kind] if kind in _PLAIN else others[kind]


def specs_of(document: Mapping[str, Any], python: Path, where: str, logs: Path) -> Iterator[AdapterSpec]:
    """Give the adapters of a description, as they run apart.

    Args:
        document: as :func:`describe` returns it.
        python: the interpreter of the environment.
        where: the place in the blueprint, for messages.
        logs: the folder of what adapters print.
    """
    for item in document["adapters"]:
        provides = CONTRACTS[item["provides"]]
        launch = Launch(
            where=where,
            python=python,
            adapter=item["name"],
            provides=item["provides"],
            contract=item["contract"],
            factory=item["factory"],
            config=item["config"],
            log=logs / f"{item['name']}.log",
        )
        fields = {
            field["name"]: (
                _type(field["kind"]),
                documents.read(field["default"]) if "default" in field else dataclasses.MISSING,
            )
            for field in item["fields"]
        }
        current = in_force(provides)
        served = not refusal(item["contract"], current, older(provides))  # what is older is bridged over there
        name = item["config"].rpartition(":")[2]
        yield AdapterSpec(
            name=item["name"],
            provides=provides,
            contract=current if served else item["contract"],
            config=config_class(name, fields, launch, takes_others=item["takes_others"]),
            factory="stackwright_isolated.parts:build",
            capabilities=frozenset(Capability(name) for name in item["capabilities"]),
            description=item["description"],
        )


if __name__ == "__main__":
    json.dump(describe(), sys.stdout)
