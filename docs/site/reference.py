"""Reference pages that are generated from the code: adapters with their keys, and the interfaces."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping

import stackwright_interfaces
from stackwright.assembly.discovery import Plugin, Plugins
from stackwright.assembly.plan import SLOTS
from stackwright.assembly.vendors import vendors
from stackwright_interfaces.plugin import AdapterSpec

_ARGUMENT = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def generated() -> Mapping[str, str]:
    """Return page → its text."""
    return {
        "docs/reference/adapters.md": "\n".join(adapters()),
        "docs/reference/interfaces.md": "\n".join(interfaces()),
    }


def adapters() -> Iterator[str]:
    """Give the page of all installed adapters."""
    yield "# Adapters and their keys\n"
    yield "What a blueprint may name in each slot, and the keys that may stand beside `adapter`.\n"
    offered = [(plugin, spec) for plugin in Plugins().all() for spec in plugin.adapters]
    for slot, contract in SLOTS.items():
        mine = [(plugin, spec) for plugin, spec in offered if spec.provides is contract]
        if mine:
            yield f"## Slot `{slot}`\n"
            for plugin, spec in sorted(mine, key=lambda item: item[1].name):
                yield from _adapter(plugin, spec, slot)


def interfaces() -> Iterator[str]:
    """Give the page of the interfaces' modules, which Sphinx fills from their docstrings."""
    yield "# The interfaces\n"
    yield "What `stackwright-interfaces` holds, from its docstrings.\n"
    modules = (found.name for found in pkgutil.iter_modules(stackwright_interfaces.__path__) if not found.ispkg)
    for name in sorted(modules):
        yield f"## `stackwright_interfaces.{name}`\n"
        yield f"```{{eval-rst}}\n.. automodule:: stackwright_interfaces.{name}\n```\n"


def _adapter(plugin: Plugin, spec: AdapterSpec, slot: str) -> Iterator[str]:
    needs = [
        f"{vendor.name} {vendor.takes}" for vendor in vendors(plugin.distribution) if vendor.name[:11] != "stackwright"
    ]
    able = [f"`{capability.value}`" for capability in sorted(spec.capabilities)]
    yield f"### `{spec.name}` ({slot})\n"
    yield f"{spec.description.rstrip('.')}.\n"
    told = [f"In `{plugin.distribution}`, written to version {spec.contract} of its contract"]
    told += [f"needs {', '.join(needs)}"] if needs else []
    told += [f"can do {', '.join(able)}"] if able else []
    yield f"{'; '.join(told)}.\n"
    meanings = dict(_ARGUMENT.findall(inspect.getdoc(spec.config) or ""))
    fields = [item for item in dataclasses.fields(spec.config) if item.init]
    if fields:
        yield "| key | type | default | what it says |\n|---|---|---|---|"
        for item in fields:
            meaning = " ".join(meanings.get(item.name, "").replace("``", "`").split())
            yield f"| `{item.name}` | `{_cell(item.type)}` | {_default(item)} | {_cell(meaning)} |"
        yield ""


def _default(item: dataclasses.Field[object]) -> str:
    if item.default is not dataclasses.MISSING:
        return f"`{_cell(str(item.default)) if item.default else repr(item.default)}`"
    return "" if item.default_factory is dataclasses.MISSING else f"`{item.default_factory()!r}`"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|")
