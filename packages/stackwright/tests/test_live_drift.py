"""Drift on the page of metrics: of all workers, of what somebody was given, and only where there are rows enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stackwright.workflows.live.drift import DriftCollector
from stackwright_journal.streaming import LiveCounts
from stackwright_numerics.drift import Histogram, Limits
from stackwright_serving.metrics import Metrics

RANDOM = np.random.default_rng(2)
AREA = RANDOM.normal(100, 20, 4000)
REFERENCE = {"area": Histogram.of(AREA).to_json()}


def told(page: bytes) -> dict[str, float]:
    lines = [line for line in page.decode().splitlines() if line.startswith("stackwright_input_")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_the_page_tells_rows_distances_and_states(tmp_path: Path) -> None:
    counts, metrics = LiveCounts(tmp_path, flush_seconds=60), Metrics()
    metrics.add(DriftCollector(counts, Limits()))
    assert told(metrics.page()) == {}
    counts.append("avm", 3, REFERENCE, {"area": AREA[:100] + 60}, AREA[:100])
    counts.flush()
    labels = 'model="avm",version="3"'
    few = told(metrics.page())
    assert few[f"stackwright_input_rows{{{labels}}}"] == 100
    assert not [name for name in few if "_psi" in name or "_state" in name]
    counts.append("avm", 3, REFERENCE, {"area": AREA[:900] + 60}, AREA[:900])
    counts.close()
    page = told(metrics.page())
    about = f'input="area",{labels}'
    assert page[f"stackwright_input_rows{{{labels}}}"] == 1000
    assert page[f"stackwright_input_psi{{{about}}}"] > 1
    assert page[f"stackwright_input_state{{{about}}}"] == 2
    assert page[f"stackwright_input_missing{{{about}}}"] == 0


def test_any_worker_tells_for_all_where_metrics_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift, shared = tmp_path / "drift", tmp_path / "metrics"
    shared.mkdir()
    other = LiveCounts(drift, flush_seconds=60)
    other.append("avm", 1, REFERENCE, {"area": AREA[:300]}, AREA[:300])
    other.close()
    code = f"""
from pathlib import Path
from stackwright.workflows.live.drift import DriftCollector
from stackwright_journal.streaming import LiveCounts
from stackwright_numerics.drift import Limits
from stackwright_serving.metrics import Metrics
metrics = Metrics()
counts = LiveCounts(Path({str(drift)!r}), flush_seconds=60)
metrics.add(DriftCollector(counts, Limits()))
print(metrics.page().decode())
counts.close()
"""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(shared))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    assert told(done.stdout)['stackwright_input_rows{model="avm",version="1"}'] == 300
