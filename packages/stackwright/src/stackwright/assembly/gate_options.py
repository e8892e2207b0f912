"""The gates by name, with the options a blueprint may set and their defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackwright.assembly.blueprint import ModelPart, Problem, RecommenderPart, Trained
from stackwright.assembly.discovery import Plugins
from stackwright_interfaces.definitions import Definitions, FeatureService
from stackwright_interfaces.errors import PluginError, did_you_mean
from stackwright_interfaces.types import Kind

GATE_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "contract": {},
    "smoke": {"rows": 200, "seconds": 10.0, "gain": 0.1},
    "reproducible": {"tolerance": 1e-6, "rows": 20_000},
    "invariance": {"tolerance": 1e-6, "rows": 500},
    "direction": {"inputs": {}, "share": 0.95, "rows": 500},
    "cases": {"file": ""},
    "leakage": {"auc": 0.98, "late": 1.0, "rows": 20_000},
    "drift": {"psi": 0.3, "rows": 200, "ignore": []},
    "baseline": {"min_gain": 0.05},
    "champion": {"min_gain": -0.01, "rows": 100},
    "slices": {"ratio": 1.25, "rows": 100, "by": []},
    "calibration": {"ece": 0.05, "coverage": 0.05, "rows": 100},
    "recall": {"share": 0.9},
    "artifact": {"max_mb": 500.0, "seconds": 60.0, "allow": []},
    "servable": {"rows": 50, "found": 0.5},
    "parity": {"rows": 1_000, "tolerance": 1e-5},
    "latency": {"p99_ms": 50.0, "ratio": 1.2, "rows": 200},
}

LIST_GATE_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "contract": {"lists": 20},
    "reproducible": {"rows": 5_000},
    "baseline": {"min_gain": 0.05},
    "candidate_recall": {"share": 0.1},
    "champion": {"min_gain": -0.01, "users": 100},
    "artifact": {"max_mb": 1_000.0, "seconds": 120.0, "allow": []},
    "latency": {"p99_ms": 50.0, "candidates": 500, "lists": 100},
}
"""The gates of a recommender."""

LEVEL: Final = "level"
REFUSE: Final = "refuse"
WARN: Final = "warn"
LEVELS: Final = (REFUSE, WARN)

_NUMBERS: Final = (Kind.BOOL, Kind.INT64, Kind.FLOAT64)


def configured(part: Trained, plugins: Plugins) -> dict[str, dict[str, Any]]:
    """Return the gates that run for a model, each with all its options and its level.

    Those of other distributions run where the blueprint names them, after the engine's, and in the order of its plugins
    where it states one; they judge no lists.

    Raises:
        PluginError: a gate that is named is not installed.
    """
    chosen = {}
    if isinstance(part, RecommenderPart):
        wanted = {name: part.gates.get(name, True) for name in LIST_GATE_OPTIONS}
        return {
            name: {**LIST_GATE_OPTIONS[name], LEVEL: REFUSE, **_given(given)}
            for name, given in wanted.items()
            if given is not False
        }
    foreign = [name for name in part.gates if name not in GATE_OPTIONS]
    if plugins.order:
        foreign.sort(key=plugins.turn_of_gate)
    for name in (*GATE_OPTIONS, *foreign):
        wanted = part.gates.get(name, True)
        if wanted is not False:
            defaults = GATE_OPTIONS[name] if name in GATE_OPTIONS else _offered(part, name, plugins)
            chosen[name] = {**defaults, LEVEL: REFUSE, **_given(wanted)}
    return chosen


def _offered(part: ModelPart, name: str, plugins: Plugins) -> Mapping[str, Any]:
    return plugins.gate(f"{part.place} gates", name, GATE_OPTIONS).options


def _given(wanted: Any) -> Mapping[str, Any]:
    if isinstance(wanted, str):
        return {LEVEL: wanted}
    return wanted if isinstance(wanted, Mapping) else {}


def check(part: Trained, plugins: Plugins, definitions: Definitions) -> Iterable[Problem]:
    """Give what is wrong with the gates of a model."""
    for name, wanted in part.gates.items():
        where = f"{part.place} gates.{name}"
        if wanted is False:
            continue
        try:
            known = _known_options(part, name, plugins)
        except PluginError as error:
            yield Problem.of(error)
            continue
        if isinstance(wanted, Mapping | str):
            yield from _options(where, _given(wanted), {**known, LEVEL: REFUSE})
        elif wanted is not True:
            todo = 'Give false, true, "warn", or a table of options.'
            yield Problem(f"{part.place} gates", f"{name} is {wanted!r}", todo)
    if isinstance(part, ModelPart):
        yield from _columns(part, definitions)


def _known_options(part: Trained, name: str, plugins: Plugins) -> Mapping[str, Any]:
    if isinstance(part, RecommenderPart):
        if name not in LIST_GATE_OPTIONS:
            todo = did_you_mean(name, LIST_GATE_OPTIONS) or f"Known: {', '.join(LIST_GATE_OPTIONS)}."
            raise PluginError(f"{part.place} gates", f"no gate {name!r} judges lists", todo)
        return LIST_GATE_OPTIONS[name]
    return GATE_OPTIONS[name] if name in GATE_OPTIONS else _offered(part, name, plugins)


def _options(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> Iterable[Problem]:
    for option, value in given.items():
        if option not in known:
            todo = did_you_mean(option, known) or f"Known: {', '.join(known)}."
            yield Problem(where, f"unknown option {option!r}", todo)
        elif option == LEVEL and value not in LEVELS:
            yield Problem(where, f"level is {value!r}", did_you_mean(str(value), LEVELS) or 'Give "refuse" or "warn".')
        elif todo := _unfit(value, known[option]):
            yield Problem(where, f"{option} is {value!r}", todo)


def _unfit(value: Any, default: Any) -> str:
    """Return what to give instead of a value that is not of its default's kind; empty where it is."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "Give true or false."
    if isinstance(default, str):
        return "" if isinstance(value, str) else "Give a text."
    if isinstance(default, Mapping):
        return "" if isinstance(value, Mapping) else "Give a table."
    if isinstance(default, list | tuple):
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return "" if texts else "Give a list of texts."
    if isinstance(default, int):
        return "" if isinstance(value, int) and not isinstance(value, bool) else "Give a whole number."
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return "" if number else "Give a number."


def _columns(part: ModelPart, definitions: Definitions) -> Iterable[Problem]:
    """Give the columns that gates name and the model's service does not have; nothing where it is not applied."""
    service = next((item for item in definitions.services if item.ref == part.service), None)
    for name, option, all_columns in (
        ("direction", "inputs", False),
        ("drift", "ignore", False),
        ("slices", "by", True),
    ):
        wanted = part.gates.get(name)
        given = wanted.get(option, ()) if isinstance(wanted, Mapping) else ()
        where = f"{part.place} gates.{name}.{option}"
        if name == "direction" and isinstance(given, Mapping):
            yield from _signs(where, given)
        if service is None or not isinstance(given, Mapping | list):
            continue
        known = _known(service, numbers=name == "direction", also_asked=all_columns)
        for column in given:
            if isinstance(column, str) and column not in known:
                what = "number" if name == "direction" else "column"
                todo = did_you_mean(column, known) or f"Choose from: {', '.join(known)}."
                yield Problem(where, f"{service.ref} has no {what} {column!r}", todo)


def _signs(where: str, given: Mapping[str, Any]) -> Iterable[Problem]:
    for column, sign in given.items():
        if isinstance(sign, bool) or sign not in (1, -1):
            yield Problem(where, f"{column} is {sign!r}", "Give 1 where the answer must not fall as it grows, else -1.")


def _known(service: FeatureService, *, numbers: bool, also_asked: bool) -> list[str]:
    fields = [field for field in service.output_fields if not numbers or field.type.kind in _NUMBERS]
    if also_asked:
        fields += [*service.request_keys, *service.request]
    return list(dict.fromkeys(field.name for field in fields))
