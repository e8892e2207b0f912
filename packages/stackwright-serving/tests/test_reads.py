"""When a feature store counts as slow."""

from __future__ import annotations

import pytest

from stackwright_serving.metrics import Metrics
from stackwright_serving.reads import Reads
from stackwright_serving.settings import Settings


@pytest.fixture
def reads() -> Reads:
    return Reads(Settings(patience=0.005), Metrics())


def test_one_read_that_was_interrupted_makes_no_store_slow(reads: Reads) -> None:
    for _ in range(20):
        reads.took(0.02)
        for _ in range(50):
            reads.took(0.0001)
    assert not reads.slow


def test_one_very_slow_read_does(reads: Reads) -> None:
    reads.took(0.05)
    assert reads.slow


def test_reads_that_are_all_a_little_slow_do(reads: Reads) -> None:
    for _ in range(9):
        reads.took(0.006)
    assert not reads.slow
    for _ in range(20):
        reads.took(0.006)
    assert reads.slow
