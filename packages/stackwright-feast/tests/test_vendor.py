"""Importing Feast leaves the process as it was."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
before = dict(os.environ)
import stackwright_feast.store
import prometheus_client
changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
print(sorted(changed), prometheus_client.values.ValueClass.__name__)
"""
METRICS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


def environment(**changes: str) -> dict[str, str]:
    return (
        {name: value for name, value in os.environ.items() if name not in METRICS} | {"FEAST_USAGE": "False"} | changes
    )


@pytest.mark.parametrize(
    ("set_before", "kept_in"),
    [pytest.param(False, "MutexValue", marks=pytest.mark.nightly), (True, "MmapedValue")],
    ids=["numbers in memory", "numbers in the folder that the server chose"],
)
def test_metrics_of_the_process_are_kept_where_they_were(tmp_path, set_before, kept_in):
    chosen = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if set_before else {}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(**chosen),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stdout.split() == ["[]", kept_in]
