"""Orders of rows, by key and by what comes after it."""

from __future__ import annotations

import numpy as np

from stackwright_parquet.search import Integers


def ascending_order(values: Integers) -> Integers:
    """Return the order that sorts; equal values keep theirs. What is in order already, or in few runs, costs little."""
    if (values[1:] >= values[:-1]).all():
        return np.arange(len(values))
    return np.argsort(values, kind="stable")


def order_within(key: Integers, values: Integers) -> Integers:
    """Return the order of rows by key, then by value; equal rows keep theirs.

    Keys are put together first, and only those are sorted further whose rows are out of order then. Rows that come file
    after file, of which each goes on where the one before ended, cost little more than a look.

    Args:
        key: a number a key, 0 or greater, of n.
        values: int64 array of n.
    """
    order = ascending_order(key)
    key, values = key[order], values[order]
    wrong = (key[1:] == key[:-1]) & (values[1:] < values[:-1])
    if wrong.any():
        untidy = np.zeros(int(key[-1]) + 1, np.bool_)
        untidy[key[1:][wrong]] = True
        touched = np.flatnonzero(untidy[key])
        order[touched] = order[touched][np.lexsort((values[touched], key[touched]))]
    return order


def newest_known(key: Integers, event: Integers, created: Integers) -> tuple[Integers, Integers]:
    """Return when rows come to be known, and the newest row known from then on.

    At ``t`` those rows are known whose event and created times are at most ``t``, that is, whose later one is. Along
    that time, the newest known row is a running maximum over places, for places ascend with the order token.

    Args:
        key: a number a key, of n; rows are sorted by key, then by order token.
        event: event times.
        created: created times.

    Returns:
        For each key's segment: times, ascending, and for each of them the place of the newest row known.
    """
    available = np.maximum(event, created)
    order = order_within(key, available)
    return available[order], np.maximum.accumulate(order)
