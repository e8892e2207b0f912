"""The straight way through an online read: one key, and views of numbers whose rows are read together.

It does what :class:`~stackwright_features.online_read.OnlineRead` does in general, without a column for the keys or a
table of what was found. Where it cannot, it says nothing, and what it fetched goes the general way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright_features.lazy_rows import LazyRows
from stackwright_features.service_plan import ServicePlan
from stackwright_features.watermarks import KnownWatermarks
from stackwright_features.wave import Wave
from stackwright_features.whole_layout import present
from stackwright_features.whole_rows import WholeRows
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.feature_store import FeatureRows, Payloads
from stackwright_numerics.keys import encode_plain
from stackwright_numerics.number_columns import NumberColumns


class StraightRead:
    """Reads a service that is about nothing but views of numbers, by one plain key.

    Args:
        service: the service.
        wave: its one read of the online store.
        whole: all its lookups.
        watermarks: what is known of its views.
    """

    def __init__(self, service: FeatureService, wave: Wave, whole: WholeRows, watermarks: KnownWatermarks) -> None:
        (self._key,) = service.request_keys
        self._wave = wave
        self._whole = whole
        self._watermarks = watermarks
        self._refs = wave.refs
        self._names = tuple(field.name for field in service.output_fields)
        self._places = {name: place for place, name in enumerate(self._names)}
        self._statuses = lru_cache(maxsize=4)(lambda rows: dict.fromkeys(self._names, present(rows)))

    @classmethod
    def of(cls, plan: ServicePlan, waves: Sequence[Wave], watermarks: KnownWatermarks) -> StraightRead | None:
        """Return it where the service can be read so."""
        service = plan.service
        if len(waves) != 1 or len(service.request_keys) != 1 or service.request or service.transforms:
            return None
        (wave,) = waves
        if len(wave.together) != 1 or len(wave.together[0].places) != len(wave.refs):
            return None
        found = [name for lookup in plan.first for name in lookup.names]
        in_order = found == [field.name for field in service.output_fields]
        each_once = len(set(wave.refs)) == len(wave.refs)
        return cls(service, wave, wave.together[0], watermarks) if in_order and each_once else None

    def fetch(self, keys: Mapping[str, Sequence[Any]], deadline: float | None) -> Payloads | None:
        """Read the rows of n keys; ``None`` if they are not a list of plain integers or strings.

        Raises:
            StoreTimeout: the deadline passed.
        """
        plain = encode_plain(keys.get(self._key.name), self._key.type)
        return self._wave.fetch([plain] * len(self._refs), deadline) if plain else None

    def answer(self, payloads: Payloads, at_us: int, at: datetime) -> FeatureRows | None:
        """Say what the rows hold; ``None`` if it has to be found out view by view."""
        whole = self._whole.read(payloads, at_us)
        if whole is None:
            return None
        rows = len(payloads[0])
        return LazyRows.of(
            names=self._names,
            columns=partial(self._columns, whole.values),
            statuses=self._statuses(rows).copy(),
            events=lambda: _named(self._refs, whole.events()),
            watermarks=self._watermarks.of_all(whole.knows),
            at=at,
        )

    def _columns(self, values: Callable[[], Iterable[NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
        """Return the outputs by name; those that lie in one array stay there."""
        found = values()
        return NumberColumns(self._places, found) if isinstance(found, np.ndarray) else _named(self._names, found)


def _named(names: Sequence[str], arrays: Iterable[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return dict(zip(names, arrays, strict=False))  # as many by construction, and counting costs a third more
