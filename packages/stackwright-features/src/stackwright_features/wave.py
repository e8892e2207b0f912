"""One read of the online store, which answers several lookups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import Answer, Reader
from stackwright_features.newest_rows import NewestRows
from stackwright_features.service_plan import Lookup
from stackwright_features.watermarks import VIEW, KnownWatermarks
from stackwright_features.whole_rows import WholeRows
from stackwright_features.windowed_events import WindowedEvents
from stackwright_interfaces.errors import StoreTimeout
from stackwright_interfaces.feature_store import OnlineStore, Payloads
from stackwright_numerics.columns import Column
from stackwright_numerics.keys import encode_keys


class Keys(NamedTuple):
    """Encoded keys of n rows: those without a null part, their places (``None`` if all), and which are without."""

    keys: list[bytes]
    places: list[int] | None
    keyless: NDArray[np.bool_] | None


class Wave:
    """Lookups that one read of the online store answers.

    Attributes:
        refs: references of their views.
        together: those that can be read together where their rows are whole.
    """

    def __init__(
        self,
        online: OnlineStore,
        lookups: Sequence[Lookup],
        defaults: Mapping[str, Column],
        watermarks: KnownWatermarks,
    ) -> None:
        self._online = online
        self._watermarks = watermarks
        self._readers: list[Reader] = [
            WindowedEvents(lookup, defaults) if lookup.view.windows else NewestRows(lookup, defaults)
            for lookup in lookups
        ]
        self.together = WholeRows.among(self._readers)
        self.refs = [lookup.view.ref for lookup in lookups]
        types = {lookup.sources: [key.type for key in lookup.view.entity.keys] for lookup in lookups}
        self._key_sets = list(types.items())
        self._key_set_of = [list(types).index(lookup.sources) for lookup in lookups]

    def encode(self, columns: Mapping[str, Column]) -> list[Keys]:
        """Return the keys that each lookup is asked for."""
        encoded = [_encoded(sources, types, columns) for sources, types in self._key_sets]
        return [encoded[number] for number in self._key_set_of]

    def fetch(self, keys: Sequence[Sequence[bytes]], deadline: float | None) -> Payloads:
        """Read the rows of these keys, and first, if it is due, what the store knows.

        Raises:
            StoreTimeout: the deadline passed.
        """
        timeout = None if deadline is None else _left(deadline)
        states = self._watermarks.wanted()
        if not states:
            return self._online.read(self.refs, keys, timeout=timeout)
        known, *payloads = self._online.read([VIEW, *self.refs], [states, *keys], timeout=timeout)
        self._watermarks.learn(known)
        return payloads

    def answer(
        self, asked: Sequence[Keys], payloads: Payloads, rows: int, at_us: int
    ) -> Iterator[tuple[Reader, Answer]]:
        """Say what the payloads hold, lookup by lookup."""
        answers: dict[int, Answer] = {}
        for whole in self.together:
            if asked[whole.places[0]].places is None:
                said = whole.answers([payloads[place] for place in whole.places], at_us)
                answers.update(zip(whole.places, said, strict=bool(said)))
        for place, (reader, item) in enumerate(zip(self._readers, asked, strict=True)):
            if place in answers:
                yield reader, answers[place]
            else:
                yield reader, reader.answer(_spread(payloads[place], item.places, rows), at_us, item.keyless)


def _encoded(sources: Sequence[str], types: Sequence[Any], columns: Mapping[str, Column]) -> Keys:
    keys = encode_keys([columns[source] for source in sources], types)
    there = [key for key in keys if key is not None]
    if len(there) == len(keys):
        return Keys(there, None, None)
    keyless = np.fromiter((key is None for key in keys), np.bool_, len(keys))
    return Keys(there, np.flatnonzero(~keyless).tolist(), keyless)


def _spread(payloads: Sequence[bytes | None], places: Sequence[int] | None, rows: int) -> Sequence[bytes | None]:
    if places is None:
        return payloads
    spread: list[bytes | None] = [None] * rows
    for place, payload in zip(places, payloads, strict=True):
        spread[place] = payload
    return spread


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise StoreTimeout("online store", "the deadline passed before all views were read", "Allow more time.")
    return left
