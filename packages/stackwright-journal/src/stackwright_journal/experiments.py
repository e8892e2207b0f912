"""Arms compared on what they are for: the gain of each over the first, how sure it is, and what it must not cost.

Entities are drawn with replacement, each with all its predictions in every arm (a cluster bootstrap, Cameron, Gelbach
and Miller 2008): predictions of one entity are alike, and where a shadow answered the same questions arms are paired.

Who looks again and again finds a gain by chance sooner or later. So intervals are those of one look only where that
look was fixed beforehand; else they are widened until all looks hold together: by the ratio of an asymptotic confidence
sequence to an interval of one look,

    sqrt(2 (t r^2 + 1) / (t r^2) log(sqrt(t r^2 + 1) / a)) / z,    r^2 = (-2 log a + log(1 - 2 log a)) / t0,

of ``t`` entities, narrowest at ``t0`` (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Annals of Statistics 52).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stackwright_journal.measures import Ints, Measure

Looks = Literal["planned", "running", "any"]
VERDICTS: Final = ("better", "worse", "undecided", "insufficient", "running", "invalid")
FEWEST: Final = 30
"""Entities below which a bootstrap interval is not to be trusted, whatever a plan says."""

_REPLICATES: Final = 400
_MOST_ROWS: Final = 40_000_000
_FEWEST_DRAWS: Final = 100
_SEED: Final = 7
_ODD: Final = 3.29
"""Standard errors beyond which a share of the entities is no chance: once in a thousand."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of a comparison.

    Args:
        arms: the arm that others are held against, then those.
        least: the smallest gain that is worth having.
        guardrails: measure → how much worse it may become.
        minimum: entities with something measured that an arm needs; never less than :data:`FEWEST`.
        level: nominal coverage of the intervals: of all comparisons together, and of all guardrails together.
        shares: arm → share of the entities that it was given; those not named are not checked.
        paired: arms that answered the same questions as the first: entities that only one of them has do not count.
        looks: ``"planned"``: the end that was fixed beforehand has come, and what came after it is left out;
            ``"running"``: it has not, so that only harm is concluded; ``"any"``: no end was fixed.
    """

    arms: Sequence[str]
    least: float = 0.0
    guardrails: Mapping[str, float] = field(default_factory=dict)
    minimum: int = 100
    level: float = 0.95
    shares: Mapping[str, float] = field(default_factory=dict)
    paired: Sequence[str] = ()
    looks: Looks = "any"


def compare(goal: Measure, guards: Sequence[Measure], plan: Plan) -> dict[str, Any]:
    """Compare every arm with the first.

    Returns:
        ``goal``, ``better``, ``level``, ``looks``; ``arms``: for each its name, rows and entities, the value of each
        measure, and for all but the first ``gain`` with ``low``, ``high`` and ``widened`` (how many times as wide as
        that of one look at one arm), ``guardrails`` (each with ``worse``, ``low``, ``high``, ``widened``, ``limit`` and
        ``state``: ``held``, ``broken`` or ``open``) and ``verdict``, one of :data:`VERDICTS`; ``mismatch``: arm → found
        and meant share of the entities, of those that chance does not explain.
    """
    shares = _mismatch(goal, plan)
    first = _arm(goal, guards, plan, 0)
    found = [first]
    for place in range(1, len(plan.arms)):
        arm = _arm(goal, guards, plan, place)
        gain = _gain(goal, place, plan, len(plan.arms) - 1)
        rails = {guard.name: _rail(guard, place, plan) for guard in guards}
        arm |= {"gain": gain, "guardrails": rails, "verdict": _verdict(first, arm, gain, rails, plan, bool(shares))}
        found.append(arm)
    said = {"goal": goal.name, "better": goal.better, "level": plan.level, "looks": plan.looks}
    return {**said, "arms": found, "mismatch": shares}


def widening(entities: int, level: float, *, comparisons: int = 1, looks: Looks = "any", narrowest: int = 200) -> float:
    """Return how many times as wide an interval must be as that of one look at one comparison.

    Args:
        entities: that were counted.
        level: nominal coverage of all comparisons together (Bonferroni), at all looks together.
        comparisons: how many there are.
        looks: as a plan has it; ``"planned"`` is one look.
        narrowest: entities at which the sequence is narrowest.
    """
    normal = NormalDist()
    usual, miss = normal.inv_cdf((1 + level) / 2), (1 - level) / max(comparisons, 1)
    if looks == "planned":
        return normal.inv_cdf(1 - miss / 2) / usual
    spread = max(entities, 1) * (-2 * log(miss) + log(1 - 2 * log(miss))) / narrowest
    return sqrt(2 * (spread + 1) / spread * log(sqrt(spread + 1) / miss)) / usual


def _arm(goal: Measure, guards: Sequence[Measure], plan: Plan, place: int) -> dict[str, Any]:
    mine = goal.arm == place
    return {
        "arm": plan.arms[place],
        "n": int(mine.sum()),
        "entities": int(np.unique(goal.cluster[mine]).size),
        "values": {measure.name: _told(measure, place) for measure in (goal, *guards)},
    }


def _told(measure: Measure, place: int) -> float | None:
    return _finite(measure.value(measure.arm == place, np.ones(measure.arm.size)))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _gain(measure: Measure, place: int, plan: Plan, comparisons: int) -> dict[str, float | None]:
    """Return by how much an arm is better than the first: value, interval, and how much it was widened."""
    rows = _rows(measure, place, paired=plan.arms[place] in plan.paired)
    either = rows[0] | rows[1]
    codes = np.unique(measure.cluster[either], return_inverse=True)[1] if either.any() else np.empty(0, np.int64)
    number = int(codes.max(initial=-1)) + 1
    value = measure.gain(*(measure.value(mine, np.ones(measure.arm.size)) for mine in rows))
    factor = widening(number, plan.level, comparisons=comparisons, looks=plan.looks, narrowest=2 * _needed(plan))
    ends = _interval(measure, rows, either, codes, number, plan.level)
    if ends is None:
        return {"value": _finite(value), "low": None, "high": None, "widened": factor}
    middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2 * factor
    return {"value": _finite(value), "low": middle - half, "high": middle + half, "widened": factor}


def _rows(measure: Measure, place: int, *, paired: bool) -> list[NDArray[np.bool_]]:
    """Return the rows of the first arm, and of another."""
    rows = [measure.arm == 0, measure.arm == place]
    if paired:
        both = np.intersect1d(*(measure.cluster[mine] for mine in rows))
        rows = [mine & np.isin(measure.cluster, both) for mine in rows]
    return rows


def _interval(
    measure: Measure,
    rows: Sequence[NDArray[np.bool_]],
    either: NDArray[np.bool_],
    codes: Ints,
    number: int,
    level: float,
) -> tuple[float, float] | None:
    random = np.random.default_rng(_SEED)
    drawn = []
    draws = int(np.clip(_MOST_ROWS // max(codes.size, 1), _FEWEST_DRAWS, _REPLICATES)) if number > 1 else 0
    for _ in range(draws):
        times = np.bincount(random.integers(0, number, number), minlength=number).astype(np.float64)
        weight = np.zeros(measure.arm.size)
        weight[either] = times[codes]
        drawn.append(measure.gain(*(measure.value(mine, weight) for mine in rows)))
    sure = np.array([value for value in drawn if np.isfinite(value)])
    if not sure.size:
        return None
    low, high = np.quantile(sure, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


def _rail(guard: Measure, place: int, plan: Plan) -> dict[str, Any]:
    comparisons = (len(plan.arms) - 1) * len(plan.guardrails)
    gain, limit = _gain(guard, place, plan, comparisons), plan.guardrails[guard.name]
    value, low, high, widened = gain["value"], gain["low"], gain["high"], gain["widened"]
    if value is None or low is None or high is None:
        return {"worse": None, "low": None, "high": None, "widened": widened, "limit": limit, "state": "open"}
    state = "held" if -low <= limit else "broken" if -high > limit else "open"
    return {"worse": -value, "low": -high, "high": -low, "widened": widened, "limit": limit, "state": state}


def _needed(plan: Plan) -> int:
    return max(plan.minimum, FEWEST)


def _verdict(
    first: Mapping[str, Any],
    arm: Mapping[str, Any],
    gain: Mapping[str, float | None],
    rails: Mapping[str, Mapping[str, Any]],
    plan: Plan,
    invalid: bool,
) -> str:
    states = [rail["state"] for rail in rails.values()]
    low, high = gain["low"], gain["high"]
    if invalid:
        return "invalid"
    if min(first["entities"], arm["entities"]) < _needed(plan) or low is None or high is None:
        return "insufficient"
    if "broken" in states or high < 0:
        return "worse"
    if plan.looks == "running":
        return "running"
    return "better" if low > plan.least and set(states) <= {"held"} else "undecided"


def _mismatch(goal: Measure, plan: Plan) -> dict[str, dict[str, float]]:
    """Return the arms that were given another share of the entities than was meant."""
    counts = {
        arm: np.unique(goal.cluster[goal.arm == place]).size
        for place, arm in enumerate(plan.arms)
        if arm in plan.shares
    }
    total, meant = sum(counts.values()), sum(plan.shares[arm] for arm in counts)
    found = {}
    for arm, count in counts.items() if total and meant > 0 and len(counts) > 1 else ():
        share = plan.shares[arm] / meant
        if abs(count - total * share) > _ODD * sqrt(total * share * (1 - share)):
            found[arm] = {"found": count / total, "meant": share}
    return found
