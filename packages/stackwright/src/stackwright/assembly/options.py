"""Options of a blueprint, turned into an adapter's configuration."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackwright.assembly.blueprint import Part, Problem
from stackwright.assembly.secrets import Secret
from stackwright_interfaces.errors import BlueprintError, did_you_mean
from stackwright_interfaces.plugin import AdapterSpec, with_paths


def takes_others(spec: AdapterSpec) -> bool:
    """Return whether an adapter takes options that it does not name, as those of a user's own class are."""
    return bool(getattr(spec.config, "takes_others", False))


def check(part: Part, spec: AdapterSpec) -> list[Problem]:
    """Return what is wrong with the options of a part: unknown, missing, of another type, or refused."""
    problems = wrong(part, spec)
    for item in dataclasses.fields(spec.config):
        needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if needed and item.name not in part.options:
            problems.append(Problem(part.where, f"{item.name} is missing", f"Add: {item.name} = ..."))
    if problems or any(map(_holds_secret, part.options.values())):
        return problems  # a secret is not read before its part is built
    try:
        configure(part, spec, Path())
    except BlueprintError as error:
        problems.append(Problem.of(error))
    return problems


def wrong(part: Part, spec: AdapterSpec) -> list[Problem]:
    """Return what is wrong with the options of a part one by one: unknown, or of another type."""
    found = (_problem_of(key, value, part.where, spec) for key, value in part.options.items())
    return [problem for problem in found if problem is not None]


def from_text(spec: AdapterSpec, key: str, text: str) -> Any:
    """Return an option of a command line as a blueprint would hold it: a text where it takes one, else a TOML value."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    plain = Secret.parse(value) is None and _accepts(_fields(spec).get(key, Any), text)
    return text if plain and not isinstance(value, str) else value


def _holds_secret(value: Any) -> bool:
    if Secret.parse(value) is not None:
        return True
    if isinstance(value, Mapping):
        return any(map(_holds_secret, value.values()))
    return isinstance(value, list) and any(map(_holds_secret, value))


def _problem_of(key: str, value: Any, where: str, spec: AdapterSpec) -> Problem | None:
    """Return what is wrong with one option by itself."""
    fields = _fields(spec)
    if key not in fields and not takes_others(spec):
        known = ", ".join(fields) or "none"
        return Problem(where, f"unknown key {key!r}", did_you_mean(key, fields) or f"Known: {known}.")
    if key in fields and not _accepts(fields[key], value):
        return Problem(where, f"{key} is {value!r}, a {type(value).__name__}", f"Give a {_name(fields[key])}.")
    if not has_json_form(value):
        todo = "Give finite numbers, texts, true or false, or lists and tables of them."
        return Problem(where, f"{key} is {value!r}", todo)
    return None


def has_json_form(value: Any) -> bool:
    """Return whether a TOML value can be hashed and written as JSON: dates, NaN and infinity cannot."""
    if isinstance(value, Mapping):
        return all(map(has_json_form, value.values()))
    if isinstance(value, list):
        return all(map(has_json_form, value))
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def configure(part: Part, spec: AdapterSpec, project: Path) -> Any:
    """Return the adapter's configuration: paths resolved against the project, secrets revealed.

    Raises:
        BlueprintError: a secret cannot be read, or the configuration refuses a value.
    """
    values = with_paths(spec.config, given(part, spec, project), project)
    try:
        return spec.config(**values)
    except (TypeError, ValueError) as error:
        raise BlueprintError(part.where, f"the options are refused ({error})", "Correct them.") from error


def given(part: Part, spec: AdapterSpec, project: Path) -> dict[str, Any]:
    """Return the options of a part as the configuration takes them: secrets revealed, paths as they are written.

    Raises:
        BlueprintError: a secret cannot be read.
    """
    fields = _fields(spec)
    return {key: _convert(fields.get(key, Any), value, part.where, project) for key, value in part.options.items()}


def places(part: Part, spec: AdapterSpec, project: Path) -> dict[str, Any]:
    """Return the options of a part with paths resolved, those left out included; secrets stay sealed."""
    found = with_paths(spec.config, part.options, project)
    return {key: str(value) if isinstance(value, Path) else value for key, value in found.items()}


def _fields(spec: AdapterSpec) -> dict[str, Any]:
    hints = typing.get_type_hints(spec.config)
    return {item.name: hints[item.name] for item in dataclasses.fields(spec.config) if item.init}


def _alternatives(kind: Any) -> tuple[Any, ...]:
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def _accepts(kind: Any, value: Any) -> bool:
    return any(_accepts_one(alternative, value) for alternative in _alternatives(kind))


def _accepts_one(kind: Any, value: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin in (str, Path):
        return isinstance(value, str) or (origin is str and Secret.parse(value) is not None)
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, typing.Sequence)):
        return isinstance(value, list)
    if isinstance(origin, type) and issubclass(origin, Mapping | dict):
        return isinstance(value, Mapping)
    return kind is Any or (isinstance(origin, type) and isinstance(value, origin))


def _convert(kind: Any, value: Any, where: str, project: Path) -> Any:
    secret = Secret.parse(value)
    if secret is not None and str in _alternatives(kind):
        return secret.reveal(where, project)
    if isinstance(value, list):
        return tuple(_revealed(item, where, project) for item in value)
    if isinstance(value, Mapping):
        return {key: _revealed(item, where, project) for key, item in value.items()}
    return value


def _revealed(value: Any, where: str, project: Path) -> Any:
    """Return an item of a list or table, revealed if it is a secret."""
    secret = Secret.parse(value)
    return value if secret is None else secret.reveal(where, project)


def _name(kind: Any) -> str:
    names = {Path: "path", str: "text", int: "whole number", float: "number", bool: "true or false", type(None): ""}
    named = [names.get(item, getattr(item, "__name__", str(item))) for item in _alternatives(kind)]
    return " or ".join(name for name in named if name)
