"""Parity: what was answered live comes out again from history as it was known then; what does not is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.live.scoring import scorer
from stackwright.workflows.live.worker import JournalSink
from stackwright_interfaces.errors import MonitorError
from stackwright_journal.lines import ReadCounts, records_of
from stackwright_journal.predictions import PredictionLog
from stackwright_serving.sink import Answered

NOW = datetime(2024, 12, 26, tzinfo=UTC)
HOMES = [f"{number:04}" for number in range(0, 300, 2)]

Ask = Callable[..., None]


@pytest.fixture
def stack(served: Path, tmp_path: Path) -> Iterator[Any]:
    folder = Path(shutil.copytree(served, tmp_path / "project"))
    with stackwright.load(folder, progress=lambda *_: None, clock=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def ask(stack: Any) -> Ask:
    """Answer for homes by the live path, as a server does, a request for each."""

    def ask(
        homes: list[str], at: datetime = NOW, arm: str = "live", change: Callable[[Any], Any] = lambda row: row
    ) -> None:
        live = scorer(stack)
        with PredictionLog(journal.segments(stack)) as log:
            for place, home in enumerate(homes):
                scored = live.by_keys({"home_id": [home]}, {"rooms": [3]}, at=at)
                answered = Answered(
                    ids=[f"{arm}-{place}-{home}"],
                    model=live.model,
                    scored=change(scored),
                    keys={"home_id": [home]},
                    request={"rooms": [3]},
                    asked=at,
                    predicted=at,
                    request_ids=["r"],
                    blueprint="b",
                    arm=arm,
                )
                assert JournalSink(log).append(answered)

    return ask


def write(folder: Path, name: str, **columns: Any) -> Path:
    pyarrow.csv.write_csv(pa.table(columns), folder / name)
    return folder / name


def test_answers_come_out_again_though_the_store_has_learned_since(stack: Any, ask: Ask, tmp_path: Path) -> None:
    ask(HOMES[:60])
    late = [NOW - timedelta(days=3)] * 2
    stack.ingest(
        "homes",
        write(tmp_path, "more.csv", home_id=HOMES[:2], changed_at=late, area=[500.0, 600.0], kind=["flat", "flat"]),
    )
    stack.ingest("visits", write(tmp_path, "visits.csv", home_id=HOMES[:2], visited_at=late, minutes=[1.0, 1.0]))
    ask(HOMES[60:80])
    stack.materialize()
    ask(HOMES[:5], at=NOW + timedelta(hours=1))
    found = stack.parity()
    assert found.ok, str(found)
    assert found.data["rows"] == 85
    assert found.data["features"] == {}
    assert found.data["difference"] <= 1e-9
    assert found.title == "85 live answers of valuation equal those of the offline path"


def test_what_was_served_otherwise_is_told_by_feature_with_examples(stack: Any, ask: Ask) -> None:
    ask(HOMES[:40])
    tamper(stack, lambda record: record["features"].__setitem__("area", record["features"]["area"] + 1), every=4)
    found = stack.parity()
    assert not found.ok
    assert found.data["features"] == {"area": 10}
    assert found.data["predictions"] == 0
    example = found.data["examples"][0]
    assert example["feature"] == "area"
    assert example["live"] == pytest.approx(example["offline"] + 1)
    assert found.title == "10 of 40 live answers of valuation are other offline"


def test_an_answer_that_is_another_is_told_beyond_the_tolerance_alone(stack: Any, ask: Ask) -> None:
    ask(HOMES[:10])
    tamper(stack, lambda record: record.__setitem__("prediction", record["prediction"] * 1.0001), every=2)
    assert stack.parity().data["predictions"] == 5
    assert stack.parity(tolerance=1e-3).ok


def test_missing_on_one_side_alone_is_a_difference_and_on_both_is_none(stack: Any, ask: Ask) -> None:
    ask([*HOMES[:10], "nobody"])
    assert stack.parity().ok
    tamper(stack, lambda record: record["features"].__setitem__("kind", None), every=1)
    assert stack.parity().data["features"] == {"kind": 10}


def test_what_cannot_be_made_again_is_passed_over_with_the_reason(stack: Any, ask: Ask) -> None:
    ask(HOMES[:5])
    ask(HOMES[:3], arm="shadow")
    tamper(stack, lambda record: record.update(watermarks={}), every=5)
    found = stack.parity()
    assert found.data["rows"] == 4
    assert (
        found.data["passed_over"] == {"answered without the store": 2, "no live answer": 2} or found.data["passed_over"]
    )
    assert any("passed over: no live answer" in note for note in found.notes)


def test_a_window_without_such_answers_is_an_error(stack: Any, ask: Ask) -> None:
    ask(HOMES[:2])
    with pytest.raises(MonitorError, match=r"no answer can be made again \(none is logged\)"):
        stack.parity(end=NOW)
    assert stack.parity(start=NOW).ok


def test_few_of_many_answers_are_spread_over_the_window(stack: Any, ask: Ask) -> None:
    ask(HOMES)
    found = stack.parity(rows=20)
    assert found.data["rows"] == 20
    assert found.ok


def test_the_verb_tells_it_and_its_exit_code_says_whether(stack: Any, ask: Ask, run: Any) -> None:
    ask(HOMES[:5])
    folder = stack.project.folder
    assert run("parity", "--project", folder, "--json").json["rows"] == 5
    tamper(stack, lambda record: record["features"].__setitem__("area", 1.0), every=1)
    found = run("parity", "valuation", "--rows", "3", "--project", folder)
    assert found.code == 1
    assert "area" in found.out


def tamper(stack: Any, change: Callable[[dict[str, Any]], Any], *, every: int) -> None:
    """Change every so manyeth record of the log."""
    number = 0
    for path in sorted((stack.project.folder / "journal").glob("predictions/*/*.jsonl")):
        records = list(records_of(path.read_bytes(), ReadCounts()))
        for record in records:
            if number % every == 0:
                change(record)
            number += 1
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
