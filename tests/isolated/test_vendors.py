"""Feast and alibi-detect as they are published, one of numpy 2 and one of numpy 1, in one blueprint."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import stackwright as stacks
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import FLOAT64, Field

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]  # an empty cache downloads for minutes

BLUEPRINT = """\
name = "both"

[feature_store]
adapter = "feast"

[monitor]
reports = [{ adapter = "alibi", isolated = true }]
"""

FEATURES = """\
from stackwright_interfaces.definitions import Entity, FeatureService, FeatureView
from stackwright_interfaces.types import FLOAT64, INT64, Field

home = Entity(name="home", keys=(Field("home_id", INT64),))
homes = FeatureView(name="homes", entity=home, fields=(Field("area", FLOAT64), Field("age", FLOAT64)))
pricing = FeatureService(name="pricing", selections=(homes.select(),))
"""

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
SIGNATURE = Signature(inputs=(Field("area", FLOAT64), Field("age", FLOAT64)), outputs=(Field("price", FLOAT64),))


def compiled(*requirements: str) -> subprocess.CompletedProcess[str]:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None
    command = [uv, "pip", "compile", "-", "--quiet", "--python", sys.executable, "--only-binary", ":all:"]
    return subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True, check=False)


def homes() -> pa.Table:
    """A thousand homes, of which the later half is larger and as old as the others."""
    random = np.random.default_rng(5)
    area = random.normal(90, 20, 1000) + np.where(np.arange(1000) < 500, 0, 30)
    at = pa.array([NOON] * 1000, pa.timestamp("us", "UTC"))
    return pa.table({"home_id": np.arange(1000), "area": area, "age": random.uniform(0, 90, 1000), "event_time": at})


def test_no_resolver_puts_both_into_one_environment() -> None:
    assert not compiled("feast>=0.67").returncode
    assert not compiled("alibi-detect>=0.12").returncode
    both = compiled("feast>=0.67", "alibi-detect>=0.12")
    assert both.returncode
    assert "feast>=0.67.0 are incompatible" in " ".join(both.stderr.split())


def test_one_blueprint_joins_with_one_and_reports_with_the_other(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "blueprint.toml").write_text(BLUEPRINT)
    (project / "features.py").write_text(FEATURES)
    asked = homes().select(["home_id"]).append_column("event_time", [[NOON + timedelta(hours=1)] * 1000])
    pyarrow.parquet.write_table(homes(), tmp_path / "homes.parquet")
    pyarrow.parquet.write_table(asked, tmp_path / "asked.parquet")
    with stacks.load(project, progress=lambda *_: None) as stack:
        stack.apply()
        stack.ingest("homes@1", tmp_path / "homes.parquet")
        stack.join("pricing@1", tmp_path / "asked.parquet", tmp_path / "joined.parquet")
        joined = pyarrow.parquet.read_table(tmp_path / "joined.parquet")
        reporter = stack.reporters()["alibi"]
        result = reporter.compare(joined.slice(0, 500), joined.slice(500), SIGNATURE, tmp_path / "report")
    assert joined["area"].to_pylist() == homes()["area"].to_pylist()
    assert result.findings == {"area": True, "age": False}
    assert ", numpy 1." in result.page.read_text()
    assert version("numpy").startswith("2.")
