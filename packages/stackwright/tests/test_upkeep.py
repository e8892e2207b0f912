"""What looks after a view: quarantine, statistics, pushes, computed views, schedules."""

from __future__ import annotations

import fcntl
import io
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.notebook import NotebookStack
from stackwright.workflows.features import schedule
from stackwright.workflows.features.catalogue import find_view
from stackwright.workflows.features.push import drain
from stackwright_interfaces.errors import DataError, DefinitionError, FeatureStoreError, UsageError
from stackwright_interfaces.streams import StreamEvent
from stackwright_interfaces.testing.context import SettableClock

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MIDNIGHT = NOON.replace(hour=0)

BLUEPRINT = """
name = "visits"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }
"""

FEATURES = """
from datetime import timedelta
from stackwright import (
    FLOAT64, INT64, STRING, Aggregate, Computation, Entity, Expectation, FeatureService, FeatureView, Field, Schedule,
    Source, Window, computed,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
home = Entity(name="home", keys=(Field("home_id", INT64),))
visits = FeatureView(
    name="visits",
    entity=home,
    fields=(Field("seconds", FLOAT64), Field("page", STRING)),
    source=Source(event_time="at", rename={"id": "home_id"}, location="incoming.csv"),
    windows=(Window(name="visits_1h", aggregate=Aggregate.COUNT, length=HOUR),),
    expect=(Expectation(column="seconds", low=0, max_missing=0.5), Expectation(column="page", one_of=("a", "b"))),
    schedule=Schedule(every=HOUR, freshness=2 * HOUR, retries=1),
)


@computed(inputs=(visits,))
def totals(visits):
    found = visits.group_by("home_id").aggregate([("seconds", "sum")])
    return found.rename_columns(["home_id", "total"])


daily = FeatureView(
    name="daily", entity=home, fields=(Field("total", FLOAT64),), computed=totals, schedule=Schedule(every=DAY)
)
doubled = FeatureView(
    name="another",
    entity=home,
    fields=(Field("twice", FLOAT64),),
    computed=Computation(inputs=(daily,), sql="SELECT home_id, 2 * total AS twice FROM daily", lookback=DAY),
)
service = FeatureService(name="s", selections=(visits.select("visits_1h"), daily.select(), doubled.select()))
"""


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOON)


@pytest.fixture
def make(tmp_path: Path, clock: SettableClock) -> Iterator[Callable[..., NotebookStack]]:
    opened = []

    def open_one(*changes: tuple[str, str]) -> NotebookStack:
        features = FEATURES
        for old, new in changes:
            assert old in features
            features = features.replace(old, new)
        (tmp_path / "blueprint.toml").write_text(BLUEPRINT)
        (tmp_path / "features.py").write_text(features)
        opened.append(stackwright.load(tmp_path, clock=clock, progress=lambda *_: None))
        opened[-1].apply()
        return opened[-1]

    yield open_one
    for stack in opened:
        stack.close()


@pytest.fixture
def stack(make: Callable[..., NotebookStack]) -> NotebookStack:
    return make()


def visits(folder: Path, *rows: tuple[Any, ...], name: str = "incoming.csv") -> Path:
    """Write (id, seconds, page, hours after midnight) as a file."""
    columns = dict(zip(("id", "seconds", "page", "at"), zip(*rows, strict=True), strict=True)) if rows else {}
    columns["at"] = [MIDNIGHT + hours * HOUR for hours in columns.get("at", ())]
    table = pa.table({"id": pa.array([], pa.int64()), "seconds": pa.array([], pa.float64()), "page": [], **columns})
    pyarrow.csv.write_csv(table, folder / name)
    return folder / name


def online(stack: NotebookStack, home: int, at: datetime) -> dict[str, Any]:
    rows = stack.features.read("s@1", {"home_id": [home]}, at=at)
    return {name: values[0] for name, values in rows.columns.items()}


# --- quarantine and statistics ---


def test_rows_that_are_not_as_expected_are_set_aside_and_the_others_ingested(stack: Any, tmp_path: Path) -> None:
    done = stack.ingest("visits", visits(tmp_path, (1, 5.0, "a", 1), (1, -1.0, "a", 2), (2, 1.0, "z", 3)))
    assert (done.data["rows"], done.data["added"], done.data["set_aside"]) == (3, 1, 2)
    assert "2 rows were set aside: 1 page is none of those expected, 1 seconds is below 0.0" in done.notes[0]
    listed = stack.quarantine()
    assert listed.data["rows"] == 2
    (file,) = listed.data["files"]
    assert (file["view"], file["origin"], file["rows"]) == ("visits@1", "incoming.csv", 2)


def test_rows_set_aside_can_be_mended_and_ingested(stack: Any, tmp_path: Path) -> None:
    stack.ingest("visits", visits(tmp_path, (1, 5.0, "a", 1), (1, -1.0, "a", 2)))
    out = tmp_path / "aside.csv"
    stack.quarantine("visits", export=out)
    aside = pyarrow.csv.read_csv(out)
    assert aside.column("__reason").to_pylist() == ["seconds is below 0.0"]
    pyarrow.csv.write_csv(aside.drop_columns(["__reason"]).set_column(1, "seconds", pa.array([1.0])), out)
    assert stack.ingest("visits", out).data["added"] == 1
    stack.quarantine("visits", clear=True, yes=True)
    assert stack.quarantine().data["rows"] == 0


def test_the_same_rows_are_set_aside_once(stack: Any, tmp_path: Path) -> None:
    for _ in range(2):
        stack.ingest("visits", visits(tmp_path, (1, -1.0, "a", 2)))
    assert stack.quarantine().data["rows"] == 1


def test_letting_go_must_be_meant_and_name_a_view(stack: Any, tmp_path: Path) -> None:
    stack.ingest("visits", visits(tmp_path, (1, -1.0, "a", 2)))
    with pytest.raises(UsageError, match="Add --yes if it is meant"):
        stack.quarantine("visits", clear=True)
    with pytest.raises(UsageError, match="which view is meant is not said"):
        stack.quarantine(clear=True, yes=True)
    assert stack.quarantine().data["rows"] == 1


def test_a_deleted_entity_is_gone_from_the_quarantine(stack: Any, tmp_path: Path) -> None:
    stack.ingest("visits", visits(tmp_path, (1, -1.0, "a", 2), (2, -1.0, "a", 2)))
    done = stack.delete_entity("home", home_id="1", yes=True)
    assert done.data["quarantined"] == 1
    stack.quarantine("visits", export=tmp_path / "aside.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "aside.parquet").column("id").to_pylist() == [2]
    (left,) = stack.quarantine().data["files"]
    assert (left["view"], left["origin"], left["rows"]) == ("visits@1", "incoming.csv", 1)


class Told:
    """A stream that holds these texts."""

    def __init__(self, *texts: str) -> None:
        self._events = [StreamEvent(str(place), text) for place, text in enumerate(texts)]

    def poll(self, limit: int) -> list[StreamEvent]:
        return self._events[:limit]

    def commit(self, offset: str) -> None:
        self._events = [event for event in self._events if int(event.offset) > int(offset)]

    def close(self) -> None: ...


def test_a_deleted_entity_is_gone_from_the_events_that_could_not_be_read(stack: Any, tmp_path: Path) -> None:
    hers = ['{"id": 1, "seconds": "fast"}', '{"id": "1", "at": 5}', '{"id": 1, "secon', "home=1;page=a"]
    others = ['{"id": 11, "seconds": "fast"}', '{"id": 2, "at": 1}', '{"id": 21, "secon', '{"id": 1.5, "seco', "[]"]
    source: Any = Told(*hers, *others)
    assert drain(stack, "visits", source, find_view(stack.definitions, "visits")).data["set_aside"] == 9
    done = stack.delete_entity("home", home_id="1", yes=True)
    assert (done.data["quarantined"], done.data["unreadable"]) == (4, 3)
    assert "3 events in the quarantine cannot be read, and may be of any home" in done.notes[1]
    stack.quarantine("visits", export=tmp_path / "aside.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "aside.parquet").column("__event").to_pylist() == others
    assert stack.delete_entity("home", home_id="21", yes=True).data["quarantined"] == 1


def test_what_many_files_hold_is_exported_together_and_deleted_from_each(stack: Any, tmp_path: Path) -> None:
    many = [(number % 3, -1.0 - number, "a", 2) for number in range(70_000)]
    stack.ingest("visits", visits(tmp_path, *many))
    stack.ingest("visits", visits(tmp_path, (1, 5.0, "z", 2), (1, 6.0, "y", 2)))
    assert stack.delete_entity("home", home_id="0", yes=True).data["quarantined"] == 23_334
    out = tmp_path / "aside.parquet"
    stack.quarantine("visits", export=out)
    aside = pyarrow.parquet.read_table(out).column("seconds").to_pylist()
    assert sorted(aside) == sorted([5.0, 6.0, *(seconds for home, seconds, *_ in many if home)])
    assert stack.delete_entity("home", home_id="1", yes=True).data["quarantined"] == 23_335
    (left,) = stack.quarantine().data["files"]
    assert left["rows"] == 23_333


def test_too_many_missing_values_refuse_the_file(stack: Any, tmp_path: Path) -> None:
    path = visits(tmp_path, (1, None, "a", 1), (2, None, "a", 2), (3, 1.0, "a", 2))
    with pytest.raises(DataError, match=r"66\.7% of 'seconds' is missing, at most 50\.0% is expected"):
        stack.ingest("visits", path)
    assert stack.ingest("visits", visits(tmp_path, (3, 1.0, "a", 2))).data["added"] == 1


def test_statistics_and_changes_of_the_columns_are_told(stack: Any, tmp_path: Path) -> None:
    assert stack.statistics("visits").title == "Nothing was ingested into visits@1 yet"
    stack.ingest("visits", visits(tmp_path, (1, 5.0, "a", 1), (2, 7.0, "b", 1)))
    path = visits(tmp_path, (1, 5.0, "a", 2), (2, None, "b", 2))
    pyarrow.csv.write_csv(pyarrow.csv.read_csv(path).append_column("extra", pa.array([1, 2])), path)
    done = stack.ingest("visits", path)
    assert done.notes == ("Column 'extra' (string) is new.", "50% of 'seconds' is missing, 0% was.")
    told = stack.statistics("visits")
    assert [item["rows"] for item in told.data["ingestions"]] == [2, 2]
    assert told.data["ingestions"][0]["columns"]["seconds"]["mean"] == 6.0
    assert any("column 'extra' (string) is new" in note for note in told.notes)


# --- pushes ---


def test_a_push_is_there_at_once_on_both_paths(stack: Any, tmp_path: Path) -> None:
    event = {"id": 1, "seconds": 5.0, "page": "a", "at": NOON.isoformat(), "beside": True}
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n\n" + json.dumps({**event, "id": "2"}) + "\n")
    done = stack.push("visits", tmp_path / "events.jsonl")
    assert (done.data["added"], done.data["written"]) == (2, 2)
    assert online(stack, 1, NOON + HOUR / 2)["visits_1h"] == 1
    labels = pa.table({"home_id": [1, 2], "event_time": [NOON + HOUR / 2, NOON]})
    assert pa.table(stack.features.join("s@1", labels)).column("visits_1h").to_pylist() == [1, 0]


def test_an_event_ends_at_a_line_feed_alone(stack: Any, tmp_path: Path) -> None:
    event = {"id": 1, "seconds": 5.0, "page": "a", "at": NOON.isoformat(), "said": "one\u2028two\x85three"}
    (tmp_path / "events.jsonl").write_text(json.dumps(event, ensure_ascii=False), encoding="utf-8")
    assert stack.push("visits", tmp_path / "events.jsonl").data["added"] == 1


def test_events_may_come_by_standard_input(
    stack: Any, tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"id": 1, "seconds": "5.0", "page": None, "at": NOON.isoformat()}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(event)))
    assert run("push", "visits", "--project", tmp_path, "--json").json["added"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "event 2: Expecting property name"),
        ("[]", "event 2: it is no JSON object"),
        ('{"id": 1.5}', "event 2: id is 1.5, declared is int64"),
        ('{"id": 1, "seconds": "fast"}', "event 2: seconds is 'fast', declared is float64"),
        ('{"id": 1, "at": 5}', "event 2: at is 5, no ISO 8601 time"),
        ("[" * 100_000, "event 2: maximum recursion depth exceeded"),
    ],
    ids=["cut off", "a list", "a fraction", "a word", "a time that is none", "too deep"],
)
def test_an_event_that_cannot_be_read_is_named_and_nothing_is_added(
    stack: Any, tmp_path: Path, line: str, message: str
) -> None:
    good = json.dumps({"id": 1, "seconds": 5.0, "page": "a", "at": NOON.isoformat()})
    (tmp_path / "events.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        stack.push("visits", tmp_path / "events.jsonl")
    (tmp_path / "events.jsonl").write_text(good)
    assert stack.push("visits", tmp_path / "events.jsonl").data["added"] == 1


def test_a_file_that_is_not_there_is_named(stack: Any) -> None:
    with pytest.raises(UsageError, match="nowhere: no such file"):
        stack.push("visits", "nowhere")


# --- computed views ---


@pytest.fixture
def filled(stack: Any, tmp_path: Path) -> Any:
    """Three days of visits of two homes."""
    rows = [(home, float(home), "a", 24 * day - 60 + home) for day in range(3) for home in (1, 2)]
    stack.ingest("visits", visits(tmp_path, *rows, name="history.csv"))
    return stack


START = MIDNIGHT - 3 * DAY


def totals(stack: Any, at: datetime) -> list[Any]:
    labels = pa.table({"home_id": [1, 2], "event_time": [at] * 2})
    return list(pa.table(stack.features.join("s@1", labels)).column("total").to_pylist())


def test_a_backfill_computes_each_interval_once(filled: Any) -> None:
    done = filled.backfill("daily", START, MIDNIGHT)
    assert (done.data["intervals"], done.data["computed"], done.data["rows"]) == (3, 3, 6)
    again = filled.backfill("daily", START, MIDNIGHT)
    assert (again.data["computed"], again.data["rows"]) == (0, 0)
    assert totals(filled, START + DAY - HOUR) == [None, None]
    assert totals(filled, START + DAY) == [1.0, 2.0]


def test_an_interval_whose_inputs_changed_is_a_revision(filled: Any, tmp_path: Path) -> None:
    filled.backfill("daily", START, MIDNIGHT)
    filled.ingest("visits", visits(tmp_path, (1, 10.0, "b", -30), name="late.csv"))
    again = filled.backfill("daily", START, MIDNIGHT)
    assert (again.data["computed"], again.data["rows"]) == (3, 2)
    assert totals(filled, START + 2 * DAY) == [11.0, 2.0]
    assert totals(filled, START + DAY) == [1.0, 2.0]


def test_a_backfill_that_was_cut_off_goes_on(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compute, calls = filled.features.compute, []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compute(*arguments)

    monkeypatch.setattr(filled.features, "compute", failing)
    with pytest.raises(KeyboardInterrupt):
        filled.backfill("daily", START, MIDNIGHT)
    done = filled.backfill("daily", START, MIDNIGHT)
    assert (done.data["computed"], done.data["rows"]) == (1, 2)


def test_a_line_cut_off_by_a_crash_is_computed_again_without_a_double(filled: Any) -> None:
    filled.backfill("daily", START, MIDNIGHT)
    log = filled.project.state / "computed" / "daily@1.jsonl"
    log.write_text(log.read_text()[:-30])
    again = filled.backfill("daily", START, MIDNIGHT)
    assert (again.data["computed"], again.data["rows"]) == (1, 0)
    assert filled.backfill("daily", START, MIDNIGHT).data["computed"] == 0


def test_a_view_is_computed_by_sql_from_one_that_is_computed(filled: Any) -> None:
    filled.backfill("daily", START, MIDNIGHT)
    filled.backfill("another", START, MIDNIGHT)
    labels = pa.table({"home_id": [2], "event_time": [MIDNIGHT]})
    assert pa.table(filled.features.join("s@1", labels)).column("twice").to_pylist() == [4.0]


def test_a_view_that_is_computed_from_another_is_among_its_users(stack: Any) -> None:
    found = {item["feature"]: item["used by"] for item in stack.search("visits").data["features"]}
    assert found["visits@1:seconds"] == ["daily@1"]
    assert found["visits@1:visits_1h"] == ["s@1"]


def test_a_step_may_be_given_and_must_divide_the_span(filled: Any) -> None:
    assert filled.backfill("daily", START, START + DAY, step=6 * HOUR).data["intervals"] == 4
    with pytest.raises(UsageError, match=r"is no such span\. Give a span of whole steps"):
        filled.backfill("daily", START, START + DAY, step=7 * HOUR)
    with pytest.raises(UsageError, match="is no such span"):
        filled.backfill("daily", MIDNIGHT, START)


def test_what_is_not_computed_is_not_backfilled(stack: Any) -> None:
    with pytest.raises(DefinitionError, match=r"view 'visits@1': it is not computed"):
        stack.backfill("visits", START, MIDNIGHT)


# --- schedules ---


def states(outcome: Any) -> dict[str, str]:
    return {item["view"]: item["state"] for item in outcome.data["views"]}


def test_what_is_due_is_ingested_computed_and_brought_online_once(
    stack: Any, tmp_path: Path, clock: SettableClock
) -> None:
    visits(tmp_path, (1, 5.0, "a", 11.5), (1, 3.0, "a", -1))
    first = stack.tick()
    assert states(first) == {"visits@1": "done", "daily@1": "done"}
    assert first.ok, str(first)
    assert online(stack, 1, NOON) == {"visits_1h": 1.0, "total": 3.0, "twice": pytest.approx(float("nan"), nan_ok=True)}
    assert states(stack.tick()) == {"visits@1": "not due", "daily@1": "not due"}
    clock.now = NOON + HOUR
    visits(tmp_path, (1, 5.0, "a", 11.5), (1, 7.0, "b", 12.5))
    again = stack.tick()
    assert states(again) == {"visits@1": "done", "daily@1": "not due"}
    assert online(stack, 1, NOON + HOUR)["visits_1h"] == 1.0


def test_a_view_is_ingested_from_a_table_of_a_database(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "visits.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE visits (id INTEGER, seconds REAL, page TEXT, at TEXT)")
        database.execute("INSERT INTO visits VALUES (1, 5.0, 'a', '2026-03-14T11:30:00Z')")
    monkeypatch.setenv("VISITS_DB", f"sqlite:///{path}")
    stack = make(("incoming.csv", "env:VISITS_DB#visits"))
    assert states(stack.tick())["visits@1"] == "done"
    assert online(stack, 1, NOON)["visits_1h"] == 1.0


def test_missed_intervals_are_caught_up_in_order(stack: Any, tmp_path: Path, clock: SettableClock) -> None:
    rows = [(1, float(day), "a", 24 * day + 1) for day in range(4)]
    visits(tmp_path, (1, 0.0, "a", -1))
    stack.tick()
    clock.now = NOON + 4 * DAY
    visits(tmp_path, *rows)
    done = stack.tick()
    assert states(done)["daily@1"] == "done"
    assert [totals(stack, MIDNIGHT + day * DAY)[0] for day in range(1, 5)] == [0.0, 1.0, 2.0, 3.0]


def test_a_run_that_fails_is_tried_again_stays_due_and_tells_how_stale_the_view_is(
    stack: Any, tmp_path: Path, clock: SettableClock
) -> None:
    waited: list[float] = []
    failed = schedule.tick(stack, wait=waited.append)
    by_view = {item["view"]: item for item in failed.data["views"]}
    assert (by_view["visits@1"]["state"], by_view["visits@1"]["attempts"]) == ("failed", 2)
    assert waited == [1.0]
    assert not failed.ok
    assert by_view["visits@1"]["fresh"] is False
    assert any("no such file" in note for note in failed.notes)
    visits(tmp_path, (1, 5.0, "a", 11))
    assert states(stack.tick())["visits@1"] == "done"
    clock.now = NOON + 5 * HOUR
    (tmp_path / "incoming.csv").unlink()
    stale = schedule.tick(stack, wait=waited.append)
    assert any("visits@1 is stale" in note for note in stale.notes)


def test_whoever_comes_second_passes_over_what_another_runs(stack: Any, tmp_path: Path) -> None:
    visits(tmp_path, (1, 5.0, "a", 11))
    lock = stack.project.state / "schedule" / "visits@1.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert states(stack.tick())["visits@1"] == "busy"
    assert states(stack.tick())["visits@1"] == "done"


def test_a_view_is_computed_after_those_it_is_computed_from(make: Any, tmp_path: Path) -> None:
    stack = make(
        ('name="another",', 'name="another", schedule=Schedule(every=DAY),'),
        ('sql="SELECT home_id, 2 * total AS twice FROM daily"', 'sql="SELECT home_id, 2 * total AS twice FROM daily"'),
    )
    visits(tmp_path, (1, 5.0, "a", -1))
    assert list(states(stack.tick())) == ["visits@1", "daily@1", "another@1"]


def test_without_a_schedule_nothing_is_done(make: Any) -> None:
    stack = make(
        ("    schedule=Schedule(every=HOUR, freshness=2 * HOUR, retries=1),\n", ""),
        (", schedule=Schedule(every=DAY)", ""),
    )
    assert stack.tick().title == "No view has a schedule"


def test_a_whole_store_that_computes_nothing_says_so(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(filled.__dict__, "features", object())
    with pytest.raises(FeatureStoreError, match="it computes no views from others"):
        filled.backfill("daily", START, MIDNIGHT)
