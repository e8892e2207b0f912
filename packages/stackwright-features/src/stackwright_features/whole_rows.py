"""Online reads in the common case: every row is there, in force and without a null, and all it holds are numbers.

Views whose rows are of one size are then read together, as one array. In any other case nothing is said, and each view
reads its own rows (:mod:`stackwright_features.newest_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain, islice
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import INSTANT, PRESENT, Answer, Statuses, microseconds_of
from stackwright_features.service_plan import Lookup
from stackwright_interfaces.types import Kind
from stackwright_numerics.records import WORD, RecordLayout
from stackwright_numerics.rows import FORMAT, HEAD_WORDS

_NUMBERS: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.TIMESTAMP})


class HasLookup(Protocol):
    """A reader of one lookup."""

    lookup: Lookup


class Whole(NamedTuple):
    """What the lookups of a group say of n keys.

    Attributes:
        values: their outputs in order, lookup after lookup.
        statuses: of every output alike; shared, and read-only.
        events: event times of the rows (lookups, n).
        knows: for each lookup the greatest position and due time (microseconds) of its rows.
    """

    values: Sequence[NDArray[Any]]
    statuses: Statuses
    events: NDArray[np.datetime64]
    knows: list[tuple[int, int]]


class WholeRows:
    """Reads lookups whose payloads have one size.

    Args:
        places: the places of the lookups in their wave.
        lookups: they.
    """

    def __init__(self, places: Sequence[int], lookups: Sequence[Lookup]) -> None:
        self.places = tuple(places)
        layouts = [RecordLayout(lookup.view.fields, FORMAT) for lookup in lookups]
        first = layouts[0]
        self._words = HEAD_WORDS + first.words
        self._payload_words, rest = divmod(8 * self._words + len(first.field_list), 8)
        self._cut = 8 * self._words if rest else None
        if rest:
            self._payload_words = self._words
        self._magic = [layout.magic for layout in layouts]
        self._bits = first.full_bits
        self._bit_rows = slice(HEAD_WORDS + 2, HEAD_WORDS + first.first)
        self._values = HEAD_WORDS + first.first
        ages = [microseconds_of(lookup.view.max_age) for lookup in lookups]
        self._ages = None if ages == [None] * len(ages) else [age if age is not None else _FOREVER for age in ages]
        self._dtypes = first.dtypes
        picked = [
            place + len(lookups) * _place_of(layout, output.feature)
            for place, (lookup, layout) in enumerate(zip(lookups, layouts, strict=True))
            for output in lookup.outputs
        ]
        self._pick: Callable[[list[NDArray[Any]]], Sequence[NDArray[Any]]] = (
            itemgetter(*picked) if len(picked) > 1 else lambda columns: [columns[picked[0]]]
        )
        self._outputs = [len(lookup.outputs) for lookup in lookups]

    @classmethod
    def among(cls, readers: Sequence[HasLookup]) -> list[WholeRows]:
        """Return the groups of lookups that can be read so."""
        groups: dict[object, list[int]] = {}
        for place, reader in enumerate(readers):
            lookup = reader.lookup
            kinds = tuple(sorted(field.type.kind for field in lookup.view.fields))
            if not lookup.view.windows and not lookup.held_keys and lookup.outputs and _NUMBERS.issuperset(kinds):
                groups.setdefault((lookup.sources, kinds), []).append(place)
        return [cls(places, [readers[place].lookup for place in places]) for places in groups.values()]

    def read(self, payloads: Sequence[Sequence[bytes | None]], at_us: int) -> Whole | None:
        """Say what the payloads of n keys hold, a list for each lookup; ``None`` if this is not the common case."""
        rows, views = len(payloads[0]), len(payloads)
        words = self._turned(chain.from_iterable(payloads), rows * views)
        if words is None or not self._whole(words, rows):
            return None
        by_view = words[1 : HEAD_WORDS + 1].reshape(HEAD_WORDS, views, rows)
        positions, dues, newest = by_view.max(axis=2).tolist() if rows > 1 else by_view[:, :, 0].tolist()
        if max(newest) > at_us or (self._ages is not None and self._expired(by_view[2], newest, at_us)):
            return None
        values = self._pick(self._columns(words, rows))
        return Whole(values, _present(rows), by_view[2].view(INSTANT), list(zip(positions, dues, strict=True)))

    def answers(self, payloads: Sequence[Sequence[bytes | None]], at_us: int) -> list[Answer]:
        """Say the same lookup by lookup; nothing if this is not the common case."""
        found = self.read(payloads, at_us)
        if found is None:
            return []
        values = iter(found.values)
        return [
            Answer(list(islice(values, count)), [found.statuses] * count, events, knows, {})
            for count, events, knows in zip(self._outputs, found.events, found.knows, strict=True)
        ]

    def _whole(self, words: NDArray[np.int64], rows: int) -> bool:
        """Tell whether every row was written with these very fields, and holds no null."""
        if words[0].tobytes() != b"".join([magic * rows for magic in self._magic]):
            return False
        return words[self._bit_rows].tobytes() == b"".join([bits * words.shape[1] for bits in self._bits])

    def _turned(self, payloads: Iterable[bytes | None], count: int) -> NDArray[np.int64] | None:
        """The words of the payloads (words, n), contiguous; ``None`` where one is missing or of another size."""
        try:
            if self._cut is None:
                joined = b"".join(payloads)  # type: ignore[arg-type]  # a missing one raises
            else:
                joined = b"".join([payload[: self._cut] for payload in payloads])  # type: ignore[index]  # likewise
        except TypeError:
            return None
        if len(joined) != 8 * count * self._payload_words:
            return None
        words = np.frombuffer(joined, WORD).reshape(count, self._payload_words)
        return words.T[: self._words].copy()

    def _expired(self, events: NDArray[np.int64], newest: Sequence[int], at_us: int) -> bool:
        assert self._ages is not None
        oldest = events.min(axis=1).tolist() if events.shape[1] > 1 else newest
        return any(event < at_us - age for event, age in zip(oldest, self._ages, strict=True))

    def _columns(self, words: NDArray[np.int64], rows: int) -> list[NDArray[np.float64]]:
        """Every field of every view: the first field of each, then the second of each."""
        columns: list[NDArray[np.float64]] = []
        start = self._values
        for dtype, count in self._dtypes:
            block = words[start : start + count].reshape(-1, rows)
            if dtype.kind == "b":
                columns.extend((block != 0).astype(np.float64))
            elif dtype.kind == "i":
                columns.extend(block.astype(np.float64))
            else:
                columns.extend(block.view(dtype))
            start += count
        return columns


_FOREVER: Final = 2**62


def _place_of(layout: RecordLayout, name: str) -> int:
    return next(place for place, field in enumerate(layout.fields) if field.name == name)


@lru_cache(maxsize=64)
def _present(rows: int) -> Statuses:
    statuses = np.full(rows, PRESENT)
    statuses.flags.writeable = False
    return statuses
