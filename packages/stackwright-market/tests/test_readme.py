"""The page says what is true."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stackwright_market.options import MarketOptions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def rows_after(heading: str) -> list[list[str]]:
    """Cells of the table that follows a heading row."""
    lines = README.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(heading)) + 2
    table = lines[start : next(place for place in range(start, len(lines)) if not lines[place].startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_option_is_there_with_its_default() -> None:
    said = {row[0].strip("`"): row[1] for row in rows_after("| option |")}
    assert said == {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in asdict(MarketOptions()).items()
    }


@pytest.mark.parametrize("blueprint", ["market", "months", "clicks"])
def test_every_table_is_there_with_its_columns(blueprint: str, request: pytest.FixtureRequest) -> None:
    made: Any = request.getfixturevalue(blueprint)
    said = {name: row[1] for row in rows_after("| table |") for name in re.findall(r"`([\w/]+)`", row[0])}
    for path in made.folder.rglob("*.parquet"):
        name = path.relative_to(made.folder).with_suffix("").as_posix()
        columns = pq.read_schema(path).names
        assert name in said
        if name != "requests" and not name.endswith("labels_days_to_sale"):
            assert columns == said[name].removesuffix(" (recommender)").split(", ")


def test_every_fact_of_the_truth_is_explained(market: Any) -> None:
    section = README.partition("## What is known to be true")[2].partition("## Limits")[0]
    assert set(market.truth) <= set(re.findall(r"`(\w+)`", section))


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    exec(compile(example[1], "README.md", "exec"), {})
    assert "'district': 'harbour'" in capsys.readouterr().out
