"""What lists are judged by: interactions that are held out, and what is known without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright.assembly.recommender_part import HoldoutPart
from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.recommender import Interactions

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Held:
    """Interactions, cut in two.

    Args:
        older: those that are learned from.
        wanted: user → items that were held out and liked, of users that are known from the older; with the time of
            each, seconds since 1970, NaN where none is known.
        first: the same pairs, with the time at which the user took the item first.
        asked: user → the instant that lists are asked for, seconds since 1970: when the first was taken of what is held
            out as the newest, or the newest of what is known where it is drawn.
        users: item → how many users liked it among the older.
        people: users that the older are of.
        seen: user → items of the older interactions, oldest first.
    """

    older: Interactions
    wanted: Mapping[Any, Mapping[Any, float]]
    first: Mapping[Any, Mapping[Any, float]]
    asked: Mapping[Any, float]
    users: Mapping[Any, int]
    people: int
    seen: Mapping[Any, tuple[Any, ...]]


def hold_out(interactions: Interactions, part: HoldoutPart) -> Held:
    """Cut interactions. Pairs of user and item are held out whole.

    ``last`` keeps ``round(n * (1 - share))`` of each user's ``n`` pairs, the oldest, ``random`` as many of each item's,
    drawn. What is drawn stays the same over versions of NumPy.

    Raises:
        TrainingError: nothing is left on one side.
    """
    table: pa.Table = interactions.table
    user, item = (table[name].combine_chunks().dictionary_encode() for name in ("user", "item"))
    who, what = (np.asarray(column.indices, dtype=np.int64) for column in (user, item))
    time = _seconds(table)
    weight = _weights(table)
    pair = who * max(len(item.dictionary), 1) + what
    order = np.lexsort((np.arange(pair.size), time, pair))
    ends = np.flatnonzero(np.append(np.diff(pair[order]) != 0, True))
    last = np.sort(order[ends])
    begun = np.full(pair.size, np.nan)
    begun[order[ends]] = time[order[np.append(0, ends[:-1] + 1)]]
    kept = _newest(who[last], time[last], part.share) if part.how == "last" else _drawn(what[last], part)
    older = np.isin(pair, pair[last[kept]])
    held = last[~kept]
    most = _greatest(pair, weight)
    known = np.isin(np.arange(len(user.dictionary)), who[older])
    held = held[known[who[held]] & (most[held] > 0)]
    if not held.size:
        found = f"{table.num_rows:,} interactions of {len(user.dictionary):,} users leave nothing liked to hold out"
        raise TrainingError("holdout", found, "Give users with several interactions each, or a greater share.")
    users, items = user.dictionary.to_pylist(), item.dictionary.to_pylist()
    timed = "time" in table.column_names
    wanted: dict[Any, dict[Any, float]] = {}
    first: dict[Any, dict[Any, float]] = {}
    for row in held.tolist():
        for found_at, instants in ((wanted, time), (first, begun)):
            instant = float(instants[row]) if timed else float("nan")
            found_at.setdefault(users[who[row]], {})[items[what[row]]] = instant
    asks = np.isin(np.arange(len(users)), who[held])
    seen = _seen(last[kept & asks[who[last]]], who, time)
    newest = float(time[older].max(initial=0.0))
    asked = dict.fromkeys(wanted, newest)
    codes = {name: place for place, name in enumerate(users)}
    if timed and part.how == "last":
        asked = {name: min(times.values()) for name, times in wanted.items()}
    elif timed:
        asked = {name: float(time[seen[codes[name]][-1]]) for name in wanted}
    good = last[kept & (most[last] > 0)]
    counts = np.bincount(what[good], minlength=len(items))
    return Held(
        older=Interactions(table=table.filter(pa.array(older)), columns=interactions.columns),
        wanted=wanted,
        first=first,
        asked=asked,
        users={name: int(count) for name, count in zip(items, counts, strict=True) if count},
        people=int(known.sum()),
        seen={name: tuple(items[what[row]] for row in seen[codes[name]]) for name in wanted},
    )


def arranged(interactions: Interactions) -> Interactions:
    """Return interactions in the order of their items, where drawn ones of each item are held out.

    What was taken at one instant, as a page of ratings is, then comes in the order of the identifiers, whatever order a
    source has. Where the newest are held out, the source's order says what came last.
    """
    table: pa.Table = interactions.table
    order = pc.sort_indices(table, sort_keys=[("item", "ascending")])
    return Interactions(table=table.take(order), columns=interactions.columns)


def _seconds(table: pa.Table) -> NDArray[np.float64]:
    if "time" not in table.column_names:
        return np.zeros(table.num_rows)
    return np.asarray(pc.cast(table["time"], pa.int64()).to_numpy(), dtype=np.float64) / 1e6


def _weights(table: pa.Table) -> NDArray[np.float64]:
    if "weight" not in table.column_names:
        return np.ones(table.num_rows)
    return np.asarray(table["weight"].to_numpy(), dtype=np.float64)


def _greatest(pair: Ints, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each row the greatest weight of its pair."""
    _, code = np.unique(pair, return_inverse=True)
    most = np.full(int(code.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(most, code, np.nan_to_num(weight))
    return np.asarray(most[code])


def _newest(who: Ints, time: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Return which pairs are kept: of each user the oldest, of equal times those that come first."""
    return _first(who, np.lexsort((np.arange(who.size), time, who)), share)


def _drawn(what: Ints, part: HoldoutPart) -> NDArray[np.bool_]:
    draw = np.random.RandomState(part.seed).rand(what.size)
    return _first(what, np.lexsort((draw, what)), part.share)


def _first(group: Ints, order: Ints, share: float) -> NDArray[np.bool_]:
    """Return which rows are among the first of their group, all but a share of it.

    Args:
        order: rows, group after group.
    """
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(group.size, dtype=np.int64)
    place[order] = np.arange(group.size) - starts[group[order]]
    return np.asarray(place + 1 <= np.round(sizes * (1 - share))[group])


def _seen(rows: Ints, who: Ints, time: NDArray[np.float64]) -> dict[int, list[int]]:
    """Return user → rows of what is known, oldest first."""
    found: dict[int, list[int]] = {}
    for row in rows[np.lexsort((rows, time[rows]))].tolist():
        found.setdefault(int(who[row]), []).append(row)
    return found
