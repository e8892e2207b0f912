"""When a number has become worse: by how much, whether that is proven, and how to say it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from stackwright_numerics.drift import State

Kind = Literal["ratio", "rise", "fall", "drop"]
KINDS: Final[tuple[Kind, ...]] = ("ratio", "rise", "fall", "drop")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Rule:
    """When a metric has become worse.

    Args:
        limit: the loss that alarms; half of it warns.
        kind: ``"ratio"``: loss is ``value / expected - 1``; ``"rise"``: ``|value| - |expected|``; ``"fall"``:
            ``expected - value``; ``"drop"``: ``1 - value / expected``.
    """

    limit: float
    kind: Kind

    def loss(self, value: float, expected: float) -> float:
        """Return how much worse the value is than expected; negative where it is better."""
        if self.kind == "ratio":
            return value / expected - 1 if expected > 0 else float("nan")
        if self.kind == "drop":
            return 1 - value / expected if expected > 0 else float("nan")
        return abs(value) - abs(expected) if self.kind == "rise" else expected - value

    def least_loss(self, low: float, high: float, expected: float) -> float:
        """Return the smallest loss of all values from ``low`` to ``high``."""
        nearest_to_zero = min(max(0.0, low), high)
        return min(self.loss(value, expected) for value in (low, high, nearest_to_zero))


RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "regression": {
        "mdape": Rule(0.25, "ratio"),
        "signed_median_error": Rule(0.05, "rise"),
        "interval_coverage": Rule(0.05, "fall"),
    },
    "classification": {
        "auc": Rule(0.05, "fall"),
        "log_loss": Rule(0.25, "ratio"),
        "ece": Rule(0.05, "rise"),
    },
    "ranking": {"ndcg": Rule(0.05, "fall")},
    "time_to_event": {"c_index": Rule(0.05, "fall")},
}
"""Task → metric → rule."""

MORE_RULES: Final[Mapping[str, Rule]] = {
    **{metric: Rule(0.25, "ratio") for metric in ("mape", "mae", "rmse", "median_relative_width")},
    **{metric: Rule(0.05, "fall") for metric in ("ppe5", "ppe10", "ppe20", "hit_rate", "map", "mrr", "recall")},
    "precision": Rule(0.05, "fall"),
}
"""Rules of metrics that are not judged unless they are asked for."""

UNBIASED: Final[Mapping[str, float]] = {"signed_median_error": 0.0, "ece": 0.0}
"""What is expected of metrics of an honest model, whatever was measured at its training."""


def rule_of(metric: str) -> Rule | None:
    """Return the rule of a metric, whatever task it is of."""
    return {**MORE_RULES, **{name: rule for rules in RULES.values() for name, rule in rules.items()}}.get(metric)


def verdict(
    value: float | None,
    expected: float | None,
    interval: Interval | None,
    rule: Rule,
    *,
    expected_interval: Interval | None = None,
) -> dict[str, Any]:
    """Judge one metric; what it lacks a value, an expectation or rows for is insufficient.

    It warns or alarms only where the loss is both large (half the rule's limit, the limit) and proven: by the most
    favourable value of its interval there is a loss at all (for a warning) or half the limit (for an alarm).

    Args:
        value: as measured.
        expected: what it is held against.
        interval: of the value.
        rule: its limit and kind.
        expected_interval: of what it is held against, where that was measured on a sample too.

    Returns:
        ``value``, ``expected``, ``limit``, ``kind``, ``state``, and where they are known ``low``, ``high``, ``loss``
        and ``proven``, the smallest loss that the intervals allow.
    """
    found: dict[str, Any] = {"value": value, "expected": expected, "limit": rule.limit, "kind": rule.kind}
    if interval is not None:
        found |= {"low": interval[0], "high": interval[1]}
    if value is None or expected is None or interval is None:
        return {**found, "state": "insufficient"}
    loss = rule.loss(value, expected)
    proven = min(rule.least_loss(*interval, end) for end in expected_interval or (expected,))
    if not math.isfinite(loss) or not math.isfinite(proven):
        return {**found, "state": "insufficient"}
    return {**found, "loss": loss, "proven": proven, "state": state_of(loss, proven, rule.limit)}


def state_of(loss: float, proven: float, limit: float) -> State:
    """Return what a loss calls for, given the part of it that is proven."""
    if loss >= limit and proven >= limit / 2:
        return "alarm"
    return "warn" if loss >= limit / 2 and proven > 0 else "ok"


def words(metric: str, found: Mapping[str, Any], n: int, of: str = "truths") -> str:
    """Say a verdict on a metric of so many truths, or lists, in one line, for people."""
    if found.get("value") is None:
        return f"{metric} is not known of {n:,} {of}"
    if found["state"] == "insufficient":
        if found["expected"] is None:
            return f"{metric} {found['value']:.3g} of {n:,} {of}, and nothing to hold it against"
        return f"{metric} {found['value']:.3g} of {n:,} {of}, too few to say more"
    said = f"{metric} {found['value']:.3g} ({found['low']:.3g} to {found['high']:.3g}, n = {n:,})"
    said += f" against {found['expected']:.3g}"
    if metric == "signed_median_error":
        return f"{said}: answers lie {abs(found['value']):.1%} {'above' if found['value'] > 0 else 'below'} the truths"
    relative = found["kind"] in ("ratio", "drop")
    amount = f"{abs(found['loss']):.0%}" if relative else f"{abs(found['loss']):.3g}"
    direction = "worse" if found["loss"] > 0 else "better"
    proof = f", {found['proven']:.0%} proven" if relative else f", {found['proven']:.3g} proven"
    return f"{said}: {amount} {direction}" + (proof if found["loss"] > 0 and found["proven"] > 0 else "")
