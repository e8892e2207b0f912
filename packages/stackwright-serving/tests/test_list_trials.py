"""Lists over HTTP: challengers and shadows beside the champion."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import httpx
import pytest
from shops import (
    Shelves,
    Shop,
    asked,
    items,
    logged,
    reached,
    told_of,
)

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.recommender import Request
from stackwright_serving.arms import Challenger
from stackwright_serving.lists import ListOptions


@pytest.mark.parametrize("failure", [PredictionError("recommender", "broke"), ValueError("broke"), MemoryError()])
def test_a_challenger_answers_its_share_of_the_users_and_the_champion_where_it_fails(
    shop: Shop, failure: Exception
) -> None:
    shop.made[2] = Shelves(10)
    shop.trials["homes"] = Challenger(version=shop.version(2), share=0.5)
    shop.moves += 1

    async def work(client: httpx.AsyncClient) -> None:
        found = [await asked(client, user=f"u{number}", n=1) for number in range(40)]
        arms = {(one["arm"], one["version"], items(one)[0]) for one in found}
        assert arms == {("live", 1, "h1"), ("canary", 2, "h10")}
        again = [await asked(client, user=f"u{number}", n=1) for number in range(40)]
        assert [one["arm"] for one in again] == [one["arm"] for one in found]
        assert (await asked(client, n=1))["arm"] == "live"  # nobody named
        test = await client.post("/recommend", json={"user": "u1"}, headers={"x-stackwright-purpose": "test"})
        assert test.json()["arm"] == "test"
        shop.made[2].failure = failure
        instead = [await asked(client, user=f"u{number}", n=1) for number in range(40)]
        assert {(one["arm"], one["version"], *one["flags"]) for one in instead} == {("live", 1, "cold_user")}
        failed = sum(one["arm"] == "canary" for one in found)
        line = f'stackwright_canary_failed_total{{model="homes",version="2"}} {failed}.0'
        assert line in (await client.get("/metrics")).text

    shop.serve(work)


def test_what_a_client_asks_wrongly_is_no_failure_of_the_challenger(shop: Shop) -> None:
    shop.made[2] = Shelves(10)
    shop.trials["homes"] = Challenger(version=shop.version(2), share=1.0)
    shop.moves += 1

    async def work(client: httpx.AsyncClient) -> None:
        assert (await asked(client, user="ann"))["arm"] == "canary"
        wrong = await client.post("/recommend", json={"user": "ann", "like": "x1"})
        assert wrong.status_code == 422, wrong.text
        assert "stackwright_canary_failed_total{" not in (await client.get("/metrics")).text

    shop.serve(work)


def test_small_requests_wait_beside_the_loop_while_the_challenger_answers_a_large_one(shop: Shop) -> None:
    shop.made[2] = Shelves(10)
    shop.trials["homes"] = Challenger(version=shop.version(2), share=1.0)
    shop.moves += 1

    async def work(client: httpx.AsyncClient) -> None:
        hold = shop.made[2].hold = threading.Event()
        many = [f"identifier-{number:06}" for number in range(5_000)]
        slow = asyncio.create_task(asked(client, user="ann", candidates=many))
        await asyncio.sleep(0.05)
        started = time.perf_counter()
        small = asyncio.create_task(asked(client, user="ann", n=1))
        await asyncio.sleep(0.05)
        assert (await client.get("/health/ready")).status_code == 200
        assert time.perf_counter() - started < 2
        hold.set()
        await asyncio.gather(slow, small)

    shop.serve(work)


def test_a_shadow_is_asked_the_same_beside_what_is_shown_and_only_the_log_sees_its_list(shop: Shop) -> None:
    shop.options = ListOptions(usual=Request(explore=0.5))
    shop.with_session = True
    shop.sessions.rows["ann"] = ["h20"]
    shop.made[2] = Shelves(10)
    shop.trials["homes"] = Challenger(version=shop.version(2), shadow=True)
    shop.moves += 1

    async def work(client: httpx.AsyncClient) -> None:
        found = await asked(client, user="ann", n=3, candidates=["h5", "h21", "h24"], live={"price": [5, 21, 24]})
        assert (found["arm"], found["version"], items(found)) == ("live", 1, ["h21", "h24", "h5"])
        await logged(shop, 2)
        shown, beside = shop.lists
        assert (beside.arm, beside.version.version, beside.beside) == ("shadow", 2, shown.list_id)
        assert (beside.user, beside.at, beside.asked) == (shown.user, shown.at, shown.asked)
        assert beside.list_id != shown.list_id
        assert shop.sessions.reads == 1
        champions, challengers = shop.made[1].asked[-1], shop.made[2].asked[-1]
        assert (champions.explore, challengers) == (0.5, replace(champions, explore=0.0))
        await client.post("/recommend", json={"user": "ann"}, headers={"x-stackwright-purpose": "test"})
        page = (await client.get("/metrics")).text
        assert 'stackwright_shadow_predictions_total{model="homes",version="2"} 1.0' in page
        assert 'stackwright_lists_total{model="homes",version="2"}' not in page

    shop.serve(work)
    assert [one.arm for one in shop.lists] == ["live", "shadow", "test"]
    assert shop.made[2].closed_while_asked == [False]


def test_a_shadow_that_hangs_or_fails_keeps_no_list_waiting_and_ends_with_its_trial(shop: Shop) -> None:
    shop.settings = replace(shop.settings, shadow_rows=5)
    shop.made[2] = Shelves(10)
    shop.trials["homes"] = Challenger(version=shop.version(2), shadow=True)
    shop.moves += 1

    async def work(client: httpx.AsyncClient) -> None:
        hold = shop.made[2].hold = threading.Event()
        started = time.perf_counter()
        for _ in range(50):
            assert (await asked(client))["arm"] == "live"
        assert time.perf_counter() - started < 5
        assert 'stackwright_shadow_dropped_total{model="homes",version="2"} 45.0' in (await client.get("/metrics")).text
        shop.made[2].failure = ValueError("broke")
        hold.set()
        await told_of(client, 'stackwright_shadow_failed_total{model="homes",version="2"} 5.0')
        del shop.trials["homes"]
        shop.moves += 1
        for _ in range(200):
            if "challenger" not in (model := (await client.get("/models")).json()["models"][0]):
                break
            await asyncio.sleep(0.01)
        assert "challenger" not in model
        assert (await asked(client))["version"] == 1

    shop.serve(work)
    assert {one.arm for one in shop.lists} == {"live"}


def test_a_shadow_that_is_promoted_is_a_shadow_no_more(shop: Shop) -> None:
    shop.made[2] = Shelves(10)
    shop.trials["homes"] = Challenger(version=shop.version(2), shadow=True)
    shop.moves += 1

    async def work(client: httpx.AsyncClient) -> None:
        await asked(client)
        await logged(shop, 2)
        shop.promote(2)
        await reached(client, 2)
        assert "challenger" not in (await client.get("/models")).json()["models"][0]

    shop.serve(work)
