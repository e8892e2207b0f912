"""When the next worker is started in a place whose worker ended."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stackwright_interfaces.errors import ServerError
from stackwright_uvicorn import server
from stackwright_uvicorn.server import FAILURES, STABLE, Place


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Worker:
    """A worker that fails when it is told to."""

    def __init__(self, clock: Clock) -> None:
        self.pid = 1
        self.words = ""
        self.ready = clock.now
        self.failed = False

    def fault(self, _patience: float) -> str:
        return "it failed" if self.failed else ""

    def listen(self) -> None:
        return None

    def join(self, _deadline: float) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=clock))
    return clock


def fail(place: Place, clock: Clock) -> float:
    """Let the worker fail, and return the seconds until the next one starts."""
    failed = place.child
    failed.failed = True
    place.tend()
    since = clock.now
    while place.child is failed:
        clock.now += 0.01
        place.tend()
    return clock.now - since


def test_each_failed_start_doubles_the_delay(clock: Clock) -> None:
    place = Place(lambda: Worker(clock), 1.0)
    delays = [fail(place, clock) for _ in range(FAILURES)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6], abs=0.02)


def test_after_too_many_failed_starts_the_server_gives_up(clock: Clock) -> None:
    place = Place(lambda: Worker(clock), 1.0)
    for _ in range(FAILURES):
        fail(place, clock)
    with pytest.raises(ServerError, match=f"{FAILURES + 1} times in a row: it failed"):
        fail(place, clock)


def test_what_a_worker_said_tells_more_than_how_it_ended(clock: Clock) -> None:
    place = Place(lambda: Worker(clock), 1.0)
    for _ in range(FAILURES):
        fail(place, clock)
    place.child.words = "the registry is away"
    with pytest.raises(ServerError, match="the registry is away"):
        fail(place, clock)


def test_a_worker_that_served_well_may_fail_again_and_again(clock: Clock) -> None:
    place = Place(lambda: Worker(clock), 1.0)
    for _ in range(3 * FAILURES):
        clock.now += STABLE + 1.0
        assert fail(place, clock) == pytest.approx(0.1, abs=0.02)


def test_a_worker_that_cannot_be_started_again_is_a_failure_like_any_other(clock: Clock) -> None:
    started: list[Worker] = []

    def start() -> Worker:
        if started:
            raise ServerError("server", "no worker process can be started (Cannot allocate memory)")
        started.append(Worker(clock))
        return started[0]

    place = Place(start, 1.0)
    clock.now += STABLE + 1.0
    started[0].failed = True
    since = clock.now

    def tend() -> None:
        while clock.now < since + 10.0:
            place.tend()
            clock.now += 0.01

    with pytest.raises(ServerError, match=f"{FAILURES + 1} times in a row: no worker .*allocate memory"):
        tend()
    assert clock.now - since == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6, abs=0.1)


def test_a_worker_that_works_is_left_alone(clock: Clock) -> None:
    place = Place(lambda: Worker(clock), 1.0)
    working = place.child
    for _ in range(100):
        clock.now += 1.0
        place.tend()
    assert place.child is working
