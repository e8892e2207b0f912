"""Files are whole or not there, and a scratch folder ends with its process."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stackwright_interfaces.testing.crashes import crashes
from stackwright_parquet import durable
from stackwright_parquet.durable import Scratch

fork = multiprocessing.get_context("fork")


def test_a_write_that_is_killed_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    def work(name: str) -> None:
        durable.write(tmp_path / name, b"new")

    killed = 0
    for name in crashes(work, prepare=lambda name: (tmp_path / name).write_bytes(b"old")):
        killed += 1
        assert (tmp_path / name).read_bytes() in (b"old", b"new")
    assert killed > 3


def test_a_replacement_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with durable.replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def die() -> Callable[[Callable[[], object]], None]:
    """Does something in a child that is killed then."""

    def die(work: Callable[[], object]) -> None:
        def act() -> None:
            work()
            os.kill(os.getpid(), signal.SIGKILL)

        child = fork.Process(target=act)
        child.start()
        child.join(30)
        assert child.exitcode == -signal.SIGKILL

    return die


def test_the_scratch_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_stays(tmp_path: Path, die) -> None:
    living, other = Scratch(tmp_path, "ours"), Scratch(tmp_path, "theirs")
    die(lambda: (Scratch(tmp_path, "ours").path / "left").write_text("over"))
    assert len(list(tmp_path.glob("ours-*/"))) == 2
    new = Scratch(tmp_path, "ours")
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {living.path, other.path, new.path}
    for scratch in (living, other, new):
        scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_folder_is_gone_at_the_end_with_all_it_holds(tmp_path: Path) -> None:
    with durable.fresh_folder(tmp_path) as first, durable.fresh_folder(tmp_path, "x-") as second:
        (second / "file").write_text("text")
        assert first != second
        assert second.name.startswith("x-")
    assert list(tmp_path.iterdir()) == []
