"""Clicks on lists over HTTP: what is taken, and what is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from shops import (
    NOW,
    Shop,
)


def test_a_clock_may_be_as_far_off_as_one_likes(shop: Shop) -> None:
    shop.settings = replace(shop.settings, clock_skew=1e300)

    async def work(client: httpx.AsyncClient) -> None:
        row = {"list_id": "L", "item": "h1", "observed": "2026-03-09T00:00:00Z"}
        assert (await client.post("/clicks", json=row)).status_code == 202

    shop.serve(work)


def test_clicks_are_taken_one_by_one_and_many_at_once(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/clicks", json={"list_id": "L1", "item": "h1"})
        assert (answer.status_code, answer.json()["taken"]) == (202, 1)
        rows = [
            {"list_id": "L1", "item": 7, "value": 0},
            {"list_id": "L2", "item": "h2", "observed": "2026-02-28T10:00"},
        ]
        assert (await client.post("/clicks", json={"clicks": rows})).json()["taken"] == 2

    shop.serve(work)
    told = [(one.list_id, one.item, one.value, one.observed) for one in shop.clicks]
    early = datetime(2026, 2, 28, 10, tzinfo=UTC)
    assert told == [("L1", "h1", 1.0, NOW), ("L1", 7, 0.0, NOW), ("L2", "h2", 1.0, early)]


@pytest.mark.parametrize(
    "row",
    [
        {"list_id": "L1"},
        {"list_id": 1, "item": "h1"},
        {"list_id": "L1", "item": None},
        {"list_id": "L1", "item": "h1", "value": -1},
        {"list_id": "L1", "item": "h1", "value": True},
        {"list_id": "L1", "item": "h1", "value": 10**400},
        {"list_id": "L1", "item": 10**30},
        {"list_id": "L1", "item": "h" * 1_001},
        {"list_id": "L1", "item": "h1", "observed": "yesterday"},
        {"list_id": "L1", "item": "h1", "observed": "2026-03-02T00:00:00Z"},
        {"list_id": "L1", "item": "h1", "more": 1},
        "L1",
    ],
)
def test_what_is_no_click_is_refused_and_none_of_its_request_is_taken(shop: Shop, row: Any) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/clicks", json={"clicks": [{"list_id": "L", "item": "h1"}, row]})
        assert answer.status_code == 422, answer.text
        assert not shop.clicks

    shop.serve(work)


def test_many_clicks_are_read_beside_the_loop(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        rows = [{"list_id": "L", "item": f"h{number}"} for number in range(5_000)]
        assert (await client.post("/clicks", json={"clicks": rows})).json()["taken"] == 5_000

    shop.serve(work)
    assert shop.thread.startswith("work")
