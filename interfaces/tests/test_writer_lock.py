"""A lock that one holds at a time, and that does not survive its process."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.writer_lock import WriterLock

fork = multiprocessing.get_context("fork")


def test_one_holds_a_lock_at_a_time_and_the_others_wait(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        with WriterLock(tmp_path / "lock").hold(30):
            inside.append(number)
            assert inside == [number]
            inside.remove(number)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(40)))


def test_whoever_waits_too_long_for_a_lock_is_told_what_to_raise(tmp_path: Path) -> None:
    with (
        WriterLock(tmp_path / "lock").hold(1),
        pytest.raises(FeatureStoreError, match=r"writing for more than 0.1 s.*lock_timeout"),
        WriterLock(tmp_path / "lock").hold(0.1),
    ):
        pass


def test_a_lock_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    def hold() -> None:
        with WriterLock(tmp_path / "lock").hold(1):
            os.kill(os.getpid(), signal.SIGKILL)

    child = fork.Process(target=hold)
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    with WriterLock(tmp_path / "lock").hold(0.05):
        pass


def test_a_child_that_was_forked_meanwhile_does_not_keep_a_lock(tmp_path: Path) -> None:
    with WriterLock(tmp_path / "lock").hold(1):
        waiting = fork.Event()
        child = fork.Process(target=waiting.wait, args=(30,))
        child.start()
    try:
        with WriterLock(tmp_path / "lock").hold(0.05):
            pass
    finally:
        waiting.set()
        child.join(30)
