"""The kit's cases on Redis, alone and as half of a whole store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest
import redis

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OnlineStore, Watermark
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig
from stackwright_redis import plugin
from stackwright_redis.online import RedisOnlineStore


class Server(Protocol):
    url: str

    def raw(self) -> redis.Redis: ...


def rows_on(server: Server, prefix: str, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, with a client of our own."""
    with server.raw() as raw:
        found: dict[bytes, bytes] = raw.hgetall(f"{prefix}:{view}")
    return {key: value[1 + value[0] :] for key, value in found.items()}


class TestRedisOnlineStore(cases_of(spec_of(plugin, OnlineStore))):
    @pytest.fixture(autouse=True)
    def _on(self, server: Server) -> None:
        self.server = server
        self.options = {**self.options, "url": server.url}

    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_on(self.server, self.config(folder).prefix, view)


class TestComposedOfMemoryAndRedis(FeatureStoreCases):
    store_name = "redis"

    durable = False

    @pytest.fixture(autouse=True)
    def _on(self, server: Server) -> None:
        self.server = server
        self.openings = 0

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        self.offline = MemoryOfflineStore(MemoryConfig(), context)
        # A prefix for each opening, since the history in memory forgets: what was online before it must not stay.
        self.openings += 1
        self.prefix, self.clock = f"{folder} {self.openings}", clock
        online = RedisOnlineStore(plugin.RedisConfig(url=self.server.url, prefix=self.prefix), context)
        return ComposedFeatureStore(self.offline, online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        return rows_on(self.server, self.prefix, view.ref)

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        until = Watermark(self.offline.watermark(view).position, self.clock() + timedelta(days=10_000))
        return [row for chunk in self.offline.changes(view, None, until) for row in pa.table(chunk).to_pylist()]
