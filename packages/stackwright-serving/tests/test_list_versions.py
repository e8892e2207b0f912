"""Lists over HTTP: which version answers while versions come, go and grow old."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest
from shops import (
    NOW,
    Shop,
    asked,
    items,
    reached,
)

from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.recommender import Request
from stackwright_serving.list_host import ListHost
from stackwright_serving.lists import ListOptions
from stackwright_serving.metrics import Metrics


def test_the_lists_of_an_old_version_are_flagged(shop: Shop) -> None:
    shop.created = NOW - timedelta(days=8)
    shop.promote(1)
    assert shop.ask(user="ann")["flags"] == ["stale"]


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e15])
def test_a_version_may_be_served_without_ever_being_flagged_as_old(shop: Shop, seconds: float) -> None:
    shop.options = ListOptions(stale=seconds)
    assert shop.ask(user="ann")["flags"] == []


def test_promotions_under_load_lose_no_request_and_no_list_mixes_versions(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        done = asyncio.Event()
        found: list[dict[str, Any]] = []

        async def load() -> None:
            while not done.is_set():
                found.append(await asked(client, n=3))
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(load())
            for number in range(2, 6):
                shop.promote(number, number)
                await reached(client, number)
            while not found or found[-1]["version"] < 5:
                await asyncio.sleep(0.001)
            done.set()
        assert {one["version"] for one in found} >= {1, 2, 3, 4, 5}
        for one in found:
            first = one["version"]
            assert items(one) == [f"h{first}", f"h{first + 1}", f"h{first + 2}"]

    shop.serve(work)


def test_a_version_that_does_not_load_leaves_the_old_one_serving_and_a_roll_back_opens_nothing(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        shop.refused.add(2)
        shop.promote(2)
        await asyncio.sleep(0.1)
        assert (await asked(client))["version"] == 1
        shop.refused.clear()
        shop.promote(3)
        await reached(client, 3)
        warmed = len(shop.made[1].asked)
        shop.promote(1)
        await reached(client, 1)
        assert len(shop.made[1].asked) <= warmed + 60  # what was asked since, and no list of all that is popular
        assert max(request.n for request in shop.made[1].asked[warmed:]) < 100

    shop.serve(work)


def test_a_recommender_is_closed_once_no_thread_asks_it_and_is_asked_no_more(shop: Shop) -> None:
    host = ListHost(shop, Metrics(), shop.settings)
    host.refresh()
    loaded, made = host.served("homes").champion, shop.made[1]
    made.hold = threading.Event()
    asking = threading.Thread(target=loaded.answer, args=(Request(n=1),))
    asking.start()
    release = threading.Timer(0.1, made.hold.set)
    release.start()
    asyncio.run(host.stop())
    asking.join()
    assert made.closed_while_asked == [False]
    with pytest.raises(PredictionError, match="closed"):
        loaded.answer(Request(n=1))


def test_what_is_kept_for_a_roll_back_is_closed_with_the_rest(shop: Shop) -> None:
    host = ListHost(shop, Metrics(), shop.settings)
    host.refresh()
    shop.promote(2)
    host.refresh()
    assert (shop.made[1].closed_while_asked, shop.made[2].closed_while_asked) == ([], [])
    asyncio.run(host.stop())
    assert (shop.made[1].closed_while_asked, shop.made[2].closed_while_asked) == ([False], [False])
