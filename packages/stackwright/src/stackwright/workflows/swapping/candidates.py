"""The part that a slot has, and the one that could stand in its place: as the blueprint would name it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import blueprint as blueprints
from stackwright.assembly import editing
from stackwright.assembly.blueprint import Blueprint
from stackwright.assembly.environments import SECTION
from stackwright.assembly.options import from_text
from stackwright.assembly.plan import SLOTS, Choice, plain, plan
from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import BlueprintError, UsageError, did_you_mean

SWAPPED: Final = ("online", "offline", "registry", "trainer", "monitor", "server")
"""Slots that hold a part which can be compared and swapped."""

_HALVES: Final = ("offline", "online")


@dataclass(frozen=True)
class Place:
    """Where in the blueprint the part of a slot stands.

    Args:
        slot: its kind, ``online`` or ``trainer`` say.
        key: its name in a plan: ``trainer:valuation`` say.
        keys: keys that lead to it.
    """

    slot: str
    key: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A part for a slot, and the blueprint that names it.

    Args:
        edit: what makes the blueprint's text that blueprint; ``None`` where it is so already.
    """

    place: Place
    choice: Choice
    blueprint: Blueprint
    edit: editing.Edit | None = None

    @property
    def name(self) -> str:
        """The adapter's name."""
        return self.choice.spec.name

    @property
    def options(self) -> Mapping[str, Any]:
        """Options as they are written; secrets by their place."""
        shown: Mapping[str, Any] = plain(self.choice.part.options)
        return shown


def find_place(stack: Stack, slot: str) -> Place:
    """Return where a slot stands: ``online`` say, ``trainer`` where there is one model and else ``trainer:MODEL``.

    Raises:
        UsageError: no such slot can be swapped.
        BlueprintError: the slot is empty, or of several parts none is named.
    """
    kind, _, name = slot.partition(":")
    if kind not in SWAPPED:
        todo = did_you_mean(kind, SWAPPED) or f"Choose from: {', '.join(SWAPPED)}."
        raise UsageError(f"slot {slot!r}", "cannot be swapped", todo)
    if kind == "trainer":
        model = stack.model(name or None)
        return Place(kind, f"trainer:{model.name}", ("models", model.name, "trainer"))
    if kind == "monitor":
        reports = [part.adapter for part in stack.blueprint.monitor.reports]
        chosen = name or (reports[0] if len(reports) == 1 else "")
        if chosen not in reports:
            found = f"no reporter {name!r}" if name else f"{len(reports)} reporters are named"
            todo = f"Name one as monitor:NAME. Named: {', '.join(reports) or 'none'}."
            raise BlueprintError(f"{blueprints.FILE} [monitor]", found, todo)
        return Place(kind, f"monitor:{chosen}", ("monitor", "reports"))
    if getattr(stack.blueprint, kind) is None:
        whole = stack.blueprint.feature_store if kind in _HALVES else None
        found = "the slot is empty" if whole is None else f"{whole.adapter!r} is a whole feature store, without halves"
        raise BlueprintError(f"{blueprints.FILE} [{kind}]", found, "Write the part into the blueprint by hand.")
    return Place(kind, kind, ("feature_store", kind) if kind in _HALVES else (kind,))


def present(stack: Stack, place: Place) -> Candidate:
    """Return the part that a slot has."""
    return Candidate(place, stack.plan.choices[place.key], stack.blueprint)


def candidate(
    stack: Stack, place: Place, adapter: str, given: Mapping[str, str], remembered: editing.Edit | None = None
) -> Candidate:
    """Return another part for a slot, checked with the blueprint that it would make.

    Options that are not given are those that the blueprint has now where it names the same adapter, and else those the
    adapter has by itself.

    Args:
        given: option → text.
        remembered: an earlier edit whose place is put back as it was; then nothing else is asked.

    Raises:
        BlueprintError: the blueprint cannot be edited, or would have problems; all of them.
        PluginError: the adapter is not installed.
    """
    spec = stack.plugins.adapter(f"{blueprints.FILE} [{place.key}]", adapter, SLOTS[place.slot])
    now = stack.plan.choices[place.key].part.adapter
    text = stack.project.blueprint.read_bytes().decode()
    keys = written(text, place, stack.project.env)
    options = {key: from_text(spec, key, value) for key, value in given.items()}
    edit = remembered or _edit(text, place, keys, now, adapter, options)
    blueprint = _read(stack, edit.text)
    made = plan(blueprint, stack.plugins, stack.definitions, stack.isolation)
    key = place.key if place.slot != "monitor" else f"monitor:{adapter}"
    return Candidate(place, made.choices[key], blueprint, edit)


def _edit(
    text: str, place: Place, keys: tuple[str, ...], now: str, adapter: str, given: Mapping[str, Any]
) -> editing.Edit:
    """Put the part into the text, with the options that stand there where it is the same adapter."""
    standing: Any = tomllib.loads(text)
    for key in keys:
        standing = standing[key]
    if place.slot != "monitor":
        kept = standing if isinstance(standing, Mapping) and adapter == now else {}
        options = {key: value for key, value in {**kept, **given}.items() if key != "adapter"}
        return editing.put_part(text, keys, adapter, options)
    reports = []
    for report in standing:
        if (report if isinstance(report, str) else report["adapter"]) != place.key.partition(":")[2]:
            reports.append(report)
        else:
            kept = report if isinstance(report, Mapping) and adapter == now else {}
            part = {**kept, **given, "adapter": adapter}
            reports.append(part if len(part) > 1 else adapter)
    return editing.put_value(text, keys, reports)


def written(text: str, place: Place, env: str) -> tuple[str, ...]:
    """Return the keys under which a part is written: those of an environment where it lays its own over it.

    Raises:
        BlueprintError: the environment takes the part of the blueprint as it stands.
    """
    if not env:
        return place.keys
    keys = (SECTION, env, *place.keys)
    layer: Any = tomllib.loads(text)
    for key in keys:
        layer = layer.get(key) if isinstance(layer, Mapping) else None
    if layer is None:
        todo = f"Swap it for all, without an environment; or write [{'.'.join(keys)}]."
        raise BlueprintError(f"{blueprints.FILE} [{SECTION}.{env}]", f"it has no {place.slot} of its own", todo)
    return keys


def _read(stack: Stack, text: str) -> Blueprint:
    """Read a blueprint's text as if it stood in the project."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / blueprints.FILE
        path.write_bytes(text.encode())
        found = blueprints.read(path, stack.project.env)
    return dataclasses.replace(found, path=stack.project.blueprint)
