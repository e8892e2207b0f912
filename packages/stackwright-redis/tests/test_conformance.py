"""The kit's cases on Redis, alone and as half of a whole store."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest
import redis

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of, composed_cases_of
from stackwright_redis import plugin


class Server(Protocol):
    url: str

    def raw(self) -> redis.Redis: ...


def rows_on(server: Server, prefix: str, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, with a client of our own."""
    with server.raw() as raw:
        entry: bytes | None = raw.hget(f"{prefix}:#views", view)
        if entry is None:
            alone: dict[bytes, bytes] = raw.hgetall(f"{prefix}:{view}")
            return {key: value[1 + value[0] :] for key, value in alone.items()}
        shared: dict[bytes, bytes] = raw.hgetall(f"{prefix}:#rows {entry[6:].decode()}")
    payloads = {key: payload_in(value, entry[:6]) for key, value in shared.items()}
    return {key: payload for key, payload in payloads.items() if payload is not None}


def payload_in(value: bytes, name: bytes) -> bytes | None:
    """Find the part of one view in a shared value."""
    place = 1 + 11 * value[0]
    for head in range(1, place, 11):
        token, payload = struct.unpack_from("<BI", value, head + 6)
        if value[head : head + 6] == name:
            return value[place + token : place + token + payload]
        place += token + payload
    return None


class OnTheServer:
    @pytest.fixture(autouse=True)
    def _on(self, server: Server) -> None:
        self.server = server
        self.options = {**self.options, "url": server.url}

    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_on(self.server, self.config(folder).prefix, view)


class TestRedisOnlineStore(OnTheServer, cases_of(spec_of(plugin, OnlineStore))):
    pass


class TestRedisInAStore(OnTheServer, composed_cases_of(spec_of(plugin, OnlineStore), ComposedFeatureStore)):
    store_name = "redis"
