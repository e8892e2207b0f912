"""Lists over HTTP: what may be asked, what a bad question gets, and what becomes of a list when a part fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from stackwright_interfaces.definitions import Entity, FeatureService, FeatureView
from stackwright_interfaces.errors import ArtifactError, FeatureStoreError, PredictionError, StoreTimeout, UsageError
from stackwright_interfaces.feature_store import FeatureRows, Status
from stackwright_interfaces.recommender import Hidden, Recommendations, Recommender, Request
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.types import INT64, STRING, Field, list_of
from stackwright_serving.app import create_app
from stackwright_serving.arms import Challenger
from stackwright_serving.host import ModelHost
from stackwright_serving.list_host import ListHost
from stackwright_serving.list_request import told
from stackwright_serving.lists import ListOptions, LoadedLists, SessionReader
from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import GuardedReader, Reads
from stackwright_serving.settings import Settings
from stackwright_serving.state import State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
USER = Entity(name="user", keys=(Field("user_id", STRING),))
VIEWED = FeatureView(name="viewed", entity=USER, fields=(Field("items", list_of(STRING)),))
SERVICE = FeatureService(name="sessions", selections=(VIEWED.select(),))
ITEMS = tuple(f"h{number}" for number in range(1, 31))
SEEN = {"ann": ("h1", "h2")}


class Shelves(Recommender):
    """Items by number, from ``first`` on; what was looked at in the session comes right behind."""

    def __init__(self, first: int = 1) -> None:
        self.first = first
        self.failure: BaseException | None = None
        self.hold: threading.Event | None = None
        self.asked: list[Request] = []
        self.asking = 0
        self.closed_while_asked: list[bool] = []

    def close(self) -> None:
        self.closed_while_asked.append(self.asking > 0)

    def answer(self, request: Request) -> Recommendations:
        self.asked.append(request)
        if self.hold is not None:
            self.asking += 1
            self.hold.wait(5)
            self.asking -= 1
        if self.failure is not None:
            raise self.failure
        if request.like is not None and request.like not in ITEMS:
            raise UsageError("similar", f"item {request.like!r} is not in the catalogue", "Ask for one that is.")
        given = ITEMS if request.candidates is None else tuple(dict.fromkeys(request.candidates))
        strange = tuple(one for one in (*given, *request.session) if one not in ITEMS)
        seen = {*SEEN.get(request.user, ()), *request.session} if request.exclude_seen else set()
        out = {one for rule in request.rules if isinstance(rule, Hidden) for one in rule.items}
        kept = [one for one in given if one in ITEMS and one not in seen | out]
        if request.session:
            newest = int(str(request.session[-1])[1:])
            kept.sort(key=lambda one: abs(int(one[1:]) - newest))
        else:
            kept.sort(key=lambda one: (int(one[1:]) - self.first) % len(ITEMS))
        removed = {"seen": sum(one in seen for one in given), "hidden": sum(one in out for one in given)}
        items = tuple(kept[: request.n])
        return Recommendations(
            items=items,
            scores=np.linspace(1, 0, len(items)),
            propensities=np.ones(len(items)),
            cold=np.array([one == "h30" for one in items], dtype=bool),
            cold_user=request.user not in SEEN and not request.session,
            unknown=strange,
            removed={name: count for name, count in removed.items() if count},
            considered=len(kept),
        )

    def answer_users(
        self, users: Sequence[Any] | None, request: Request, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        for user in users or SEEN:
            yield user, self.answer(replace(request, user=user))


class Sessions:
    """What each user looked at just now. ``failure`` is raised by every read."""

    def __init__(self) -> None:
        self.rows: dict[str, list[str]] = {}
        self.failure: Exception | None = None
        self.reads = 0

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        column = np.empty(1, dtype=object)
        column[0] = self.rows.get(keys["user_id"][0])
        return FeatureRows(
            names=("items",),
            columns={"items": column},
            statuses={"items": np.array([Status.PRESENT])},
            events={},
            watermarks={},
            at=at or NOW,
        )


@dataclass
class Shop:
    """An application with recommenders; ``promote`` moves the champion."""

    options: ListOptions = field(default_factory=ListOptions)
    sessions: Sessions = field(default_factory=Sessions)
    settings: Settings = field(default_factory=lambda: Settings(max_rows=10_000, poll=0.02, failures=3, rest=60.0))
    made: dict[int, Shelves] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    served: dict[str, ModelVersion] = field(default_factory=dict)
    trials: dict[str, Challenger] = field(default_factory=dict)
    lists: list[Any] = field(default_factory=list)
    clicks: list[Any] = field(default_factory=list)
    room: bool = True
    lost: int = 0
    moves: int = 0
    with_session: bool = False
    created: datetime = NOW
    thread: str = ""

    def promote(self, number: int, first: int = 1, *, name: str = "homes") -> Shelves:
        self.made.setdefault(number, Shelves(first))
        self.served[name] = self.version(number, name)
        self.moves += 1
        return self.made[number]

    def version(self, number: int, name: str = "homes") -> ModelVersion:
        return ModelVersion(name=name, version=number, digest=f"sha256:{number}", created=self.created)

    def generation(self) -> str:
        return str(self.moves)

    def promoted(self) -> Mapping[str, ModelVersion]:
        return dict(self.served)

    def challengers(self) -> Mapping[str, Challenger]:
        return self.trials

    def open(self, version: ModelVersion) -> LoadedLists:
        if version.version in self.refused:
            raise ArtifactError(version.ref, "damaged", "Train it again.")
        session = SessionReader(self.reader, SERVICE, "items") if self.with_session else None
        return LoadedLists.warmed(version, self.made[version.version], self.options, session)

    def append(self, listed: Any) -> bool:
        self.lists.append(listed)
        return self.room

    def clicked(self, clicks: Sequence[Any]) -> bool:
        self.clicks.extend(clicks if self.room else ())
        self.thread = threading.current_thread().name
        return self.room

    def app(self) -> Any:
        def open_state(_opened: AsyncExitStack, metrics: Metrics) -> State:
            reads = Reads(self.settings, metrics)
            self.reader = GuardedReader(self.sessions, {SERVICE.ref: SERVICE}, reads)
            return State(
                host=ModelHost(NoModels(), metrics, {}, self.settings),
                recommenders=ListHost(self, metrics, self.settings),
                metrics=metrics,
                reads=reads,
                settings=self.settings,
                list_sink=self,
                clock=lambda: NOW,
            )

        return create_app(open_state)

    def serve(self, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        async def run() -> None:
            app = self.app()
            async with app.lifespan():
                transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                    await work(client)

        asyncio.run(run())

    def ask(self, **body: Any) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        async def work(client: httpx.AsyncClient) -> None:
            found.append(await asked(client, **body))

        self.serve(work)
        return found[0]


class NoModels:
    def generation(self) -> str:
        return "none"

    def promoted(self) -> Mapping[str, ModelVersion]:
        return {}

    def challengers(self) -> Mapping[str, Challenger]:
        return {}

    def open(self, version: ModelVersion) -> Any:
        raise AssertionError(version)


async def asked(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def items(found: Mapping[str, Any]) -> list[str]:
    return [one["item"] for one in found["items"]]


@pytest.fixture
def shop() -> Shop:
    made = Shop()
    made.promote(1)
    return made


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


def test_the_lists_of_an_old_version_are_flagged(shop: Shop) -> None:
    shop.created = NOW - timedelta(days=8)
    shop.promote(1)
    assert shop.ask(user="ann")["flags"] == ["stale"]


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e15])
def test_a_version_may_be_served_without_ever_being_flagged_as_old(shop: Shop, seconds: float) -> None:
    shop.options = ListOptions(stale=seconds)
    assert shop.ask(user="ann")["flags"] == []


def test_a_clock_may_be_as_far_off_as_one_likes(shop: Shop) -> None:
    shop.settings = replace(shop.settings, clock_skew=1e300)

    async def work(client: httpx.AsyncClient) -> None:
        row = {"list_id": "L", "item": "h1", "observed": "2026-03-09T00:00:00Z"}
        assert (await client.post("/clicks", json=row)).status_code == 202

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


async def logged(shop: Shop, lists: int) -> None:
    """Wait until so many lists are logged."""
    for _ in range(200):
        if len(shop.lists) >= lists:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(shop.lists)


async def told_of(client: httpx.AsyncClient, line: str) -> None:
    """Wait until the metrics hold a line."""
    for _ in range(200):
        if line in (page := (await client.get("/metrics")).text):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(page)


async def reached(client: httpx.AsyncClient, version: int) -> None:
    """Wait until a version answers."""
    for _ in range(200):
        if (await asked(client, n=1))["version"] == version:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(version)
