"""What a version's record says of where it came from: data, settings, code and parent; times included."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from stackwright.assembly.blueprint import BlueprintProblems, ModelPart, Trained
from stackwright.assembly.environments import overlaid
from stackwright.assembly.model_part import read_model
from stackwright.assembly.reading import Reader
from stackwright.assembly.recommender_part import RecommenderPart, read_recommender
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.pins import Pin
from stackwright.workflows.ledger import file_digest
from stackwright_interfaces.errors import ModelNotFound, UsageError
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.registry import ModelVersion


def lineage(stack: Stack, part: Trained, pin: Pin | None) -> dict[str, Any]:
    """Return the lineage of a training, as a version's record keeps it, beside the commit; JSON values.

    Args:
        pin: how much the training set knew; ``None`` where its rows come from no feature store.
    """
    return {
        "pin": None if pin is None else pin.to_json(),
        "settings": _written(stack, part.name),
        "seed": part.seed,
        "parent": _champion(stack, part.name),
        "blueprint": stack.plan.digest,
        "lock": file_digest(stack.project.lock) if stack.project.lock.is_file() else None,
        "features": file_digest(stack.project.features) if stack.project.features.is_file() else None,
        "env": stack.project.env,
        "parts": _parts(stack),
    }


def of(version: ModelVersion) -> Mapping[str, Any]:
    """Return the lineage of a version; empty where its record has none."""
    found = version.record.get("lineage")
    return found if isinstance(found, Mapping) else {}


def read_by(stack: Stack, version: ModelVersion) -> tuple[str, str]:
    """Return service and target of a version: from its record where that names them, else from its files.

    A recommender reads the service of its sessions, where it has some, and has no target.
    """
    settings = of(version).get("settings") or {}
    if "interactions" in settings:
        return settings.get("session", {}).get("service", ""), ""
    if "service" in settings and "target" in settings:
        return settings["service"], settings["target"]
    manifest = Manifest.read(stack.registry.fetch(version))
    return manifest.service, manifest.target


def owner_of(stack: Stack, version: ModelVersion) -> str:
    """Return who owns a version: the owner of its target or its service, else whoever published it."""
    service, target = read_by(stack, version)
    owners = [item.owner for item in stack.definitions.targets if item.name == target]
    owners += [item.owner for item in stack.definitions.services if item.ref == service]
    return next(filter(None, owners), "") or str(version.record.get("owner", ""))


def sources_of(version: ModelVersion) -> tuple[str, ...]:
    """Return where the interactions and items of a recommender's version lay, as its blueprint said."""
    settings = of(version).get("settings") or {}
    tables = (settings[key] for key in ("interactions", "items") if isinstance(settings.get(key), Mapping))
    return tuple(str(table["source"]) for table in tables if "source" in table) if "interactions" in settings else ()


def recommender_of(stack: Stack, version: ModelVersion) -> RecommenderPart:
    """Return the settings that a recommender's version was trained with.

    Raises:
        ModelNotFound: its record does not hold them.
        BlueprintProblems: they cannot be read by this version of stackwright.
    """
    table = of(version).get("settings")
    if not isinstance(table, Mapping):
        raise ModelNotFound(version.ref, "its record does not say how it was trained", "Train it again.")
    reader = Reader(stack.project.blueprint, stack.project.env)
    part = read_recommender(reader, version.name, reader.substitute(dict(table), version.ref))
    if reader.problems:
        raise BlueprintProblems(reader.problems)
    return part


def part_of(stack: Stack, version: ModelVersion) -> ModelPart:
    """Return the settings that a version was trained with.

    Raises:
        ModelNotFound: its record does not hold them, and the blueprint has no such model.
        UsageError: it is a recommender.
        BlueprintProblems: they cannot be read by this version of stackwright.
    """
    table = of(version).get("settings")
    if version.name in stack.blueprint.recommenders or "interactions" in (table or {}):
        todo = f"Train it again: stackwright train {version.name} --force"
        raise UsageError(version.ref, "is a recommender, and was not made of a training set", todo)
    if not isinstance(table, Mapping):
        if version.name in stack.blueprint.models:
            return stack.blueprint.models[version.name]
        found = "its record does not say how it was trained, and the blueprint has no such model"
        raise ModelNotFound(version.ref, found, "Add its [models] section again.")
    reader = Reader(stack.project.blueprint, stack.project.env)
    part = read_model(reader, version.name, reader.substitute(dict(table), version.ref))
    if reader.problems:
        raise BlueprintProblems(reader.problems)
    return part


def _written(stack: Stack, name: str) -> Any:
    """Return a model's table as the blueprint writes it: variables and secrets by their names, never their values."""
    document = tomllib.loads(stack.project.blueprint.read_text(encoding="utf-8"))
    whole = overlaid(document, stack.project.env)
    table = whole.get("models", {}).get(name) or whole.get("recommenders", {}).get(name)
    return json.loads(json.dumps(table, default=str))


def _champion(stack: Stack, name: str) -> str | None:
    with suppress(ModelNotFound):
        return stack.registry.resolve(ModelRef(name, alias=stack.champion)).ref
    return None


def _parts(stack: Stack) -> dict[str, str]:
    """Return slot → adapter, distribution and version, of every part of the stack."""
    found = {}
    for slot, choice in stack.plan.choices.items():
        offering = (plugin for plugin in stack.plugins.load(choice.spec.name) if choice.spec in plugin.adapters)
        for plugin in offering:
            found[slot] = f"{choice.spec.name} ({plugin.distribution} {plugin.version})"
    return found
