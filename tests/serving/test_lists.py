"""Lists by a running ``stackwright serve``: sessions, faults, swaps under load, the journal, reports and replay."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from servers import RedisServer

import stackwright
from stackwright_interfaces.errors import ModelNotFound, MonitorError
from stackwright_interfaces.model import Manifest, ModelRef, Signature, describe_files
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.recommender import Interactions, Items
from stackwright_interfaces.registry import Event
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_recommender.adapter import ListTrainer
from stackwright_recommender.plugin import RecommenderConfig
from stackwright_serving import golden_lists

PEOPLE, HOMES = 60, 80

BLUEPRINT = """\
name = "shop"

[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "redis", url = "REDIS" }

[recommenders.homes]
trainer = { adapter = "recommender" }
interactions = { source = "taken.parquet", user = "user", item = "item", time = "time" }
list = { n = 5, explore = 0.5, rules = [{ hide = { items = ["h79"] } }] }
session = { service = "sessions@1", feature = "items" }

[registry]
adapter = "files"

[server]
adapter = "uvicorn"
port = 0

[serving]
poll = 0.1
deadline = 1.0
failures = 3
rest = 0.5
admin_tokens = [{ env = "ADMIN_TOKEN" }]
"""

FEATURES = """\
from stackwright import STRING, Entity, FeatureService, FeatureView, Field, Source, list_of

person = Entity(name="person", keys=(Field("user", STRING),))
viewed = FeatureView(
    name="viewed", entity=person, source=Source(event_time="at"), fields=(Field("items", list_of(STRING)),)
)
sessions = FeatureService(name="sessions", selections=(viewed.select(),))
"""


class Shop:
    """A project whose recommender has versions of two tastes: the second likes homes of odd numbers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stack(self) -> Any:
        return stackwright.load(self.folder, progress=lambda *_: None)

    def publish(self, seed: int) -> int:
        random = np.random.default_rng(seed)
        taste = np.repeat(np.arange(PEOPLE) % 4, 12)
        taken = {
            "user": [f"p{number}" for number in np.repeat(np.arange(PEOPLE), 12)],
            "item": [f"h{number}" for number in 4 * random.integers(0, 19, taste.size) + taste],
            "time": pa.array(np.arange(taste.size) * 1_000_000 + 1_700_000_000_000_000, pa.timestamp("us", "UTC")),
        }  # fmt: skip
        homes = {
            "item": [f"h{number}" for number in range(HOMES)],
            "kind": [f"k{number % 4}" for number in range(HOMES)],
        }
        context = Context(project=self.folder, cache=self.folder, storage=lambda _: None)
        config = RecommenderConfig(retrievers=("ease", "popular", "content"), folds=1, trees=10)
        fitted = ListTrainer(config, context).fit(
            Interactions(table=pa.table(taken), columns=("user", "item", "time")),
            Items(table=pa.table(homes), attributes=("kind",)),
            holdout="last",
            seed=1,
            threads=1,
            progress=lambda *_: None,
        )
        work = self.folder / f"staged-{time.monotonic_ns()}"
        work.mkdir()
        fitted.save(work)
        golden_lists.write(work, fitted.recommender(), [{"user": "p1", "n": 5}, {"n": 5}])
        Manifest(
            files=describe_files(work),
            flavour="recommender",
            signature=Signature(inputs=(), outputs=(Field("score", FLOAT64),)),
            task="recommendation",
            service="",
        ).write(work)
        with self.stack() as stack:
            version = int(stack.registry.publish("homes", work, {}, who="test").version)
        shutil.rmtree(work)
        return version

    def promote(self, version: int) -> None:
        with self.stack() as stack:
            try:
                before = stack.registry.resolve(ModelRef("homes", alias="champion")).version
            except ModelNotFound:
                before = None
            event = Event(at=datetime.now(UTC), kind="alias", name="homes", alias="champion", after=version)
            stack.registry.record(event, expected=before)

    def push(self, user: str, *items: str) -> None:
        at = (datetime.now(UTC) - timedelta(milliseconds=1)).isoformat()
        path = self.folder / "push.jsonl"
        path.write_text(json.dumps({"user": user, "at": at, "items": items}) + "\n")
        with self.stack() as stack:
            stack.push("viewed", path)


@pytest.fixture(scope="module")
def redis(start_redis: Callable[..., RedisServer]) -> Iterator[RedisServer]:
    """A Redis that keeps what it holds when it is killed."""
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shop(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("lists") / "shop"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT.replace("REDIS", redis.url))
    (folder / "features.py").write_text(FEATURES)
    made = Shop(folder)
    with made.stack() as stack:
        stack.apply()
    assert [made.publish(1), made.publish(2)] == [1, 2]
    made.promote(1)
    return made


@pytest.fixture(scope="module")
def server(shop: Shop, kit: Any) -> Iterator[Any]:
    running = kit.server(shop)
    kit.until(lambda: running.ask("/health/ready").status == 200)
    yield running
    running.clear()


@pytest.fixture
def ask(server: Any) -> Callable[..., dict[str, Any]]:
    def asked(**body: Any) -> dict[str, Any]:
        reply = server.ask("/recommend", body)
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json
        return found

    return asked


def items(found: dict[str, Any]) -> list[str]:
    return [one["item"] for one in found["items"]]


def test_a_known_user_gets_a_list_and_a_stranger_what_is_popular(ask: Any) -> None:
    found = ask(user="p1")
    assert (len(items(found)), found["version"], found["model"]) == (5, 1, "homes")
    assert {"fallback", "no_session", "cold_user"}.isdisjoint(found["flags"])
    assert "cold_user" in ask(user="nobody")["flags"]


def test_candidates_may_be_unknown_twice_there_none_or_all_out(ask: Any) -> None:
    found = ask(user="p1", candidates=["h4", "nowhere", "h4"], exclude_seen=False)
    assert (items(found), found["unknown"]) == (["h4"], ["nowhere"])
    assert ask(user="p1", candidates=[])["items"] == []
    hidden = ask(candidates=["h79"])
    assert (hidden["items"], hidden["removed"]) == ([], {"hidden": 1})


def test_ten_thousand_candidates_are_answered(ask: Any, server: Any) -> None:
    many = [f"x{number}" for number in range(9_990)]
    assert len(items(ask(candidates=[*many, *(f"h{number}" for number in range(10))]))) == 5
    assert server.ask("/recommend", {"candidates": [*many, *many]}).status == 413


def test_what_does_not_fit_is_refused(server: Any) -> None:
    for body, status in (({"like": "nowhere"}, 422), ({"n": 0}, 422), ({"more": 1}, 422), (b"{", 400), ([], 400)):
        assert server.ask("/recommend", body).status == status
    assert server.ask("/recommend/other", {}).status == 404


def test_a_session_that_is_pushed_changes_the_next_answer(ask: Any, shop: Shop) -> None:
    before = ask(user="new", n=10)
    assert "cold_user" in before["flags"]
    shop.push("new", "h2", "h6")
    after = ask(user="new", n=10)
    assert "cold_user" not in after["flags"]
    assert {"h2", "h6"}.isdisjoint(items(after))
    assert sum(int(item[1:]) % 4 == 2 for item in items(after)) > sum(int(item[1:]) % 4 == 2 for item in items(before))


def test_a_store_that_is_down_costs_the_session_and_nothing_else(
    ask: Any, shop: Shop, server: Any, redis: RedisServer, kit: Any
) -> None:
    shop.push("visitor", "h2")
    assert "no_session" not in ask(user="visitor")["flags"]
    redis.kill()
    try:
        for _ in range(5):
            found = ask(user="visitor")
            assert {"no_session", "cold_user"} <= set(found["flags"])
            assert len(items(found)) == 5
        began = time.monotonic()
        ask(user="visitor")  # the store is left alone by now
        assert time.monotonic() - began < 1.0
        assert server.ask("/health/live").status == 200
    finally:
        redis.start()
    kit.until(lambda: "no_session" not in ask(user="visitor")["flags"])
    assert "cold_user" not in ask(user="visitor")["flags"]


def test_a_store_that_is_slow_gets_a_deadline(ask: Any, redis: RedisServer, kit: Any) -> None:
    redis.stall()
    try:
        began = time.monotonic()
        assert "no_session" in ask(user="p1")["flags"]
        assert time.monotonic() - began < 5.0
    finally:
        redis.go_on()
    kit.until(lambda: "no_session" not in ask(user="p1")["flags"])


def test_promotions_under_load_lose_no_request(ask: Any, shop: Shop, server: Any, kit: Any) -> None:
    ended = threading.Event()
    found: list[dict[str, Any]] = []

    def load() -> None:
        with_connection = server.connect()
        while not ended.is_set():
            reply = server.over(with_connection, "/recommend", {"user": "p2"})
            assert reply.status == 200, reply.body
            found.append(reply.json)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 1):
            shop.promote(version)
            server.until_served(version)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert {one["version"] for one in found} == {1, 2}
    assert len({one["digest"] for one in found}) == 2
    assert all(len(one["items"]) == 5 for one in found)


def test_a_challenger_answers_its_share_of_the_users(ask: Any, shop: Shop, kit: Any) -> None:
    def arms() -> set[tuple[str, int]]:
        return {(one["arm"], one["version"]) for one in (ask(user=f"p{number}") for number in range(20))}

    with shop.stack() as stack:
        stack.canary("homes", 2, share=0.5, force=True, reason="to see")
        kit.until(lambda: arms() == {("live", 1), ("canary", 2)})
        stack.canary("homes", end=True)
    kit.until(lambda: arms() == {("live", 1)})


def test_a_shadow_answers_beside_the_champion_and_the_report_holds_its_lists_against_what_was_shown(
    ask: Any, shop: Shop, server: Any, kit: Any
) -> None:
    def model() -> Any:
        return server.ask("/models").json["models"][0]

    with shop.stack() as stack:
        stack.canary("homes", 2, shadow=True, force=True, reason="to see")
        kit.until(lambda: model().get("challenger", {}).get("shadow"))
        began = datetime.now(UTC)
        found = [ask(user=f"p{number}") for number in range(10)]
        assert {(one["arm"], one["version"]) for one in found} == {("live", 1)}
        clicks = [{"list_id": one["list_id"], "item": items(one)[0]} for one in found]
        assert server.ask("/clicks", {"clicks": clicks}).status == 202

        def reported() -> Any:
            return stack.report("homes", start=began).data

        def logged() -> bool:
            with suppress(MonitorError):  # no list is written yet
                return reported()["clicks"] == 10 and bool(reported()["shadows"])
            return False

        kit.until(logged)
        kit.until(lambda: reported()["shadows"][0]["lists"] == 10)
        stack.canary("homes", end=True)
        numbers = reported()
    kit.until(lambda: "challenger" not in model())
    (beside,) = numbers["shadows"]
    assert (numbers["lists"], numbers["by_version"]) == (10, {"1": 10})
    assert (beside["version"], beside["judged"]) == (2, 10)
    assert 0 < beside["overlap"]["value"] < 1
    assert 0 <= beside["ndcg"]["value"] < beside["shown_ndcg"]["value"] == 1


def test_golden_lists_are_verified_whatever_their_users_looked_at_just_now(shop: Shop, server: Any, kit: Any) -> None:
    shop.push("p1", "h2", "h6")
    with shop.stack() as stack:
        found = stack.verify(server.url(), user="p1").data["models"][0]["checks"]
    golden = next(check for check in found if check["name"] == "golden")
    assert golden["passed"], golden
    assert golden["evidence"]["lists"] == 2


def test_a_damaged_version_is_refused_and_the_old_one_serves(ask: Any, shop: Shop, server: Any, kit: Any) -> None:
    version = shop.publish(3)
    damaged = max((shop.folder / "registry").rglob("ranker.txt"), key=lambda path: path.stat().st_mtime_ns)
    text = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(text[: len(text) // 2])
    refused = server.metric("model_swaps_total", result="refused")
    shop.promote(version)
    kit.until(lambda: server.metric("model_swaps_total", result="refused") > refused)
    assert ask(user="p1")["version"] == 1
    shop.promote(1)
    kit.until(lambda: ask(user="p1")["version"] == 1)


def test_what_was_shown_and_clicked_is_reported_and_replayed(shop: Shop, server: Any, ask: Any, kit: Any) -> None:
    random = np.random.default_rng(3)
    ask(user="a stranger")
    for number in range(120):
        found = ask(user=f"p{number % PEOPLE}")
        clicks = [
            {"list_id": found["list_id"], "item": one["item"]}
            for one in found["items"]
            if random.random() < 0.8 / one["position"]
        ]
        assert not clicks or server.ask("/clicks", {"clicks": clicks}).status == 202
    told = {"list_id": [found["list_id"]], "item": [found["items"][-1]["item"]], "value": [2.0]}
    pyarrow.parquet.write_table(pa.table(told), shop.folder / "clicks.parquet")
    test = server.ask("/recommend", {"user": "p1"}, X_Stackwright_Purpose="test").json
    with shop.stack() as stack:
        stack.label(shop.folder / "clicks.parquet", clicks=True)

        def seen() -> bool:
            numbers = stack.report("homes").data
            return numbers["lists"] >= 121 and numbers["strays"] == 0

        kit.until(seen)
        report = stack.report("homes", replay=2)
    numbers = json.loads(Path(report.data["numbers"]).read_text())
    assert Path(report.data["page"]).read_text().startswith("<!doctype html>")
    places = [numbers["ctr_by_position"][str(place)]["value"] for place in (1, 3)]
    assert places[0] > places[1]
    assert test["list_id"] not in Path(report.data["numbers"]).read_text()
    assert {"cold_user", "shuffled"} <= numbers["flags"].keys()
    assert 0 < numbers["ndcg"]["value"] <= 1
    assert numbers["coverage"]["items"] > 5
    replayed = numbers["replay"]
    assert replayed["version"] == 2
    assert 0 < replayed["supported"] <= 1.5
    assert replayed["self_normalised"]["low"] < replayed["self_normalised"]["high"]
