"""A shop that recommends: an application whose parts fail, wait and change as a test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np

from stackwright_interfaces.definitions import Entity, FeatureService, FeatureView
from stackwright_interfaces.errors import ArtifactError, UsageError
from stackwright_interfaces.feature_store import FeatureRows, Status
from stackwright_interfaces.recommender import Hidden, Recommendations, Recommender, Request
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.types import STRING, Field, list_of
from stackwright_serving.app import create_app
from stackwright_serving.arms import Challenger
from stackwright_serving.host import ModelHost
from stackwright_serving.list_host import ListHost
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
