"""Registry and journal on PostgreSQL: the storage's kit, lost connections, and a whole journal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.definitions import Entity, Target
from stackwright_interfaces.errors import PreconditionFailed, StorageError, UsageError
from stackwright_interfaces.testing.storage import StorageCases
from stackwright_interfaces.types import FLOAT64, INT64, Field
from stackwright_journal import sealing
from stackwright_journal.decisions import DecisionLog
from stackwright_journal.labels import LabelLog
from stackwright_journal.places import open_reader, open_segments
from stackwright_journal.predictions import PredictionLog
from stackwright_storage import open_storage

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LISTING = Entity(name="listing", keys=(Field("listing_id", INT64),))
SALE = Target(name="sale_price", entity=LISTING, value=Field("price", FLOAT64))


class TestPostgresStorage(StorageCases):
    opener = "stackwright_storage:open_storage"
    kills = 6

    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self._base = server.url()

    def url(self, folder: Path) -> str:
        return f"{self._base}?schema=objects&prefix={folder.parent.name}/{folder.name}"

    # libpq does its work below what Python audits, so these two are killed after a while instead of at a step.

    def test_a_put_that_is_killed_leaves_the_whole_object_or_none(self, tmp_path: Path) -> None:
        data = b"content" * 100_000

        def put(name: str) -> None:
            storage = self.open(tmp_path / name)
            for number in range(10_000):
                storage.put_if_absent(f"key{number}", data)

        for name in killed(put):
            storage = self.open(tmp_path / name)
            assert {storage.get(key).data for key in storage.list()} <= {data}
            storage.put_if_absent("next", data)

    def test_a_replacement_that_is_killed_leaves_the_old_object_or_the_new(self, tmp_path: Path) -> None:
        size = 200_000

        def replace(name: str) -> None:
            storage = self.open(tmp_path / name)
            tag = storage.put_if_absent("key", bytes(size))
            for number in range(10_000):
                tag = storage.put_if_match("key", bytes([number % 250]) * size, tag)

        for name in killed(replace):
            storage = self.open(tmp_path / name)
            for key in storage.list():
                found = storage.get(key)
                assert found.data == found.data[:1] * size
                storage.put_if_match(key, b"next", found.tag)


def killed(work: Callable[[str], None]) -> Iterator[str]:
    """Do a piece of work in children, and kill each after another while; give its name."""
    context = get_context("fork")
    for number, seconds in enumerate((0.05, 0.12, 0.2, 0.33)):
        child = context.Process(target=work, args=(f"killed-{number}",))
        child.start()
        child.join(seconds)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        assert child.exitcode == -signal.SIGKILL, "it was to be killed in mid-work"
        yield f"killed-{number}"


@pytest.fixture
def url(server: Any, tmp_path: Path) -> str:
    return str(server.url(rest=f"?schema=objects&prefix=journal/{tmp_path.name}"))


@pytest.fixture
def restarted(server: Any) -> Iterator[Callable[[], None]]:
    """Ends every connection by restarting the server."""

    def restart() -> None:
        server.stop(signal.SIGINT)
        server.start()

    yield restart
    if server.process.poll() is not None:
        server.start()


def test_a_journal_on_postgresql_is_written_sealed_and_read_as_in_a_folder(url: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with PredictionLog(open_segments(url, spool=spool)) as log:
        for number in range(20):
            log.append(
                {
                    "prediction_id": f"p{number}",
                    "model": "avm",
                    "version": 1,
                    "asked_at": NOW,
                    "predicted_at": NOW,
                    "keys": {"listing_id": number},
                    "features": {"area": 70.0 + number},
                    "prediction": 100.0,
                }
            )
    sold = {"listing_id": 7, "asked_at": NOW, "happened_at": NOW + timedelta(days=40), "price": 400_000.0}
    labels = LabelLog(open_storage(url), SALE)
    assert labels.ingest(pa.Table.from_pylist([sold])).added == 1
    assert labels.read().column("price").to_pylist() == [400_000.0]
    for _ in range(2):
        found = open_reader(url, spool=tmp_path / "another machine").read(
            model="avm", keys=LISTING.keys, features=[Field("area", FLOAT64)]
        )
        assert sorted(found.table.column("feature.area").to_pylist()) == [70.0 + number for number in range(20)]
        sealing.seal_all(open_storage(url), today="2027-01-01")
    log = DecisionLog(open_storage(url), "avm", clock=lambda: NOW)
    log.add("opened", {"rule": "loss"})
    assert [event.number for event in log.events()] == [1]


def test_nothing_is_there_before_the_first_put_and_the_table_is_made_by_many_at_once(server: Any) -> None:
    place = server.url(rest="?schema=made&table=at_once")
    assert list(open_storage(place).list()) == []
    won = []

    def put(number: int) -> None:
        try:
            won.append(open_storage(place).put_if_absent("key", str(number).encode()))
        except PreconditionFailed:
            return

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert open_storage(place).get("key").tag == won[0]


def test_a_server_that_restarts_costs_a_connection_and_no_operation(url: str, restarted: Callable[[], None]) -> None:
    storage = open_storage(url)
    tag = storage.put_if_absent("a", b"1")
    restarted()
    assert storage.get("a").data == b"1"
    restarted()
    assert storage.put_if_match("a", b"2", tag) == storage.get("a").tag


def test_a_server_that_is_away_is_named_without_user_or_password() -> None:
    storage = open_storage("postgresql://me:hidden@127.0.0.1:1/models")
    with pytest.raises(
        StorageError, match=r"PostgreSQL 127\.0\.0\.1:1/models, table public\.stackwright_objects"
    ) as told:
        storage.get("a")
    assert "hidden" not in str(told.value)
    assert "me" not in str(told.value).replace("models", "")


@pytest.mark.parametrize("odd", ["postgresql://host", "postgresql://host:x/db", "postgresql://h/a/b", "postgresql:///"])
def test_what_is_no_address_of_a_database_is_told_without_quoting_it(odd: str) -> None:
    with pytest.raises(UsageError, match="not the URL of a database"):
        open_storage(odd)


def test_prefixes_keep_projects_apart(server: Any) -> None:
    one, two = (open_storage(server.url(rest=f"?schema=apart&prefix={name}")) for name in ("one", "two"))
    one.put_if_absent("key", b"1")
    assert list(two.list()) == []
    assert two.put_if_absent("key", b"2")
    assert one.get("key").data == b"1"
