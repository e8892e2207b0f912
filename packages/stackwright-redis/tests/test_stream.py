"""A Redis stream as a source of events: the kit, both forms of an entry, and a server that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from stackwright_interfaces.errors import StorageError
from stackwright_interfaces.streams import StreamSource
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.kits import cases_of
from stackwright_redis import plugin
from stackwright_redis.stream import RedisStreamSource


class TestRedisStream(cases_of(spec_of(plugin, StreamSource))):
    @pytest.fixture(autouse=True)
    def _on(self, server: Any) -> None:
        self.options = {**self.options, "url": server.url}


@pytest.fixture
def source(server: Any, tmp_path: Path) -> RedisStreamSource:
    config = plugin.RedisStreamConfig(url=server.url, stream=f"{tmp_path}:flat")
    return RedisStreamSource(config, make_context(tmp_path))


def test_the_fields_of_an_entry_are_the_members_of_an_event(server: Any, source: Any, tmp_path: Path) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.xadd(f"{tmp_path}:flat", {"home_id": "1", "seconds": "2.5"})
    (event,) = source.poll(10)
    assert json.loads(event.text) == {"home_id": "1", "seconds": "2.5"}


def test_two_readers_each_take_every_event(server: Any, tmp_path: Path) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.xadd(f"{tmp_path}:shared", {"n": "1"})
    for reader in ("one", "other"):
        config = plugin.RedisStreamConfig(url=server.url, stream=f"{tmp_path}:shared", reader=reader)
        source = RedisStreamSource(config, make_context(tmp_path))
        (event,) = source.poll(10)
        source.commit(event.offset)


def test_a_name_of_something_else_is_told(server: Any, source: Any, tmp_path: Path) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set(f"{tmp_path}:flat", "text")
    with pytest.raises(StorageError, match="WRONGTYPE"):
        source.poll(1)


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    config = plugin.RedisStreamConfig(url="redis://:hidden@127.0.0.1:1/0", stream="events", timeout=0.5)
    source = RedisStreamSource(config, make_context(tmp_path))
    with pytest.raises(StorageError, match="redis stream 'events'") as raised:
        source.poll(1)
    assert "hidden" not in str(raised.value)
    assert "hidden" not in repr(config)
