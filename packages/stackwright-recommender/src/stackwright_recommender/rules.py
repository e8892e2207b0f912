"""Business rules: what a list must not hold, holds at a place, holds few of, or rather holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.recommender import AtMost, Boosted, Hidden, Pinned, Rule
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import UNKNOWN, Codes


def check(rules: Sequence[Any]) -> None:
    """Check rules before they are used.

    Raises:
        UsageError: something is no rule, or a number is out of range.
    """
    for rule in rules:
        if not isinstance(rule, Hidden | AtMost | Pinned | Boosted):
            todo = "Give Hidden, AtMost, Pinned or Boosted."
            raise UsageError("rules", f"a {type(rule).__name__} is no rule", todo)
        if isinstance(rule, AtMost) and rule.count < 1:
            raise UsageError("rules", f"AtMost({rule.count})", "Count from 1.")
        if isinstance(rule, Pinned) and rule.place < 1:
            raise UsageError("rules", f"Pinned at place {rule.place}", "Places count from 1.")
    places = [rule.place for rule in rules if isinstance(rule, Pinned)]
    if len(set(places)) < len(places):
        raise UsageError("rules", "two items are pinned at one place", "Give each a place of its own.")


def hidden(rules: Iterable[Rule], items: Catalogue, codes: Codes) -> NDArray[np.bool_]:
    """Return which items must not be shown."""
    answer = np.zeros(codes.size, dtype=bool)
    for rule in rules:
        if isinstance(rule, Hidden):
            answer |= _meant(rule, items, codes)
    return answer


def boosted(rules: Iterable[Rule], items: Catalogue, codes: Codes, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores after all boosts."""
    answer = scores.copy()
    for rule in rules:
        if isinstance(rule, Boosted) and scores.size:
            answer[_meant(rule, items, codes)] += rule.by * float(scores.std())
    return answer


def pinned(rules: Iterable[Rule], items: Catalogue) -> dict[int, int]:
    """Return place, from 0 → code; items that are not in the catalogue are left out."""
    found = {rule.place - 1: items.ids.code(rule.item) for rule in rules if isinstance(rule, Pinned)}
    return {place: code for place, code in found.items() if code != UNKNOWN}


def limits(rules: Iterable[Rule], items: Catalogue) -> list[tuple[Codes, int]]:
    """Return for each limit the group of every item, and the most there may be."""
    return [
        (items.group if rule.of == "group" else items.area, rule.count) for rule in rules if isinstance(rule, AtMost)
    ]


def _meant(rule: Hidden | Boosted, items: Catalogue, codes: Codes) -> NDArray[np.bool_]:
    groups = items.groups.codes(rule.groups)
    return np.isin(codes, items.ids.codes(rule.items)) | np.isin(items.group[codes], groups[groups != UNKNOWN])
