"""The kit's cases on LMDB, alone and as half of a whole store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import lmdb
import pyarrow as pa

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OnlineStore, Watermark
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_lmdb import plugin
from stackwright_lmdb.online import LMDBOnlineStore
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig


def rows_in_the_file(path: Path, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, at a copy of the file, since LMDB opens a file only once in a process."""
    if not path.exists():
        return {}
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    prefix = blake2b(view.encode(), digest_size=16).digest()
    with lmdb.open(str(copy), subdir=False, lock=False, readonly=True) as raw, raw.begin() as transaction:
        entries = {place: value for place, value in transaction.cursor() if place.startswith(prefix)}
    copy.unlink()
    names = {place[17:]: value for place, value in entries.items() if place[16] == 2}
    return {
        names.get(place[17:], place[17:]): value[1 + value[0] :]
        for place, value in entries.items()
        if place[16] in (0, 1)
    }


class TestLMDBOnlineStore(cases_of(spec_of(plugin, OnlineStore))):
    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_in_the_file(self.config(folder).path, view)


class TestComposedOfMemoryAndLMDB(FeatureStoreCases):
    store_name = "lmdb"

    durable = False

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        self.offline = MemoryOfflineStore(MemoryConfig(), context)
        # A file for each opening, since the history in memory forgets: what was online before it must not stay.
        self.path, self.clock = folder / f"online-{len(list(folder.glob('online-*.lmdb')))}.lmdb", clock
        online = LMDBOnlineStore(plugin.LMDBConfig(path=self.path), context)
        return ComposedFeatureStore(self.offline, online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        return rows_in_the_file(self.path, view.ref)

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        until = Watermark(self.offline.watermark(view).position, self.clock() + timedelta(days=10_000))
        return [row for chunk in self.offline.changes(view, None, until) for row in pa.table(chunk).to_pylist()]
