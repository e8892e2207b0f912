"""Predictions of a job in the journal: each once, as live ones are, so that they are traced, joined and judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.batch import score
from stackwright_numerics.metrics import mdape

AT = datetime(2024, 8, 1, tzinfo=UTC)
KEYS = [f"{home:04}" for home in range(60)]
"""Homes that were sold long before."""


@pytest.fixture
def stack(work: Path) -> Iterator[Any]:
    """A project that has history alone."""
    text = (work / "blueprint.toml").read_text()
    (work / "blueprint.toml").write_text(
        text.replace('online = { adapter = "sqlite", path = "data/online.db" }', "").replace(
            '[server]\nadapter = "uvicorn"', ""
        )
    )
    with stackwright.load(work, progress=lambda *_: None) as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keys of homes that make three parts."""
    monkeypatch.setattr("stackwright.workflows.batch.parts.PART_ROWS", 20)
    path = tmp_path / "homes.parquet"
    pyarrow.parquet.write_table(pa.table({"home_id": KEYS, "rooms": [3] * 60}), path, row_group_size=20)
    return path


def records(stack: Any) -> list[dict[str, Any]]:
    reader = journal.predictions(stack)
    try:
        return list(reader.records())
    finally:
        reader.close()


def test_each_row_is_there_once_with_what_the_model_read(stack: Any, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    stack.score(source, out, at=AT, journal=True)
    rows = pyarrow.parquet.read_table(out).to_pylist()
    found = {record["prediction_id"]: record for record in records(stack)}
    assert len(found) == len(records(stack)) == len(rows) == 60
    for row in rows:
        record = found[row["prediction_id"]]
        assert record["keys"] == {"home_id": row["home_id"]}
        assert record["request"] == {"rooms": 3}
        assert (record["prediction"], record["lower"]) == (row["prediction"], row["lower"])
        assert record["asked_at"] == "2024-08-01T00:00:00.000000Z"
        assert record["arm"] == "batch"
        assert record["features"]["area"] > 0
        assert set(record["watermarks"]) == {"homes@1", "visits@1"}


def test_without_it_nothing_enters_the_journal(stack: Any, source: Path, tmp_path: Path) -> None:
    stack.score(source, tmp_path / "out.parquet", at=AT)
    assert "prediction_id" not in pyarrow.parquet.read_schema(tmp_path / "out.parquet").names
    assert records(stack) == []


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_a_run_that_ends_between_output_and_journal_is_taken_up_and_enters_each_row_once(
    stack: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def ends(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(score, "enter", ends)
        with pytest.raises(KeyboardInterrupt):
            stack.score(source, tmp_path / out, journal=True)
    ids = set(pyarrow.parquet.read_table(tmp_path / out)["prediction_id"].to_pylist())
    assert records(stack) == []
    stack.score(source, tmp_path / out, journal=True)
    assert {record["prediction_id"] for record in records(stack)} == ids
    assert len(records(stack)) == 60


def test_an_output_that_is_refused_leaves_no_prediction(stack: Any, source: Path, tmp_path: Path) -> None:
    with (stack.project.blueprint).open("a") as stream:
        stream.write("\n[models.valuation.output]\nmin_rows = 1000\n")
    with stackwright.load(stack.project.folder, progress=lambda *_: None) as other:
        assert not other.score(source, tmp_path / "out.parquet", journal=True).ok
        assert records(other) == []


def test_rows_that_came_since_the_run_began_are_not_read_by_the_parts_that_are_left(
    stack: Any, source: Path, tmp_path: Path, market: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(_what: str, done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stack, "progress", ends)
        with pytest.raises(KeyboardInterrupt):
            stack.score(source, tmp_path / "out.parquet", journal=True, at=AT)
    changed = [AT - timedelta(hours=1)] * 60
    newer = {"home_id": KEYS, "changed_at": changed, "area": [9999.0] * 60, "kind": ["flat"] * 60}
    pyarrow.csv.write_csv(pa.table(newer), tmp_path / "newer.csv")
    stack.ingest("homes", tmp_path / "newer.csv")
    stack.score(source, tmp_path / "out.parquet", journal=True, at=AT)
    assert max(record["features"]["area"] for record in records(stack)) < 9999
    stack.score(source, tmp_path / "again.parquet", journal=True, at=AT)
    assert max(record["features"]["area"] for record in records(stack)) == 9999


def test_a_row_leads_back_to_the_files_and_its_truth_finds_it(
    stack: Any, source: Path, tmp_path: Path, market: Any
) -> None:
    asked = datetime(2024, 5, 1, tzinfo=UTC)
    stack.score(source, tmp_path / "out.parquet", at=asked, journal=True)
    row = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]
    traced = stack.trace(row["prediction_id"])
    assert traced.ok
    assert {Path(item["source"]).name for item in traced.data["sources"]} == {"homes.csv", "visits.parquet"}
    sales = {
        "home_id": KEYS,
        "asked_at": [asked] * 60,
        "sold_at": [asked + timedelta(days=30)] * 60,
        "known_at": [asked + timedelta(days=40)] * 60,
        "rooms": [3] * 60,
        "price": [float(200_000 + 1000 * number) for number in range(60)],
    }
    pyarrow.parquet.write_table(pa.table(sales), tmp_path / "sales.parquet")
    stack.label(tmp_path / "sales.parquet")
    numbers = stack.report(start=asked).data["numbers"]
    (group,) = json.loads(Path(numbers).read_text())["performance"]["groups"]
    assert (group["arm"], group["n"]) == ("batch", 60)
    answers = pyarrow.parquet.read_table(tmp_path / "out.parquet")["prediction"].to_pylist()
    assert group["judged"]["mdape"]["value"] == pytest.approx(mdape(sales["price"], answers))
