"""Files that are written whole or not at all, also by writers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackwright.assembly.project import write_atomically
from stackwright.assembly.replacing import replacing

KILLED = """
import os, signal, sys
from pathlib import Path
from stackwright.assembly.replacing import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_the_old_file_and_the_next_removes_what_it_left(tmp_path: Path) -> None:
    path = tmp_path / "kept [1].json"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "new"


def test_what_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    other = tmp_path / f".kept.json.{os.getppid()}.tmp"
    other.write_text("half")
    write_atomically(tmp_path / "kept.json", b"new")
    assert other.read_text() == "half"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "kept.json") as temporary:
            temporary.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert list(tmp_path.iterdir()) == []
