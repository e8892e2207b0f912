"""From a real server into a feature store, by the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stackwright.cli.main import main

BLUEPRINT = 'name = "homes"\n[feature_store]\noffline = { adapter = "duckdb", path = "data" }\n'

FEATURES = """
from stackwright import FLOAT64, STRING, TIMESTAMP, Entity, FeatureView, Field, Source
home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes", entity=home, source=Source(event_time="changed_at", time_zone="Europe/Berlin"),
    fields=(Field("area", FLOAT64), Field("built_at", TIMESTAMP)),
)
"""

HOMES = """
CREATE TABLE homes (home_id text, changed_at timestamptz, built_at timestamp, area double precision, place point);
INSERT INTO homes SELECT n::text, '2024-01-01T00:00Z'::timestamptz + n * interval '1 second',
    '2024-01-01 01:00', n / 3.0::double precision, point(n, n) FROM generate_series(1, 30000) n
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "blueprint.toml").write_text(BLUEPRINT)
    (tmp_path / "features.py").write_text(FEATURES)
    assert main(["apply", "--project", str(tmp_path)]) == 0
    return tmp_path


def history(project: Path) -> list[dict[str, Any]]:
    return [row for path in (project / "data" / "homes@1").glob("*.parquet") for row in pq.read_table(path).to_pylist()]


def test_a_table_becomes_rows_of_a_view(
    project: Path, server: Any, sql: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(HOMES)
    monkeypatch.setenv("HOMES_DB", server.url())
    assert main(["ingest", "homes", "env:HOMES_DB", "--table", "homes", "--project", str(project)]) == 0
    rows = history(project)
    assert len(rows) == 30_000
    (first,) = [row for row in rows if row["home_id"] == "1"]
    assert first["area"] == 1 / 3
    assert first["built_at"].isoformat() == "2024-01-01T00:00:00+00:00"  # an hour past midnight in Berlin
    assert first["__event"].isoformat() == "2024-01-01T00:00:01+00:00"


def test_rows_that_break_off_leave_nothing_behind(
    project: Path, server: Any, sql: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    sql(HOMES)
    query = "SELECT home_id, changed_at, built_at, 1 / (25000 - home_id::int) AS area FROM homes ORDER BY 2"
    assert main(["ingest", "homes", server.url(), "--query", query, "--project", str(project)]) == 1
    told = capsys.readouterr().err
    assert "division by zero" in told
    assert told.count("\n") == 1
    assert history(project) == []
