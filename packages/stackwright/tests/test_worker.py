"""A worker of a server, before its first request."""

from __future__ import annotations

import subprocess
import sys

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


def test_what_a_worker_has_loaded_is_not_searched_for_garbage_again() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert float(told) > 5
