"""Lists over HTTP: what becomes of a list when a part fails."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest
from shops import (
    Shelves,
    Shop,
    asked,
    items,
)

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.recommender import Hidden, Request
from stackwright_serving.lists import ListOptions


@pytest.mark.parametrize("failure", [PredictionError("recommender", "broke"), ValueError("broke"), MemoryError()])
def test_where_the_recommender_fails_what_is_popular_is_answered_and_flagged(shop: Shop, failure: Exception) -> None:
    shop.options = ListOptions(usual=Request(rules=(Hidden(items=("h2",)),)))

    async def work(client: httpx.AsyncClient) -> None:
        shop.made[1].failure = failure
        found = await asked(client, user="ann", n=3, session=["h4"])
        assert (items(found), found["flags"]) == (["h1", "h3", "h5"], ["fallback"])
        assert found["items"][0]["score"] is None
        assert items(await asked(client, candidates=["h9", "x1", "h2", "h8"])) == ["h8", "h9"]
        page = (await client.get("/metrics")).text
        assert 'stackwright_list_flags_total{flag="fallback",model="homes"} 2.0' in page

    shop.serve(work)


@pytest.mark.parametrize("failure", [ValueError("broke"), KeyError("x"), MemoryError()])
def test_a_recommender_that_fails_at_the_start_is_closed_and_stops_no_other(shop: Shop, failure: Exception) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        shop.made[2] = Shelves()
        shop.made[2].failure = failure
        shop.promote(2)
        shop.promote(1, name="films")
        for _ in range(200):
            if (answer := await client.post("/recommend/films", json={})).status_code == 200:
                break
            await asyncio.sleep(0.01)
        assert answer.status_code == 200
        assert (await client.post("/recommend/homes", json={})).json()["version"] == 1
        assert shop.made[2].closed_while_asked

    shop.serve(work)


def test_a_large_request_keeps_no_small_one_of_another_endpoint_waiting(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        hold = shop.made[1].hold = threading.Event()
        many = [f"identifier-{number:06}" for number in range(5_000)]
        slow = asyncio.create_task(asked(client, candidates=many))
        await asyncio.sleep(0.05)
        started = time.perf_counter()
        assert (await client.get("/health/live")).status_code == 200
        small = asyncio.create_task(asked(client, n=1))
        await asyncio.sleep(0.05)
        assert (await client.get("/health/ready")).status_code == 200
        assert time.perf_counter() - started < 2
        hold.set()
        await asyncio.gather(slow, small)

    shop.serve(work)


def test_a_full_log_costs_lists_of_the_log_and_no_answer(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        shop.room = False
        await asked(client)
        assert 'stackwright_unlogged_lists_total{model="homes"} 1.0' in (await client.get("/metrics")).text
        answer = await client.post("/clicks", json={"list_id": "L", "item": "h1"})
        assert answer.status_code == 503

    shop.serve(work)
