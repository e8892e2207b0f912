"""Progress: a bar where a person looks on, nothing where a program does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stackwright.progress import Bar, shown

CODE = """
import time
from stackwright.progress import shown
with shown(quiet=QUIET) as progress:
    progress("fit", 1, 3)
    time.sleep(0.3)
    progress("fit", 3, 3)
print("done")
"""


def drawn(*, quiet: bool) -> str:
    """What a terminal is shown."""
    terminal, slave = os.openpty()
    command = [sys.executable, "-c", CODE.replace("QUIET", str(quiet))]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, text=True)
    out, _ = child.communicate()
    os.set_blocking(terminal, False)
    os.close(slave)
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:
        pass
    os.close(terminal)
    assert out == "done\n"
    return b"".join(parts).decode()


def test_a_person_sees_what_is_done_of_what() -> None:
    text = drawn(quiet=False)
    assert "fit" in text
    assert "1/3" in text


def test_nothing_is_drawn_where_json_is_asked_for() -> None:
    assert drawn(quiet=True) == ""


def test_a_program_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown() as progress:
        progress("fit", 1, 3)
    assert capsys.readouterr() == ("", "")


def test_a_bar_may_be_closed_twice_and_used_again() -> None:
    bar = Bar()
    bar.close()
    bar("fit", 0, 2)
    bar("tune", 1, 2)
    bar("tune", 2, 2)
    bar.close()
    bar("fit", 2, 2)
