"""Answers that come soon are waited for awake, others asleep."""

from __future__ import annotations

import math
import time

import pytest

from stackwright_redis.waiting import MOST, Waiting

SECONDS = 0.002


class Answer:
    """Comes some seconds after it is first looked for."""

    def __init__(self, after: float) -> None:
        self.after = after
        self.looks = 0

    def can_read(self, timeout: float = 0) -> bool:
        assert timeout == 0, "only looks"
        if not self.looks:
            self.comes = time.monotonic() + self.after
        self.looks += 1
        return time.monotonic() >= self.comes


def looked(waiting: Waiting, after: float, size: int = 100, deadline: float = 60.0) -> bool:
    """Wait for an answer; tell whether it was looked for."""
    answer = Answer(after)
    said = waiting.wait(answer, size, time.monotonic() + deadline)
    assert said == (answer.looks > 0)
    return said


def runs_without(waiting: Waiting, answers: int) -> list[int]:
    """How many late answers in a row were not looked for, before each that was."""
    runs = [0]
    for _ in range(answers):
        if looked(waiting, math.inf):
            runs.append(0)
        else:
            runs[-1] += 1
    return runs[:-1]


def test_soon_answers_are_all_looked_for_until_they_come() -> None:
    waiting = Waiting(0.5)
    for _ in range(20):
        answer = Answer(0.001)
        waiting.wait(answer, 100, time.monotonic() + 60)
        assert time.monotonic() >= answer.comes


def test_after_each_late_answer_twice_as_many_are_not_looked_for() -> None:
    assert runs_without(Waiting(SECONDS), 60) == [0, 1, 3, 7, 15]
    assert runs_without(Waiting(SECONDS), 700)[-3:] == [MOST] * 3


def test_a_soon_answer_among_late_ones_makes_the_next_be_looked_for() -> None:
    waiting = Waiting(SECONDS)
    assert runs_without(waiting, 12) == [0, 1, 3]
    while not looked(waiting, 0):
        pass
    assert looked(waiting, 0)


def test_late_answers_to_large_questions_do_not_count_for_small_ones() -> None:
    waiting = Waiting(SECONDS)
    runs_without(waiting, 30)
    assert looked(waiting, 0, size=1000)
    assert looked(waiting, 0, size=2**100)


def test_nothing_is_looked_for_longer_than_it_is_of_use() -> None:
    started = time.monotonic()
    assert looked(Waiting(30.0), math.inf, deadline=0.01)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("after", [0, math.inf])
def test_no_seconds_are_none(after: float) -> None:
    waiting = Waiting(0.0)
    assert [looked(waiting, after) for _ in range(3)] == [False] * 3
