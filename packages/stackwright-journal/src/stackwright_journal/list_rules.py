"""Alert rules over lists: what a window of lists is judged by, held against what was shown before.

A number of lists is a sum over lists ÷ a sum over lists. Its interval is a percentile bootstrap over users, each with
all lists of the window: somebody who looks all day counts once. ``coverage`` and ``novelty`` tell of all that was
shown, and have no interval; coverages are compared at equal numbers of lists (rarefaction: Hurlbert 1971).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_journal.alert_rules import PERFORMANCE, SILENCE, AlertRule, Verdict, judged
from stackwright_journal.list_numbers import novelty, ranked, times_shown
from stackwright_journal.list_reading import ShownLists
from stackwright_journal.tabulating import FALLBACKS
from stackwright_journal.verdicts import Interval, Rule, verdict, words
from stackwright_numerics.intervals import bootstrap

Floats = NDArray[np.float64]

START: Final = "start"
PREVIOUS: Final = "previous"

RULES: Final[Mapping[str, Rule]] = {
    "ctr": Rule(0.2, "drop"),
    "ndcg": Rule(0.05, "fall"),
    "mrr": Rule(0.05, "fall"),
    "coverage": Rule(0.2, "drop"),
    "novelty": Rule(0.1, "drop"),
    "cold_items": Rule(0.1, "rise"),
    "cold_users": Rule(0.1, "rise"),
    FALLBACKS: Rule(0.05, "rise"),
    "stale": Rule(0.05, "rise"),
    "empty": Rule(0.05, "rise"),
}
"""Number of lists → the usual rule of it."""
WATCHED: Final = (*RULES, PERFORMANCE, SILENCE)
"""What a rule may watch of lists."""

DEFAULTS: Final = (
    AlertRule(name="loss", watch=PERFORMANCE, action="retrain"),
    AlertRule(name="fallbacks", watch=FALLBACKS, action="investigate"),
)
"""The rules where a blueprint names none: a proven loss retrains, lists that lack something open an investigation."""

_JUDGED: Final = ("ctr", "ndcg")
_HONEST: Final[Mapping[str, float]] = {FALLBACKS: 0.0, "stale": 0.0, "empty": 0.0}
_FLAGS: Final[Mapping[str, frozenset[str]]] = {
    FALLBACKS: frozenset({"fallback", "no_session"}),
    "stale": frozenset({"stale"}),
    "cold_users": frozenset({"cold_user"}),
}
_FEWEST: Final = 30
"""Users below which a bootstrap is too narrow to prove anything."""
_DRAWS: Final = 400


@dataclass(frozen=True, kw_only=True)
class ListWindow:
    """What is known of a recommender at the end of a window.

    Args:
        shown: the lists of its version that somebody was shown in the window.
        before: whether any list was shown before the window.
        start: the lists of its version in its first days; empty where they are not over when the window begins.
        previous: the lists of the version before in its last days.
        k: places that NDCG counts.
        catalogue: how many items the version knows; ``None`` where nobody says.
    """

    shown: ShownLists
    before: bool
    start: ShownLists
    previous: ShownLists
    k: int
    catalogue: int | None = None


def evaluate_lists(rule: AlertRule, window: ListWindow) -> Verdict:
    """Judge a window of lists by a rule.

    Returns:
        As :func:`~stackwright_journal.alert_rules.evaluate` does.
    """
    if rule.watch == SILENCE:
        return judged(rule, len(window.shown), [_silence(window)])
    names = _JUDGED if rule.watch == PERFORMANCE else (rule.watch,)
    return judged(rule, len(window.shown), [_part(rule, window, name) for name in names])


def _silence(window: ListWindow) -> Verdict:
    n = len(window.shown)
    state = "ok" if n else "alarm" if window.before else "insufficient"
    said = f"{n:,} lists in the window" if n else "no list in the window"
    return {"value": float(n), "n": n, "state": state, "words": said}


def _part(rule: AlertRule, window: ListWindow, name: str) -> Verdict:
    """Judge one number."""
    usual = RULES[name]
    kind: Any = rule.kind or usual.kind
    limits = Rule(usual.limit if rule.limit is None else rule.limit, kind)
    against = _HONEST.get(name, START) if rule.against == "" else rule.against
    reference = {START: window.start, PREVIOUS: window.previous}.get(str(against))
    lists = min(len(window.shown), len(reference)) if reference is not None else len(window.shown)
    found = _measured(name, window.shown, window, rule, lists)
    held = _Measured(float(against)) if reference is None else _measured(name, reference, window, rule, lists)
    sampled = None if reference is None else held.interval or (float("nan"), float("nan"))
    result = verdict(found.value, held.value, found.interval, limits, expected_interval=sampled)
    return {"metric": name, **result, "n": found.n, "words": words(name, result, found.n, "lists")}


@dataclass(frozen=True)
class _Measured:
    """A number of lists, its interval where there is enough to go by, and how many lists it is of."""

    value: float | None = None
    interval: Interval | None = None
    n: int = 0


def _measured(name: str, shown: ShownLists, window: ListWindow, rule: AlertRule, lists: int) -> _Measured:
    n, least = len(shown), max(rule.minimum, 2)
    if name in _CENSUS:
        value = _CENSUS[name](shown, window, lists) if n else None
        return _Measured(value, None if value is None or n < least else (value, value), n)
    over, under = _sums(name, shown, window.k)
    n = int(np.count_nonzero(under))
    if not n:
        return _Measured()
    table = _by_user(shown, np.column_stack([over, under]))
    table = table[table[:, 1] > 0]
    (found,) = bootstrap(table, lambda sums: sums[:, :1] / sums[:, 1:], draws=_DRAWS, level=rule.level)
    enough = n >= least and len(table) >= _FEWEST
    return _Measured(found.value, (found.low, found.high) if enough else None, n)


def _sums(name: str, shown: ShownLists, k: int) -> tuple[Floats, Floats]:
    """Return what is divided by what, a list each."""
    n = len(shown)
    ones: Floats = np.ones(n)
    sizes = np.bincount(shown.number, minlength=n).astype(np.float64)
    if name in ("ctr", "cold_items"):
        counted = shown.clicked > 0 if name == "ctr" else shown.cold
        return np.bincount(shown.number[counted], minlength=n).astype(np.float64), sizes
    if name == "empty":
        return (sizes == 0).astype(np.float64), ones
    if name in _FLAGS:
        return np.array([bool(_FLAGS[name] & set(one.get("flags", ()))) for one in shown.lists], dtype=np.float64), ones
    clicked, columns = ranked(shown, k)
    over = np.zeros(n)
    over[clicked] = columns[:, ("ndcg", "mrr").index(name)]
    return over, clicked.astype(np.float64)


def _by_user(shown: ShownLists, table: Floats) -> Floats:
    """Return the sums of the lists of each user; a list of nobody known stands alone."""
    codes: dict[Any, int] = {}
    unit = np.empty(len(shown), dtype=np.int64)
    for place, one in enumerate(shown.lists):
        user = one.get("user")
        unit[place] = codes.setdefault(("list", place) if user is None else user, len(codes))
    return np.column_stack([np.bincount(unit, column, minlength=len(codes)) for column in table.T])


def _coverage(shown: ShownLists, window: ListWindow, lists: int) -> float | None:
    """Return the share of the catalogue that so many of the lists are expected to show."""
    return rarefied(times_shown(shown), len(shown), lists) / window.catalogue if window.catalogue else None


def rarefied(times: Floats, lists: int, drawn: int) -> float:
    """Return how many different items some of the lists are expected to show, drawn without putting back.

    ``sum of 1 - C(lists - times, drawn) / C(lists, drawn)`` (Hurlbert 1971, Ecology 52).

    Args:
        times: of each item, how many lists show it.
        lists: how many there are.
        drawn: how many are drawn, at most ``lists``.
    """
    factorial = np.append(0.0, np.cumsum(np.log(np.arange(1, lists + 1))))
    left = (lists - times).astype(np.int64)
    left = left[left >= drawn]
    chance = factorial[left] - factorial[left - drawn] - factorial[lists] + factorial[lists - drawn]
    return float(times.size - np.exp(chance).sum())


_CENSUS: Final[Mapping[str, Callable[[ShownLists, ListWindow, int], float | None]]] = {
    "coverage": _coverage,
    "novelty": lambda shown, _window, _lists: novelty(shown),
}
