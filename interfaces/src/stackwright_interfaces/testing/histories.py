"""Hypothesis strategies for histories: few keys, few instants, so that ties, late rows and exact edges are common.

All instants lie on a grid of whole hours around noon (:data:`~stackwright_interfaces.testing.context.NOON`), or one
microsecond beside it, so that a ``max_age`` or window of whole hours is hit exactly and missed narrowly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.oracle import Fact, Key
from stackwright_interfaces.types import Kind, Type

HOUR: Final = timedelta(hours=1)
US: Final = timedelta(microseconds=1)

_VALUES: Final[dict[Kind, st.SearchStrategy[Any]]] = {
    Kind.BOOL: st.booleans(),
    Kind.INT64: st.sampled_from([0, 1, -2, 7]),
    Kind.FLOAT64: st.sampled_from([0.0, 0.1, -1.25, 3.5, 1e16, math.nan]),
    Kind.STRING: st.sampled_from(["", "a", "b", "ä"]),
}


def quick(max_examples: int) -> settings:
    """Settings of the kits' properties: no deadline, since adapters differ, and no database of examples."""
    return settings(
        deadline=None,
        max_examples=max_examples,
        database=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def instants(first: int = -4, last: int = 4) -> st.SearchStrategy[datetime]:
    """Instants on the grid, from ``first`` to ``last`` hours after noon."""
    steps = st.sampled_from([timedelta(0), timedelta(0), US, -US])
    return st.builds(lambda hours, step: NOON + hours * HOUR + step, st.integers(first, last), steps)


def values(type: Type) -> st.SearchStrategy[Any]:
    """Values of a type, null among them."""
    return st.none() | _VALUES[type.kind]


def facts(view: FeatureView, keys: Sequence[Key]) -> st.SearchStrategy[Fact]:
    """Rows of a view: on time, late, or written down before they became true."""
    return st.builds(
        lambda key, event, delay, row: Fact(key, event, event + delay * HOUR, row),
        st.sampled_from(keys),
        instants(),
        st.sampled_from([0, 0, 1, 3, -1]),
        st.fixed_dictionaries({column.name: values(column.type) for column in view.fields}),
    )


def ingestions(view: FeatureView, keys: Sequence[Key], *, most: int = 3) -> st.SearchStrategy[list[list[Fact]]]:
    """What arrives in several ingestions, in any order of event and created time, with repetitions."""
    return st.lists(st.lists(facts(view, keys), max_size=6), max_size=most).flatmap(_with_repetitions)


def labels(keys: Sequence[Key]) -> st.SearchStrategy[list[tuple[Key, datetime]]]:
    """Keys and asked instants, doubles included."""
    return st.lists(st.tuples(st.sampled_from(keys), instants()), max_size=8)


def without_open_ties(calls: Sequence[Sequence[Fact]]) -> list[list[Fact]]:
    """Drop rows that only a hash of content could order: same key, event and created as another, with other values."""
    first: dict[tuple[Key, datetime, datetime], Fact] = {}
    kept: list[list[Fact]] = []
    for call in calls:
        for fact in call:
            first.setdefault((fact.key, fact.event, fact.created), fact)
        kept.append([fact for fact in call if _same(first[fact.key, fact.event, fact.created], fact)])
    return kept


def remembered(calls: Sequence[Sequence[Fact]], positions: Sequence[int]) -> list[Fact]:
    """Return the rows that a store holds after these ingestions: each once, under its first position."""
    held: dict[tuple[Key, datetime, datetime, Any], Fact] = {}
    for call, position in zip(calls, positions, strict=True):
        for fact in call:
            held.setdefault((fact.key, *fact.order), replace(fact, position=position))
    return list(held.values())


def _with_repetitions(calls: list[list[Fact]]) -> st.SearchStrategy[list[list[Fact]]]:
    every = [fact for call in calls for fact in call]
    if not every:
        return st.just(calls)
    again = st.lists(st.sampled_from(every), max_size=2)
    return st.tuples(*(again for _ in calls)).map(
        lambda more: [[*call, *extra] for call, extra in zip(calls, more, strict=True)]
    )


def _same(one: Fact, other: Fact) -> bool:
    return repr(sorted(one.values.items())) == repr(sorted(other.values.items()))
