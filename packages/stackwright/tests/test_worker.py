"""A worker of a server, before its first request."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc, time
import pandas, pyarrow.dataset, sklearn.ensemble
from stackwright.workflows.live.worker import settle

def search():
    begun = time.perf_counter()
    gc.collect()
    return time.perf_counter() - begun

before = min(search() for _ in range(3))
settle()
after = min(search() for _ in range(3))
print(before / after)
"""


HEAVY = """
import sys
import {module}
print(*sorted({heavy} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("stackwright.workflows.live.serve", {"numpy", "pandas", "pyarrow"}),
        ("stackwright.workflows.live.application", {"pandas", "sklearn", "scipy", "duckdb"}),
    ],
    ids=["what starts workers", "a worker"],
)
def test_no_start_waits_for_what_serves_nobody(module: str, heavy: set[str]) -> None:
    program = HEAVY.format(module=module, heavy=heavy)
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


def test_what_a_worker_has_loaded_is_not_searched_for_garbage_again() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert float(told) > 5
