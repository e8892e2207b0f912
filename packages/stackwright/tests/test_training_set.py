"""Training sets as files: whole, typed, pinned in time, and the same again."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackwright.workflows.datasets.training_set import fingerprint


@pytest.fixture
def project_(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "project"))


@pytest.fixture
def build(project_: Path, market: Any, run: Any) -> Any:
    """Builds a training set of the sales, and gives what is said and the table."""

    def build(name: str = "set.parquet", *more: str) -> tuple[dict[str, Any], pa.Table]:
        out = project_ / name
        line = ("training-set", "valuation@1", market.sales, out, "--time", "asked_at", *more)
        ran = run(*line, "--project", project_, "--json")
        assert ran.code == 0, ran
        return ran.json, pyarrow.parquet.read_table(out)

    return build


def test_label_rows_stay_whole_and_features_come_behind(build: Any, market: Any) -> None:
    said, table = build()
    assert table.column_names[:6] == ["home_id", "asked_at", "sold_at", "known_at", "rooms", "price"]
    assert set(table.column_names[6:]) == {"area", "kind", "visits_30d", "room_size"}
    assert table.num_rows == said["rows"] == 300
    assert table["home_id"].to_pylist() == [f"{number:04}" for number in range(300)]


def test_the_file_says_what_it_is(build: Any) -> None:
    said, table = build()
    record = json.loads(table.schema.metadata[b"stackwright"])
    assert record["service"] == "valuation@1"
    assert record["fingerprint"] == said["fingerprint"] == fingerprint(table)
    assert datetime.fromisoformat(record["as_of"]).tzinfo is not None


def test_it_is_built_again_identically_after_more_was_ingested(
    build: Any, project_: Path, run: Any, market: Any
) -> None:
    before, table = build()
    late = {
        "home_id": ["0001"],
        "changed_at": [datetime(2024, 1, 1, 12, tzinfo=UTC)],
        "area": [999.0],
        "kind": ["flat"],
    }
    pyarrow.parquet.write_table(pa.table(late), project_ / "late.parquet")
    assert run("ingest", "homes", project_ / "late.parquet", "--project", project_).code == 0
    after, other = build("now.parquet")
    assert after["fingerprint"] != before["fingerprint"]
    assert other["area"][1].as_py() == 999.0
    again, same = build("again.parquet", "--as-of", before["as_of"])
    assert again["fingerprint"] == before["fingerprint"]
    assert same.equals(table)


def test_rows_that_were_not_created_yet_can_be_passed_over(build: Any) -> None:
    _, table = build("known.parquet", "--known-by")
    assert table.num_rows == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": "set.csv"}, "is no Parquet file. Give a file that ends in .parquet"),
        ({"service": "valuatio@1"}, "Did you mean 'valuation@1'"),
        ({"time": "asked"}, "'asked'"),
        ({"labels": "none.csv"}, "no such file"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    project_: Path, market: Any, run: Any, change: dict[str, str], message: str
) -> None:
    given = {"service": "valuation@1", "labels": market.sales, "out": "set.parquet", "time": "asked_at", **change}
    out = project_ / given["out"]
    ran = run("training-set", given["service"], given["labels"], out, "--time", given["time"], "--project", project_)
    assert ran.code in (1, 2)
    assert message in ran.err
    assert not out.exists()


def test_a_fingerprint_sees_every_value_name_and_order() -> None:
    table = pa.table({"a": [1.0, None, 3.0], "b": ["x", "y", None], "c": [1, 2, 3], "d": [True, None, False]})
    others = [
        table.rename_columns(["a", "b", "c", "e"]),
        table.take([1, 0, 2]),
        table.set_column(0, "a", pa.array([1.0, 0.0, 3.0])),
        table.set_column(1, "b", pa.array(["x", "y", "None"])),
        table.set_column(2, "c", pa.array([1.0, 2.0, 3.0])),
        table.slice(0, 2),
    ]
    assert len({fingerprint(item) for item in (table, *others)}) == 7


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1), st.integers(0, 5))
def test_a_fingerprint_is_of_values_not_of_their_layout(values: list[float | None], cut: int) -> None:
    whole = pa.table({"a": pa.array(values, pa.float64())})
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    mask = pa.array([value is not None for value in values]).buffers()[1]
    under = pa.array([0.5 if value is None else value for value in values]).buffers()[1]
    hidden = pa.table({"a": pa.Array.from_buffers(pa.float64(), len(values), [mask, under])})
    assert fingerprint(whole) == fingerprint(parts) == fingerprint(hidden)


def test_times_count_to_the_microsecond() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    times = [pa.table({"t": [moment + timedelta(microseconds=step)]}) for step in range(2)]
    assert fingerprint(times[0]) != fingerprint(times[1])
    assert np.asarray(times[0]["t"])[0] != np.asarray(times[1]["t"])[0]
