"""The kit for executors, the compute slot.

An adapter's test module is::

    class TestDaskExecutor(ExecutorCases):
        spec = spec_of(plugin, Executor)

        def config(self, folder):
            return plugin.DaskConfig(workers=2)
"""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from stackwright_interfaces.compute import SupportsWorkers
from stackwright_interfaces.testing.adapters import AdapterCases

LONG = 60.0
"""Seconds in which anything here ends, on a machine that has other work."""

_KILLED_PARENT = """
import os, pathlib, pickle, sys, time
from stackwright_interfaces.testing.adapters import load_factory
from stackwright_interfaces.testing.context import make_context

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    spec, config = pickle.loads((folder / "config").read_bytes())
    executor = load_factory(spec)(config, make_context(folder))
    print(executor.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


class ExecutorCases(AdapterCases):
    """Subclass it in a test module, under a name that starts with ``Test``. Give it two workers.

    Attributes:
        starts_processes: its workers are processes that it starts; otherwise they were there before.
    """

    starts_processes: ClassVar[bool] = True

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
        """One executor for all cases, as a process uses it."""
        built = cls().build(tmp_path_factory.mktemp("executor"))
        yield built
        built.shutdown()

    def test_it_may_be_closed_twice(self, tmp_path: Path) -> None:
        built = self.build(tmp_path)
        built.shutdown()
        built.shutdown()

    def test_work_after_the_end_is_refused(self, tmp_path: Path) -> None:
        built = self.build(tmp_path)
        built.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            built.submit(os.getpid)

    def test_nothing_runs_before_there_is_work(self, tmp_path: Path) -> None:
        before = threading.active_count()
        built = self.build(tmp_path)
        assert threading.active_count() == before
        built.shutdown()

    def test_a_function_runs_in_another_process(self, executor: Executor) -> None:
        assert executor.submit(os.getpid).result(LONG) != os.getpid()

    def test_results_come_back_bit_for_bit(self, executor: Executor) -> None:
        numbers = [0.1, -0.0, math.inf, 5e-324, 2**70, "é", None, b"\x00\xff"]
        assert executor.submit(list, numbers).result(LONG) == numbers
        assert math.copysign(1, executor.submit(float, -0.0).result(LONG)) == -1

    def test_named_arguments_are_those_of_the_function(self, executor: Executor) -> None:
        # Executors of frameworks have named arguments of their own, which these must not be mistaken for.
        given = {"key": 1, "workers": 2, "priority": 3, "retries": 4, "pure": 5, "resources": 6}
        assert executor.submit(dict, **given).result(LONG) == given

    def test_results_of_a_map_keep_their_order(self, executor: Executor) -> None:
        assert list(executor.map(abs, range(-20, 0), timeout=LONG)) == list(range(20, 0, -1))

    def test_the_same_work_given_twice_runs_twice(self, executor: Executor, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        for _ in range(2):
            executor.submit(add_line, str(path)).result(LONG)
        assert len(path.read_text().splitlines()) == 2

    def test_an_error_is_the_one_that_was_raised(self, executor: Executor) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            executor.submit(int, "no number").result(LONG)
        assert executor.submit(abs, -1).result(LONG) == 1

    def test_it_does_as_much_at_once_as_it_says(self, executor: Executor, tmp_path: Path) -> None:
        assert isinstance(executor, SupportsWorkers)
        assert executor.workers >= 2
        assert executor.threads >= 1
        together = [
            executor.submit(meet, str(tmp_path), number, executor.workers) for number in range(executor.workers)
        ]
        assert all(future.result(LONG) for future in together)

    def test_several_threads_may_give_work(self, executor: Executor) -> None:
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda _: executor.submit(abs, -7).result(LONG), range(8)))
        assert results == [7] * 8

    def test_what_was_let_go_is_never_waited_for(self, executor: Executor) -> None:
        assert isinstance(executor, SupportsWorkers)
        futures = [executor.submit(time.sleep, 0.5) for _ in range(executor.workers * 4)]
        assert futures[-1].cancel()
        with pytest.raises(CancelledError):
            futures[-1].result(LONG)
        for future in futures[:-1]:
            future.cancel()

    def test_work_whose_process_dies_fails_and_later_work_runs(self, executor: Executor) -> None:
        with pytest.raises(BrokenExecutor):
            executor.submit(os._exit, 1).result(LONG)
        assert executor.submit(abs, -3).result(LONG) == 3

    def test_its_processes_end_with_the_one_that_started_them(self, tmp_path: Path) -> None:
        script = tmp_path / "parent.py"
        script.write_text(_KILLED_PARENT)
        (tmp_path / "config").write_bytes(pickle.dumps((self.spec, self.config(tmp_path))))
        command = [sys.executable, str(script), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            parent.kill()
        deadline = time.monotonic() + (LONG if self.starts_processes else 1)
        while lives(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lives(child) is not self.starts_processes


def add_line(path: str) -> None:
    """Add a line to a file."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")


def meet(folder: str, number: int, count: int) -> bool:
    """Say that this one is here, and wait for the others; tell whether they all came."""
    (Path(folder) / f"here-{number}").touch()
    deadline = time.monotonic() + LONG / 2
    while len(list(Path(folder).glob("here-*"))) < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lives(process: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    status = Path(f"/proc/{process}/stat")
    if Path("/proc/self").exists():
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
