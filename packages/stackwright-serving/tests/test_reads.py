"""When a feature store counts as slow."""

from __future__ import annotations

import pytest

from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import Reads
from stackwright_serving.settings import Settings


@pytest.fixture
def reads() -> Reads:
    return Reads(Settings(patience=0.005), Metrics())


def test_reads_that_were_interrupted_make_no_store_slow(reads: Reads) -> None:
    for _ in range(100):
        reads.took(0.04)
        for _ in range(30):
            reads.took(0.0001)
    assert not reads.slow


def test_reads_that_are_large_make_no_store_slow(reads: Reads) -> None:
    for _ in range(100):
        reads.took(1.0, rows=10_000)
    assert not reads.slow
    reads.took(1.0, rows=10)
    assert reads.slow


def test_a_read_gets_as_much_more_time_as_it_is_larger() -> None:
    settings = Settings(deadline=0.5)
    assert [settings.deadline_of(rows) for rows in (1, 1000, 10_000)] == [0.5, 0.5, 5.0]


def test_one_read_that_takes_very_long_does(reads: Reads) -> None:
    reads.took(0.5)
    assert reads.slow


@pytest.mark.parametrize(("seconds", "count"), [(0.1, 4), (0.006, 10)])
def test_reads_that_are_all_slow_do(reads: Reads, seconds: float, count: int) -> None:
    for _ in range(count - 1):
        reads.took(seconds)
    assert not reads.slow
    reads.took(seconds)
    assert reads.slow
