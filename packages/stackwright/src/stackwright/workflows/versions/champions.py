"""What a blueprint has published under its names, and which version of each is promoted."""

from __future__ import annotations

from collections.abc import Iterable

from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import ModelVersion


def model_names(stack: Stack) -> list[str]:
    """Return the models of the blueprint; of a blueprint that names nothing, all that are published."""
    if stack.blueprint.models or stack.blueprint.recommenders:
        return list(stack.blueprint.models)
    return sorted({version.name for version in stack.registry.history()[0]})


def recommender_names(stack: Stack) -> list[str]:
    """Return the recommenders of the blueprint."""
    return list(stack.blueprint.recommenders)


def trained_names(stack: Stack) -> list[str]:
    """Return the models and recommenders of the blueprint; of one that names nothing, all that are published."""
    return list(stack.blueprint.trained) or model_names(stack)


def promoted(stack: Stack) -> dict[str, ModelVersion]:
    """Return the champion of each model that has one: those of the blueprint, or all where it names none."""
    return champions(stack, model_names(stack))


def champions(stack: Stack, names: Iterable[str]) -> dict[str, ModelVersion]:
    """Return the champion of each name that has one."""
    found = {}
    for name in names:
        try:
            found[name] = stack.registry.resolve(ModelRef(name, alias=stack.champion))
        except ModelNotFound:
            continue
    return found
