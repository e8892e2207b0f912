"""The gates by name, with the options a blueprint may set and their defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stackwright.assembly.blueprint import ModelPart, Problem
from stackwright_interfaces.errors import did_you_mean

GATE_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "contract": {},
    "smoke": {"rows": 200, "seconds": 10.0, "gain": 0.1},
    "reproducible": {"tolerance": 1e-6, "rows": 20_000},
    "artifact": {"max_mb": 500.0, "seconds": 60.0},
    "servable": {"rows": 50, "found": 0.5},
    "baseline": {"min_gain": 0.05},
}


def configured(part: ModelPart) -> dict[str, dict[str, Any]]:
    """Return the gates that run for a model, each with all its options."""
    chosen = {}
    for name, defaults in GATE_OPTIONS.items():
        wanted = part.gates.get(name, True)
        if wanted is not False:
            chosen[name] = {**defaults, **(wanted if isinstance(wanted, Mapping) else {})}
    return chosen


def check(part: ModelPart) -> Iterable[Problem]:
    """Give what is wrong with the gates of a model."""
    for name, wanted in part.gates.items():
        if name not in GATE_OPTIONS:
            todo = did_you_mean(name, GATE_OPTIONS) or f"Known: {', '.join(GATE_OPTIONS)}."
            yield Problem(f"{part.place} gates", f"no gate {name!r}", todo)
        elif isinstance(wanted, Mapping):
            yield from _options(f"{part.place} gates.{name}", wanted, GATE_OPTIONS[name])
        elif not isinstance(wanted, bool):
            yield Problem(f"{part.place} gates", f"{name} is {wanted!r}", "Give false, true, or a table of options.")


def _options(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> Iterable[Problem]:
    for option, value in given.items():
        if option not in known:
            todo = did_you_mean(option, known) or f"Known: {', '.join(known) or 'none'}."
            yield Problem(where, f"unknown option {option!r}", todo)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield Problem(where, f"{option} is {value!r}", "Give a number.")
