"""Requests that come at the same moment: answered together, and each as if it were alone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_interfaces.feature_store import FeatureRows
from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import GuardedReader, Reads

Request = tuple[str, Mapping[str, Any]]


class Counted:
    """A store that counts its reads, and the rows of each."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.rows: list[int] = []

    def read(self, service: str, keys: Mapping[str, Sequence[Any]], *more: Any, **options: Any) -> FeatureRows:
        self.rows.append(len(keys["listing_id"]))
        rows: FeatureRows = self.store.read(service, keys, *more, **options)
        return rows


class Damaged:
    """A store that cannot read the row of L8."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def read(self, service: str, keys: Mapping[str, Sequence[Any]], *more: Any, **options: Any) -> FeatureRows:
        if "L8" in keys["listing_id"]:
            raise FeatureStoreError("store", "a row is damaged", "Materialise it again.")
        rows: FeatureRows = self.store.read(service, keys, *more, **options)
        return rows


@dataclass
class Crowd:
    """Clients of one application, who all ask in the same turn of its event loop."""

    world: Any
    client: httpx.AsyncClient
    reads: Counted

    async def ask(self, *requests: Request, headers: Mapping[str, str] | None = None) -> list[httpx.Response]:
        """Return the answers, and note how many rows each read was of."""
        self.reads.rows.clear()
        self.world.sink.records.clear()
        sent = (self.client.post(path, json=body, headers=headers) for path, body in requests)
        answers = await asyncio.gather(*sent)
        await asyncio.sleep(0)
        return list(answers)

    @property
    def logged(self) -> dict[str, str]:
        """Prediction id → request id of all that was logged, each once."""
        pairs = [
            pair for record in self.world.sink.records for pair in zip(record.ids, record.request_ids, strict=True)
        ]
        found = dict(pairs)
        assert len(found) == len(pairs)
        return found


@asynccontextmanager
async def crowd(world: Any) -> AsyncIterator[Crowd]:
    reads = Counted(world.source.homes)
    world.source.homes = reads
    app = world.app()
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            yield Crowd(world, client, reads)


def meet(world: Any, story: Callable[[Crowd], Any]) -> None:
    """Tell a story of a crowd."""

    async def run() -> None:
        async with crowd(world) as made:
            await story(made)

    asyncio.run(run())


def home(name: str = "L1", rooms: int = 3) -> Request:
    return "/predict", {"listing_id": name, "rooms": rooms}


def values(answer: httpx.Response) -> list[float]:
    return [item["value"] for item in answer.json()["predictions"]]


def test_requests_of_one_moment_share_a_read_and_get_an_answer_each(world: Any) -> None:
    async def story(crowd: Crowd) -> None:
        answers = await crowd.ask(home("L1", 1), home("L3", 2), home("L9", 3), home("L1", 4))
        assert crowd.reads.rows == [1, 3]  # nobody knew of the others when the first came
        assert [values(answer) for answer in answers] == [[50_010.0], [70_022.0], [30.0], [50_040.0]]
        assert [answer.json()["predictions"][0].get("incomplete") for answer in answers][2] == ["area", "kind"]
        told = [answer.json()["request_id"] for answer in answers]
        assert told == [answer.headers["x-request-id"] for answer in answers]
        ids = [answer.json()["predictions"][0]["prediction_id"] for answer in answers]
        assert crowd.logged == dict(zip(ids, told, strict=True))

        await crowd.ask(home(), home(), home())
        assert crowd.reads.rows == [3]  # a crowd is expected where there was one

    meet(world, story)


def test_a_request_that_is_alone_is_answered_by_itself(world: Any) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask(home(), home(), home())
        for _ in range(3):
            (answer,) = await crowd.ask(home())
            assert (values(answer), crowd.reads.rows, len(crowd.logged)) == ([50_030.0], [1], 1)

    meet(world, story)


def test_all_that_was_answered_is_counted_once(world: Any) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask(*[home()] * 5, home("L9"))
        page = (await crowd.client.get("/metrics")).text
        samples = {
            sample.name: sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.labels.get("route") in (None, "/predict")
        }
        assert samples["stackwright_predictions_total"] == 6.0
        assert samples["stackwright_incomplete_rows_total"] == 1.0
        assert samples["stackwright_requests_total"] == 6.0

    meet(world, story)


def test_a_row_that_cannot_be_answered_spoils_its_own_request_alone(world: Any) -> None:
    world.source.homes.rows = {**world.source.homes.rows, "L7": (float("inf"), "flat")}

    async def story(crowd: Crowd) -> None:
        answers = await crowd.ask(home("L1"), home("L3"), home("L7"), home("L1"))
        assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
        assert [values(answer) for answer in (answers[1], answers[3])] == [[70_032.0], [50_030.0]]
        assert len(crowd.logged) == 3

    meet(world, story)


def test_a_request_that_does_not_fit_is_told_so_and_the_others_are_answered(world: Any) -> None:
    async def story(crowd: Crowd) -> None:
        answers = await crowd.ask(home(), ("/predict", {"listing_id": 5}), home(), ("/predict", {"listing": "L1"}))
        assert [answer.status_code for answer in answers] == [200, 422, 200, 422]
        assert "row 0: field 'listing_id' is a whole number" in answers[1].json()["error"]
        assert crowd.reads.rows == [1, 1]

    meet(world, story)


@pytest.mark.parametrize("fallback", [False, True])
def test_a_damaged_row_in_the_store_spoils_its_own_request_alone(world: Any, fallback: bool) -> None:
    homes = world.source.homes
    reads = Reads(world.settings, Metrics())
    world.source.homes = GuardedReader(Damaged(homes), {}, reads, homes if fallback else None)

    async def story(crowd: Crowd) -> None:
        for _ in range(world.settings.failures + 1):
            answers = await crowd.ask(home("L1"), home("L8"), home("L3"), home("L1"))
            assert [answer.status_code for answer in answers] == [200, 200 if fallback else 503, 200, 200]
            assert ["degraded" in answer.json() for answer in answers] == [False, fallback, False, False]
            assert [values(answers[place]) for place in (0, 2, 3)] == [[50_030.0], [70_032.0], [50_030.0]]
            assert len(crowd.logged) == 3 + fallback
        assert not reads.breaker.open

    meet(world, story)


def test_a_store_that_does_not_answer_in_time_is_asked_once_for_all_of_them(world: Any) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask(*[home()] * 3)
        crowd.reads.store.failure = StoreTimeout("store", "is slow", "Ask for less.")
        answers = await crowd.ask(*[home()] * 4)
        assert [answer.status_code for answer in answers] == [504] * 4
        assert (crowd.reads.rows, crowd.logged) == ([4], {})

        crowd.reads.store.failure = None
        assert [values(answer) for answer in await crowd.ask(home(), home("L3"))] == [[50_030.0], [70_032.0]]

    meet(world, story)


def test_a_crowd_is_answered_where_its_requests_would_be_one_after_the_other(world: Any) -> None:
    world.settings = replace(world.settings, concurrency=4)

    async def story(crowd: Crowd) -> None:
        for first in ([1], []):
            answers = await crowd.ask(*[home()] * 10)
            assert [answer.status_code for answer in answers] == [200] * 10
            assert sorted(crowd.reads.rows) == [*first, *[1] * (6 - len(first)), 4]

    meet(world, story)


def test_a_model_that_fails_in_an_odd_way_leaves_nobody_waiting(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(_inputs: Any) -> Any:
        raise StopIteration

    async def story(crowd: Crowd) -> None:
        model = crowd.world.host.served(None).champion.scorer.model
        monkeypatch.setattr(model.predictor, "predict", predict)
        answers = await asyncio.wait_for(crowd.ask(*[home()] * 3), 5.0)
        assert [answer.status_code for answer in answers] == [500] * 3

    meet(world, story)


def test_what_is_asked_otherwise_is_answered_apart(world: Any) -> None:
    past = ("/predict?at=2026-02-28T13:00:00Z", {"listing_id": "L1"})
    many = ("/predict", {"rows": [{"listing_id": "L1"}] * 17})
    none: Request = ("/predict", {"rows": []})

    async def story(crowd: Crowd) -> None:
        answers = await crowd.ask(home(), home(), past, home(), many, none, home())
        assert [len(values(answer)) for answer in answers] == [1, 1, 1, 1, 17, 0, 1]
        assert sorted(crowd.reads.rows) == [0, 1, 1, 3, 17]

        await crowd.ask(home(), home(), headers={"X-Stackwright-Purpose": "test"})
        assert crowd.reads.rows == [1, 1]
        assert [record.arm for record in crowd.world.sink.records] == ["test", "test"]

    meet(world, story)


def test_while_a_challenger_is_on_trial_each_is_answered_by_itself(world: Any) -> None:
    world.source.challenge(2, 2000.0, share=1.0)

    async def story(crowd: Crowd) -> None:
        answers = await crowd.ask(*[home()] * 3)
        assert [(answer.json()["arm"], values(answer)) for answer in answers] == [("canary", [100_030.0])] * 3
        assert crowd.reads.rows == [1, 1, 1]

    meet(world, story)


def test_models_answer_their_own(world: Any) -> None:
    world.source.promote(1, 3000.0, name="rent")

    async def story(crowd: Crowd) -> None:
        asked = [(f"/predict/{name}", {"listing_id": "L1"}) for name in ("valuation", "rent") * 3]
        await crowd.ask(*asked)
        answers = await crowd.ask(*asked)
        assert [values(answer) for answer in answers] == [[50_030.0], [150_030.0]] * 3
        assert crowd.reads.rows == [3, 3]
        assert sorted({record.model.name for record in crowd.world.sink.records}) == ["rent", "valuation"]

    meet(world, story)


def test_a_client_that_leaves_while_others_are_gathered_takes_nothing_from_them(world: Any) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask(home(), home())
        crowd.reads.rows.clear()
        tasks = [asyncio.ensure_future(crowd.client.post(path, json=body)) for path, body in [home("L1")] * 3]
        while not crowd.reads.rows:
            await asyncio.sleep(0)
            tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(answer, "status_code", None) for answer in answers] == [200, None, 200]

    meet(world, story)


def test_none_are_gathered_where_a_setting_says_so(world: Any) -> None:
    world.settings = replace(world.settings, together=0)

    async def story(crowd: Crowd) -> None:
        await crowd.ask(*[home()] * 3)
        assert crowd.reads.rows == [1, 1, 1]

    meet(world, story)


ROWS = st.lists(
    st.fixed_dictionaries({"listing_id": st.sampled_from(["L1", "L2", "L3", "L9"]), "rooms": st.integers(0, 9)}),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(rounds=st.lists(st.lists(ROWS, max_size=8), min_size=1, max_size=3))
def test_whatever_comes_together_is_answered_as_it_is_alone(
    worlds: Callable[[Path], Any], rounds: list[list[list[Any]]]
) -> None:
    told = ("value", "lower", "upper", "incomplete")

    def said(answer: httpx.Response) -> list[Any]:
        assert answer.status_code == 200
        return [{name: item.get(name) for name in told} for item in answer.json()["predictions"]]

    async def story(crowd: Crowd) -> None:
        for asked in rounds:
            requests: list[Request] = [("/predict", {"rows": rows}) for rows in asked]
            together = [said(answer) for answer in await crowd.ask(*requests)]
            alone = [said((await crowd.ask(request))[0]) for request in requests]
            assert together == alone

    with tempfile.TemporaryDirectory() as root:
        meet(worlds(Path(root)), story)


@pytest.mark.parametrize("room", [0, 1])
def test_what_the_log_has_no_room_for_is_counted(world: Any, room: int) -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.ask(*[home()] * 3)
        world.sink.room = room
        answers = await crowd.ask(*[home()] * 4)
        assert [answer.status_code for answer in answers] == [200] * 4
        page = (await crowd.client.get("/metrics")).text
        lost = [
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == "stackwright_unlogged_predictions_total"
        ]
        assert lost == ([] if room else [4.0])

    meet(world, story)
