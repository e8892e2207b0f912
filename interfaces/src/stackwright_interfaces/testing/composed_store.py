"""The kit for half of a feature store, in a whole one: the 45 cases of the specification.

Beside the half under test stands one that is known; what composes them is told. An adapter's test module::

    from stackwright_features.store import ComposedFeatureStore
    from stackwright_interfaces.feature_store import OnlineStore
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.kits import composed_cases_of
    from stackwright_sqlite import plugin

    TestSQLiteInAStore = composed_cases_of(spec_of(plugin, OnlineStore), ComposedFeatureStore)

``raw_rows`` of an online half, and ``raw_offline`` of an offline one, may be overridden with a look past the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineRow, OnlineStore, Watermark
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.testing.adapters import AdapterKit, configured, load_factory
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.online_store import drop

_EVER: Final = timedelta(days=10_000)


class ComposedCases(FeatureStoreCases, AdapterKit):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        composer: makes a whole store of an offline and an online half, and of ``project`` and ``clock`` by name.
        beside: the adapter of the other half.
        beside_lasts: whether its rows outlive it.
    """

    composer: ClassVar[Callable[..., FeatureStore]]
    beside: ClassVar[AdapterSpec]
    beside_lasts: ClassVar[bool]

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        """Compose the store."""
        halves = {self.spec.provides: self.build(folder, clock), self.beside.provides: self._other(folder, clock)}
        self.offline: OfflineStore = halves[OfflineStore]
        self.online: OnlineStore = halves[OnlineStore]
        self.folder, self.clock = folder, clock
        noted: Any = _Noted(self.online, vars(self).setdefault("_views", set()))
        return type(self).composer(self.offline, noted, project=folder, clock=clock)

    def _other(self, folder: Path, clock: SettableClock) -> Any:
        """Return the half beside: with what it held before where the half under test remembers too, and else empty."""
        held = vars(self).setdefault("_held", {})
        place = folder / ("beside" if self.durable else f"beside {len(held)}")
        if self.beside_lasts or place not in held:
            config = configured(self.beside, {}, place)
            held[place] = load_factory(self.beside)(config, make_context(place, clock))
        return held[place]

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        """Return key → payload of a view's online rows."""
        return self.raw_rows(self.online, self.folder, view.ref)

    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        """Return key → payload of a view; override it with a look past the store, at its file or server."""
        return {row.key: row.payload for row in store.scan(view)}

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a view's history."""
        until = Watermark(self.offline.watermark(view).position, self.clock() + _EVER)
        return [row for chunk in self.offline.changes(view, None, until) for row in pa.table(chunk).to_pylist()]

    def tidy(self, folder: Path) -> None:
        """Drop the views that were written to an online half."""
        if self.spec.provides is OnlineStore:
            drop(self.build(folder), vars(self).get("_views", ()))


class _Noted:
    """An online half, of which is noted what is written to."""

    def __init__(self, half: OnlineStore, views: set[str]) -> None:
        self._half = half
        self._views = views

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        self._views.add(view)
        return self._half.write(view, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._half, name)
