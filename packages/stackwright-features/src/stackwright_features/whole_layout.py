"""How the rows of several views lie in memory where all they hold are numbers and their payloads have one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import PRESENT, Statuses, microseconds_of
from stackwright_features.service_plan import Lookup
from stackwright_interfaces.online_rows import StridedPayloads
from stackwright_numerics.records import WORD, RecordLayout
from stackwright_numerics.rows import FORMAT, HEAD_WORDS, words_of

FLOAT: Final = np.dtype("<f8")

_FOREVER: Final = 2**62
_FEW: Final = 1024
"""Rows up to which it costs little memory to remember how they begin."""


class Whole(NamedTuple):
    """What the lookups of a group say of n keys.

    Attributes:
        values: gives the outputs, lookup after lookup: arrays of n, or one array of them where all are floats.
        events: gives the event times of each lookup's rows: arrays of n.
        knows: for each lookup the greatest position and due time (microseconds) of its rows.
    """

    values: Callable[[], Iterable[NDArray[Any]]]
    events: Callable[[], Iterable[NDArray[Any]]]
    knows: Sequence[tuple[int, int]]


class WholeLayout:
    """The layout of the payloads of a group of lookups.

    Args:
        lookups: the group; their views have as many fields of each kind.

    Attributes:
        views: how many lookups there are.
        bit_words: words of a payload that hold its validity bits.
        first: place of the first field's word in a payload.
        words: words of a payload up to its last field's.
        payload_words: words of a payload as it is joined.
        magic: the first eight bytes of each lookup's payloads.
        bits: the validity bits where nothing is null.
        only_floats: whether the views hold nothing else.
        picked: the outputs, lookup after lookup, as places among the fields: the first of each lookup, then the second.
    """

    def __init__(self, lookups: Sequence[Lookup]) -> None:
        layouts = [RecordLayout(lookup.view.fields, FORMAT) for lookup in lookups]
        layout = layouts[0]
        self.views = len(lookups)
        self.bit_words = layout.first - 2
        self.first = HEAD_WORDS + layout.first
        self.words = HEAD_WORDS + layout.words
        self._size = 8 * self.words + len(layout.field_list)
        self.payload_words, rest = divmod(self._size, 8)
        self._cut = 8 * self.words if rest else None
        if rest:
            self.payload_words = self.words
        self.magic = [layout.magic for layout in layouts]
        self.bits = b"".join(layout.full_bits)
        ages = [microseconds_of(lookup.view.max_age) for lookup in lookups]
        self._ages = [_FOREVER if age is None else age for age in ages]
        self._least_age = min(self._ages)
        self._dtypes = layout.dtypes
        self.picked = [
            place + len(lookups) * _place_of(layout, output.feature)
            for place, (lookup, layout) in enumerate(zip(lookups, layouts, strict=True))
            for output in lookup.outputs
        ]
        self._floats = np.array(self.picked)
        self._pick: Callable[[list[NDArray[Any]]], Sequence[NDArray[Any]]] = (
            itemgetter(*self.picked) if len(self.picked) > 1 else itemgetter(slice(self.picked[0], self.picked[0] + 1))
        )
        self._known_heads = lru_cache(maxsize=16)(self._heads)
        self.only_floats = [dtype for dtype, _ in layout.dtypes] == [FLOAT]

    def join(self, payloads: Iterable[bytes | None], count: int) -> bytes | None:
        """Return n payloads as one; ``None`` where one is missing or of another size."""
        try:
            if self._cut is None:
                joined = b"".join(payloads)  # type: ignore[arg-type]  # a missing one raises
            else:
                joined = b"".join([payload[: self._cut] for payload in payloads])  # type: ignore[index]  # likewise
        except TypeError:
            return None
        return joined if len(joined) == 8 * count * self.payload_words else None

    def heads(self, rows: int) -> tuple[bytes, bytes]:
        """Return the words of magic, and those of validity bits, of n whole rows a lookup."""
        return self._known_heads(rows) if rows <= _FEW else self._heads(rows)

    def _heads(self, rows: int) -> tuple[bytes, bytes]:
        bits = (self.bits[start : start + 8] for start in range(0, len(self.bits), 8))
        return b"".join([magic * rows for magic in self.magic]), b"".join([word * rows * self.views for word in bits])

    def turn(self, payloads: Sequence[Sequence[bytes | None]], count: int) -> NDArray[np.int64] | None:
        """Return the words of n payloads a lookup; ``None`` where one is missing or of another size.

        Returns:
            (words, lookups * n), contiguous: of each word those of the first lookup, then those of the second.
        """
        form = self._size, count
        strided = [
            column for column in payloads if isinstance(column, StridedPayloads) and (column.size, column.rows) == form
        ]
        if len(strided) == len(payloads):
            turned = np.empty((self.words, len(payloads), count), WORD)
            for place, column in enumerate(strided):
                turned[:, place] = words_of(column, self.words).T
            return turned.reshape(self.words, -1)
        joined = self.join(chain.from_iterable(payloads), count * len(payloads))
        if joined is None:
            return None
        return np.frombuffer(joined, WORD).reshape(-1, self.payload_words).T[: self.words].copy()

    def all_count(self, oldest: Sequence[int], newest: Sequence[int], at_us: int) -> bool:
        """Tell whether every row has come, and none has expired.

        Args:
            oldest: the first event time (microseconds) of each lookup's rows.
            newest: the last.
            at_us: the asked instant.
        """
        if max(newest) > at_us:
            return False
        if min(oldest) >= at_us - self._least_age:
            return True
        return all(event >= at_us - age for event, age in zip(oldest, self._ages, strict=True))

    def outputs(self, words: NDArray[np.int64]) -> Iterable[NDArray[Any]]:
        """Return the outputs of n keys, lookup after lookup.

        Args:
            words: those of the fields (fields, n), contiguous: the first field of each lookup, then the second of each.
        """
        if self.only_floats:
            return words.view(FLOAT).take(self._floats, axis=0)  # half as long as an index takes
        columns: list[NDArray[Any]] = []
        start = 0
        for dtype, fields in self._dtypes:
            stop = start + fields * self.views
            block = words[start:stop]
            if dtype.kind == "b":
                columns.extend((block != 0).astype(np.float64))
            elif dtype.kind == "i":
                columns.extend(block.astype(np.float64))
            else:
                columns.extend(block.view(dtype))
            start = stop
        return self._pick(columns)


@lru_cache(maxsize=64)
def present(rows: int) -> Statuses:
    """Return the statuses of n values that are there; shared, and read-only."""
    statuses = np.full(rows, PRESENT)
    statuses.flags.writeable = False
    return statuses


def _place_of(layout: RecordLayout, name: str) -> int:
    return next(place for place, field in enumerate(layout.fields) if field.name == name)
