"""Lists over HTTP: what may be asked, and what a bad question gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from shops import (
    NOW,
    Shop,
    asked,
    items,
)

from stackwright_interfaces.recommender import Hidden, Request
from stackwright_serving.list_request import told
from stackwright_serving.lists import ListOptions


def test_a_list_names_its_version_and_the_place_of_each_item(shop: Shop) -> None:
    found = shop.ask(user="ann", n=3)
    assert items(found) == ["h3", "h4", "h5"]
    assert [one["position"] for one in found["items"]] == [1, 2, 3]
    assert (found["model"], found["version"], found["arm"], found["flags"]) == ("homes", 1, "live", [])
    assert found["removed"] == {"seen": 2}


def test_a_list_is_logged_with_what_was_asked_and_what_was_answered(shop: Shop) -> None:
    found = shop.ask(user="ann", n=2, session=["h9"], candidates=["h8", "h20"], live={"price": [3, None]})
    (listed,) = shop.lists
    assert listed.list_id == found["list_id"]
    assert listed.found.items == ("h8", "h20")
    assert listed.asked == {"session": ["h9"], "live": {"price": [3.0, pytest.approx(np.nan, nan_ok=True)]}}
    assert (listed.user, listed.at, listed.arm, listed.version.version) == ("ann", NOW, "live", 1)


def test_the_blueprint_says_what_a_request_leaves_open(shop: Shop) -> None:
    shop.options = ListOptions(
        usual=Request(n=4, diversity=0.3, explore=0.1, explore_depth=7, rules=(Hidden(items=("h3",)),))
    )
    found = shop.ask(user="ann", diversity=0.6)
    assert items(found) == ["h4", "h5", "h6", "h7"]
    request = shop.made[1].asked[-1]
    assert (request.n, request.diversity, request.explore, request.explore_depth) == (4, 0.6, 0.1, 7)
    assert request.at == NOW.timestamp()


def test_an_unknown_user_gets_what_is_popular_and_the_answer_says_so(shop: Shop) -> None:
    found = shop.ask(user="nobody", n=2)
    assert (items(found), found["flags"]) == (["h1", "h2"], ["cold_user"])
    assert shop.ask(n=1)["flags"] == ["cold_user"]


def test_unknown_candidates_and_items_of_a_session_are_named_and_left_out(shop: Shop) -> None:
    found = shop.ask(user="ann", candidates=["h8", "x1"], n=5)
    assert (items(found), found["unknown"], found["flags"]) == (["h8"], ["x1"], ["unknown_items"])


def test_what_is_like_an_unknown_item_cannot_be_asked(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/recommend", json={"like": "x1"})
        assert answer.status_code == 422
        assert "x1" in answer.json()["error"]

    shop.serve(work)


@pytest.mark.parametrize(
    ("body", "removed"),
    [
        pytest.param({"candidates": []}, {}, id="no candidates"),
        pytest.param({"user": "ann", "candidates": ["h1", "h2"]}, {"seen": 2}, id="all seen"),
    ],
)
def test_a_list_of_nothing_is_an_answer(shop: Shop, body: Any, removed: Any) -> None:
    found = shop.ask(**body)
    assert (found["items"], found["removed"], found["considered"]) == ([], removed, 0)


def test_candidates_that_are_sent_twice_stand_once(shop: Shop) -> None:
    assert items(shop.ask(candidates=["h5", "h4", "h5"])) == ["h4", "h5"]


def test_ten_thousand_candidates_are_answered_and_one_more_is_refused(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        many = [f"x{number}" for number in range(9_999)]
        found = await asked(client, candidates=[*many, "h7"])
        assert (items(found), len(found["unknown"])) == (["h7"], 100)
        answer = await client.post("/recommend", json={"candidates": [*many, "h7", "h8"]})
        assert answer.status_code == 413

    shop.serve(work)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"usr": "ann"}, 422),
        ({"user": 1.5}, 422),
        ({"user": True}, 422),
        ({"user": 2**63}, 422),
        ({"user": "u" * 1001}, 422),
        ({"n": 0}, 422),
        ({"n": "3"}, 422),
        ({"n": 1001}, 422),
        ({"session": "h1"}, 422),
        ({"session": ["h1"] * 1001}, 413),
        ({"candidates": [["h1"]]}, 422),
        ({"exclude_seen": 1}, 422),
        ({"place": [48.0]}, 422),
        ({"place": [91.0, 0.0]}, 422),
        ({"budget": "much"}, 422),
        ({"budget": 10**400}, 422),
        ({"diversity": 1.1}, 422),
        ({"live": {"price": [1.0]}}, 422),
        ({"candidates": ["h1"], "live": {"price": [1.0, 2.0]}}, 422),
        ({"candidates": ["h1"], "live": {"price": [True]}}, 422),
        ([], 400),
        ("h1", 400),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_its_reason(shop: Shop, body: Any, status: int) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/recommend", json=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]
        assert not shop.lists

    shop.serve(work)


def test_bodies_that_are_no_strict_json_are_refused_as_by_predict(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        twice = (b'{"n": 1, "n": 2}', b'{"n" :1,"n":2}', b'{"candidates":["a\\":"],"live":{"p":[1],"p"\n:[2]}}')
        for body in (*twice, b'{"budget": NaN}', b"\xff", b"{", b'{"user": "\\ud800"}', b"9" * 9_000):
            assert (await client.post("/recommend", content=body)).status_code == 400, body
        for body in (b'{"budget": 1e999}', b'{"candidates":["h1"],"live":{"price":[1e999]}}'):
            assert (await client.post("/recommend", content=body)).status_code in (400, 422), body
        odd = await client.post("/recommend", content=b'{"n":1,"candidates":["h1\\":","h2"]}')
        assert items(odd.json()) == ["h2"]
        assert (await client.post("/recommend", content=b"a", headers={"content-type": "text/csv"})).status_code == 415
        assert (await client.post("/recommend/other", json={})).status_code == 404

    shop.serve(work)


def test_one_of_several_recommenders_is_named_by_the_path(shop: Shop) -> None:
    shop.promote(2, 9, name="films")

    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.post("/recommend", json={})).status_code == 404
        answer = await client.post("/recommend/films", json={"n": 1})
        assert items(answer.json()) == ["h9"]

    shop.serve(work)


@pytest.mark.parametrize(
    ("candidates", "values"),
    [(["h2", "h1", "h2"], [20.0, 10.0, 21.0]), (["h1", "h2"], [10.0, 20.0])],
)
def test_of_a_candidate_that_is_sent_twice_the_first_live_value_is_logged(
    shop: Shop, candidates: list[str], values: list[float]
) -> None:
    shop.ask(candidates=candidates, live={"price": values})
    (listed,) = shop.lists
    assert listed.found.items == ("h1", "h2")
    assert listed.asked["live"] == {"price": [10.0, 20.0]}


def test_live_values_are_logged_by_the_names_of_items_whatever_the_type_they_were_sent_as() -> None:
    given = {"candidates": (2, 1, 2), "live": {"price": np.array([20.0, 10.0, 21.0])}}
    assert told(given, (), ("1", "2"))["live"] == {"price": [10.0, 20.0]}
    assert told(given, (), (1, 2))["live"] == {"price": [10.0, 20.0]}


def test_what_is_served_is_told_and_described(shop: Shop) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        (model,) = (await client.get("/models")).json()["models"]
        assert (model["name"], model["version"], model["task"]) == ("homes", 1, "recommendation")
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"/recommend/homes", "/clicks"} <= paths.keys()
        assert (await client.get("/health/ready")).status_code == 200
        await asked(client)
        assert 'stackwright_lists_total{model="homes",version="1"} 1.0' in (await client.get("/metrics")).text

    shop.serve(work)


def test_a_server_without_recommenders_knows_no_such_path(tmp_path: Path, worlds: Callable[[Path], Any]) -> None:
    world = worlds(tmp_path)

    async def run() -> None:
        app = world.app()
        async with app.lifespan():
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                assert (await client.post("/recommend", json={})).status_code == 404
                assert "/clicks" not in (await client.get("/openapi.json")).json()["paths"]

    asyncio.run(run())
