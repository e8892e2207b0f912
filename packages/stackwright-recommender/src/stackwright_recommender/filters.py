"""Which candidates may be shown at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.recommender import Rule
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.identifiers import Codes
from stackwright_recommender.rules import hidden

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request leaves out.

    Args:
        at: seconds since 1970: only what may be shown then.
        budget: the most a price may be; items whose price is not known stay.
        seen: codes that are left out.
        rules: business rules; those that hide.
    """

    at: float
    budget: float | None = None
    seen: Codes
    rules: Sequence[Rule] = ()


def among(codes: Codes, others: Codes, items: int) -> Bools:
    """Return which codes are among others.

    Args:
        items: how many codes there are.
    """
    marked = np.zeros(items, dtype=bool)
    marked[others] = True
    return np.asarray(marked[codes])


def kept(
    codes: Codes, items: Catalogue, limits: Limits, price: NDArray[np.float64] | None = None
) -> tuple[Bools, dict[str, int]]:
    """Return which candidates stay, and how many each filter took out of what came to it.

    Args:
        codes: candidates.
        items: the catalogue.
        limits: what to leave out.
        price: present prices of the candidates, over those of the catalogue.
    """
    prices = items.price[codes] if price is None else np.asarray(price, dtype=np.float64)
    taken = {
        "unavailable": (items.since[codes] > limits.at) | (items.until[codes] <= limits.at),
        "over_budget": prices > limits.budget if limits.budget is not None else np.zeros(codes.size, bool),
        "seen": among(codes, limits.seen, len(items)),
        "hidden": hidden(limits.rules, items, codes),
    }
    stay = np.ones(codes.size, dtype=bool)
    removed = {}
    for name, out in taken.items():
        if count := int(np.count_nonzero(stay & out)):
            removed[name] = count
        stay &= ~out
    return stay, removed
