"""Online reads in the common case: every row is there, in force and without a null, and all it holds are numbers.

Views whose rows are of one size are then read together, as one array. In any other case nothing is said, and each view
reads its own rows (:mod:`stackwright_features.newest_rows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import INSTANT, Answer
from stackwright_features.service_plan import Lookup
from stackwright_features.whole_key import WholeKey
from stackwright_features.whole_layout import Whole, WholeLayout, present
from stackwright_interfaces.types import Kind
from stackwright_numerics.rows import HEAD_WORDS

_NUMBERS: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64, Kind.TIMESTAMP})


class HasLookup(Protocol):
    """A reader of one lookup."""

    lookup: Lookup


class WholeRows:
    """Reads lookups whose payloads have one size.

    Args:
        places: the places of the lookups in their wave.
        lookups: they.
    """

    def __init__(self, places: Sequence[int], lookups: Sequence[Lookup]) -> None:
        self.places = tuple(places)
        self._layout = WholeLayout(lookups)
        self._key = WholeKey(self._layout)
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
        rows = len(payloads[0])
        return self._key.read(payloads, at_us) if rows == 1 else self._read(payloads, rows, at_us)

    def answers(self, payloads: Sequence[Sequence[bytes | None]], at_us: int) -> list[Answer]:
        """Say the same lookup by lookup; nothing if this is not the common case."""
        found = self.read(payloads, at_us)
        if found is None:
            return []
        values, statuses = iter(found.values()), present(len(payloads[0]))
        return [
            Answer(list(islice(values, count)), [statuses] * count, events, knows, {})
            for count, events, knows in zip(self._outputs, found.events(), found.knows, strict=True)
        ]

    def _read(self, payloads: Sequence[Sequence[bytes | None]], rows: int, at_us: int) -> Whole | None:
        layout, views = self._layout, len(payloads)
        words = layout.turn(payloads, rows)
        if words is None or not self._whole(words, rows):
            return None
        by_view = words[1 : HEAD_WORDS + 1].reshape(HEAD_WORDS, views, rows)
        positions, dues, newest = by_view.max(axis=2).tolist()
        if not layout.all_count(by_view[2].min(axis=1).tolist(), newest, at_us):
            return None
        values = partial(layout.outputs, words[layout.first :].reshape(-1, rows))
        return Whole(values, partial(by_view[2].view, INSTANT), tuple(zip(positions, dues, strict=True)))

    def _whole(self, words: NDArray[np.int64], rows: int) -> bool:
        """Tell whether every row was written with these very fields, and holds no null."""
        layout = self._layout
        magic, bits = layout.heads(rows)
        return words[0].tobytes() == magic and words[layout.first - layout.bit_words : layout.first].tobytes() == bits
