"""Lists over HTTP: what a user looked at just now, from the store or beside the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from shops import (
    Sessions,
    Shop,
    asked,
    items,
)

from stackwright_interfaces.definitions import Entity, FeatureService, FeatureView
from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_interfaces.types import INT64, STRING, Field, list_of
from stackwright_serving.lists import SessionReader
from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import GuardedReader, Reads
from stackwright_serving.settings import Settings


def test_a_session_that_is_pushed_changes_the_next_answer(shop: Shop) -> None:
    shop.with_session = True

    async def work(client: httpx.AsyncClient) -> None:
        assert items(await asked(client, user="ann", n=2)) == ["h3", "h4"]
        shop.sessions.rows["ann"] = ["h20"]
        assert items(await asked(client, user="ann", n=2)) == ["h19", "h21"]
        assert items(await asked(client, user="ann", n=2, session=["h10"])) == ["h9", "h11"]
        assert shop.made[1].asked[-1].session == ("h20", "h10")

    shop.serve(work)
    assert shop.lists[1].asked["session"] == ["h20"]


@pytest.mark.parametrize(
    "failure", [FeatureStoreError("store", "is away"), StoreTimeout("store", "is slow"), OSError()]
)
def test_where_the_store_fails_the_list_goes_without_the_session_and_says_so(shop: Shop, failure: Exception) -> None:
    shop.with_session = True
    shop.sessions.rows["new"] = ["h20"]

    async def work(client: httpx.AsyncClient) -> None:
        shop.sessions.failure = failure
        found = await asked(client, user="new", n=2)
        assert (items(found), found["flags"]) == (["h1", "h2"], ["no_session", "cold_user"])
        for _ in range(5):
            await asked(client, user="new")
        assert shop.sessions.reads == 3  # then it is left alone
        assert (await client.get("/health/live")).status_code == 200

    shop.serve(work)


@pytest.mark.parametrize("user", ["--5", "-", "5-5", "²", "9" * 30, "9223372036854775808"])
def test_a_user_that_can_be_no_key_of_whole_numbers_has_no_session(user: str) -> None:
    assert session_by_number().read(user) == ()


@pytest.mark.parametrize("user", ["-5", 7, "9223372036854775807", "-9223372036854775808"])
def test_a_user_is_asked_for_as_the_whole_number_that_its_name_is(user: Any) -> None:
    assert session_by_number().read(user) == (f"of {int(user)}",)


def session_by_number() -> SessionReader:
    """Return a reader of sessions by whole numbers, which hold the number that was asked for."""

    class Echo(Sessions):
        def read(self, service: str, keys: Mapping[str, Sequence[Any]], *more: Any, **named: Any) -> FeatureRows:
            (user,) = keys["user_id"]
            self.rows[user] = [f"of {user}"]
            return super().read(service, keys, *more, **named)

    entity = Entity(name="user", keys=(Field("user_id", INT64),))
    viewed = FeatureView(name="viewed", entity=entity, fields=(Field("items", list_of(STRING)),))
    service = FeatureService(name="sessions", selections=(viewed.select(),))
    reads = Reads(Settings(), Metrics())
    return SessionReader(GuardedReader(Echo(), {service.ref: service}, reads), service, "items")


def test_a_test_that_brings_a_session_is_asked_by_that_alone(shop: Shop) -> None:
    shop.with_session = True
    shop.sessions.rows["ann"] = ["h20"]

    async def work(client: httpx.AsyncClient) -> None:
        async def tested(**body: Any) -> list[str]:
            answer = await client.post("/recommend", json=body, headers={"x-stackwright-purpose": "test"})
            return items(answer.json())

        assert await tested(user="ann", n=2, session=[]) == ["h3", "h4"]
        assert await tested(user="ann", n=2, session=["h10"]) == ["h9", "h11"]
        assert shop.sessions.reads == 0
        assert await tested(user="ann", n=2) == ["h19", "h21"]
        assert items(await asked(client, user="ann", n=2, session=[])) == ["h19", "h21"]

    shop.serve(work)
