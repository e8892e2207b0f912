"""``[models.NAME.rules]``: which rows a model learns from and answers for, and what is made of its number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stackwright.assembly.reading import Reader

Limits = tuple[float, float]

_ANSWER: Final = ("scale", "min", "max", "round")


@dataclass(frozen=True)
class OutlierRule:
    """What is done with values outside of limits.

    Args:
        action: ``clip`` takes the nearer limit, in training and live; ``drop`` leaves the row out of training.
        limits: lowest and highest value.
        quantiles: the limits are quantiles of the rows that are learned from.
    """

    action: str
    limits: Limits
    quantiles: bool = False


@dataclass(frozen=True, kw_only=True)
class RulesPart:
    """``[models.NAME.rules]``: versioned with the model, and run alike in training, live and in batch.

    Args:
        select: input → ``[lowest, highest]``, or the texts that are taken. Rows outside, also of a missing value, are
            neither learned from nor judged by; their answers hold ``NAME (outside)`` under ``incomplete``.
        fallback: the answer for a row outside of the selection; without it, the model answers as for any other.
        outliers: input or target → ``clip = [low, high]``: inputs are kept within the limits in training and live, the
            target in training; or ``drop = [low, high]``: rows beyond are not learned from. With ``quantiles = true``
            the limits are quantiles of the rows learned from.
        answer: ``scale``, then ``min`` and ``max``, then ``round`` to so many decimals; interval ends are kept within
            ``min`` and ``max``.
    """

    select: Mapping[str, Limits | tuple[str, ...]] = field(default_factory=dict)
    fallback: float | None = None
    outliers: Mapping[str, OutlierRule] = field(default_factory=dict)
    answer: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is written of the rules, as JSON holds it; empty where there are none."""
        document = {
            "select": {name: list(allowed) for name, allowed in self.select.items()},
            "fallback": self.fallback,
            "outliers": {
                name: {rule.action: list(rule.limits), "quantiles": rule.quantiles}
                for name, rule in self.outliers.items()
            },
            "answer": dict(self.answer),
        }
        return {name: value for name, value in document.items() if value not in ({}, None)}


def read_rules(reader: Reader, where: str, table: Mapping[str, Any]) -> RulesPart:
    """Read the rules of a model, noting what is wrong with them."""
    where = f"{where} rules"
    reader.keys(where, table, tuple(RulesPart.__dataclass_fields__))
    select = reader.take(where, table, "select", dict, {})
    outliers = reader.take(where, table, "outliers", dict, {})
    fallback = reader.take(where, table, "fallback", (int, float), None)
    rules = RulesPart(
        select={name: _allowed(reader, f"{where} select", name, value) for name, value in select.items()},
        fallback=None if fallback is None else float(fallback),
        outliers={name: _outliers(reader, f"{where} outliers", name, value) for name, value in outliers.items()},
        answer=_answer(reader, f"{where} answer", reader.take(where, table, "answer", dict, {})),
    )
    if rules.fallback is not None and not rules.select:
        reader.add(where, "a fallback is given, and no selection", "Add: select = { COLUMN = [lowest, highest] }")
    return rules


def limits(reader: Reader, where: str, name: str, value: Any) -> Limits:
    """Read ``[lowest, highest]``."""
    pair = isinstance(value, list) and len(value) == 2
    if not pair or not all(_is_number(limit) for limit in value):
        reader.add(where, f"{name} is {value!r}", "Give [lowest, highest].")
        return (-math.inf, math.inf)
    low, high = float(value[0]), float(value[1])
    if low > high:
        reader.add(where, f"{name} is {value!r}, which holds nothing", "Give [lowest, highest].")
    return (low, high)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _allowed(reader: Reader, where: str, name: str, value: Any) -> Limits | tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    return limits(reader, where, name, value)


def _outliers(reader: Reader, where: str, name: str, value: Any) -> OutlierRule:
    table = value if isinstance(value, Mapping) else {}
    actions = [key for key in ("clip", "drop") if key in table]
    if len(actions) != 1:
        reader.add(where, f"{name} is {value!r}", "Give { clip = [lowest, highest] } or { drop = [lowest, highest] }.")
        return OutlierRule("clip", (-math.inf, math.inf))
    reader.keys(f"{where} {name}", table, ("clip", "drop", "quantiles"))
    quantiles = bool(reader.take(f"{where} {name}", table, "quantiles", bool, default=False))
    found = limits(reader, f"{where} {name}", actions[0], table[actions[0]])
    if quantiles and not 0 <= found[0] <= found[1] <= 1:
        reader.add(f"{where} {name}", f"{actions[0]} is {list(found)}", "Quantiles lie from 0 to 1.")
    return OutlierRule(actions[0], found, quantiles)


def _answer(reader: Reader, where: str, table: Mapping[str, Any]) -> Mapping[str, float]:
    reader.keys(where, table, _ANSWER)
    found = {name: float(value) for name, value in table.items() if name in _ANSWER and _is_number(value)}
    for name in table:
        if name in _ANSWER and name not in found:
            reader.add(where, f"{name} is {table[name]!r}", "Give a number.")
    if found.get("min", -math.inf) > found.get("max", math.inf):
        reader.add(where, "min is greater than max", "Exchange them.")
    if not float(found.get("round", 0)).is_integer():
        reader.add(where, f"round is {found['round']:g}", "Give a whole number of decimals.")
    if found.get("scale", 1.0) <= 0:
        reader.add(where, f"scale is {found['scale']:g}", "Give a positive number.")
    return found
