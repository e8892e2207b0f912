"""Scoring whole tables: part by part, resumed, checked before anyone sees it; to files, folders, buckets, databases."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.locking import held
from stackwright.assembly.output_part import OutputPart
from stackwright.workflows.batch.checks import checks_of
from stackwright.workflows.batch.work import Done
from stackwright.workflows.live.scoring import scorer
from stackwright_interfaces.errors import DataError, MissingColumn, UsageError
from stackwright_numerics.drift import Histogram
from stackwright_sql.target import SqlTableTarget

AT = datetime(2024, 10, 28, tzinfo=UTC)
ROWS = 120


@pytest.fixture
def stack(work: Path) -> Iterator[Any]:
    with stackwright.load(work, progress=lambda *_: None) as opened:
        yield opened


def ready(rows: int = ROWS, seed: int = 1) -> dict[str, Any]:
    """Rows that bring their features."""
    random = np.random.default_rng(seed)
    return {
        "number": np.arange(rows) + 1000 * seed,
        "area": random.uniform(30, 200, rows).round(1),
        "kind": random.choice(["flat", "house"], rows),
        "visits_30d": random.integers(0, 5, rows),
        "rooms": random.integers(1, 6, rows),
    }


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose rows make six parts."""
    monkeypatch.setattr("stackwright.workflows.batch.parts.PART_ROWS", 20)
    pyarrow.parquet.write_table(pa.table(ready()), tmp_path / "in.parquet", row_group_size=10)
    return tmp_path / "in.parquet"


@pytest.fixture
def expected(stack: Any) -> list[float]:
    table = ready()
    area, rooms = table["area"], table["rooms"].astype(float)
    columns = {
        "area": area,
        "kind": table["kind"].astype(object),
        "visits_30d": table["visits_30d"].astype(float),
        "rooms": rooms,
        "room_size": area / np.maximum(rooms, 1),
    }
    found: list[float] = scorer(stack).model.predict(columns).value.tolist()
    return found


def read(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = pyarrow.parquet.read_table(path).to_pydict()
    return found


def parts_done(stack: Any) -> list[Path]:
    return sorted((stack.project.state / "score").rglob("done/*.json"))


def nothing_is_left(stack: Any) -> bool:
    return not [path for path in (stack.project.state / "score").rglob("*") if path.suffix not in ("", ".lock")]


def test_parts_together_are_the_whole(stack: Any, source: Path, tmp_path: Path, expected: list[float]) -> None:
    outcome = stack.score(source, tmp_path / "out.parquet", at=AT)
    found = read(tmp_path / "out.parquet")
    assert found["prediction"] == expected
    assert found["number"] == ready()["number"].tolist()
    assert list(found) == ["number", "area", "kind", "visits_30d", "rooms", "prediction", "lower", "upper"]
    assert outcome.data["mean"] == pytest.approx(np.mean(expected))
    assert (outcome.data["low"], outcome.data["high"]) == (min(expected), max(expected))
    assert nothing_is_left(stack)


def test_na_is_missing_where_a_number_is_wanted_and_a_text_where_a_text_is(stack: Any, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("number,area,kind,visits_30d,rooms\nNA,NA,NA,1,2\n2,,NA,1,2\n")
    stack.score(tmp_path / "in.csv", tmp_path / "out.parquet", keep=["number", "kind"])
    found = read(tmp_path / "out.parquet")
    assert (found["number"], found["kind"]) == (["NA", "2"], ["NA", "NA"])
    assert found["prediction"][0] == found["prediction"][1]


@pytest.mark.parametrize("suffix", ["csv", "arrow"])
def test_other_files_are_read_and_written_too(
    stack: Any, source: Path, tmp_path: Path, expected: list[float], suffix: str
) -> None:
    stack.score(source, tmp_path / f"out.{suffix}", keep=["number"])
    table = (
        pyarrow.csv.read_csv(tmp_path / "out.csv")
        if suffix == "csv"
        else pa.ipc.open_file(str(tmp_path / "out.arrow")).read_all()
    )
    assert table.column_names == ["number", "prediction", "lower", "upper"]
    assert table["prediction"].to_pylist() == expected
    rows = pyarrow.parquet.read_table(source)
    if suffix == "csv":
        pyarrow.csv.write_csv(rows, tmp_path / "in.csv")
    else:
        with pa.ipc.new_file(str(tmp_path / "in.arrow"), rows.schema) as writer:
            writer.write_table(rows)
    stack.score(tmp_path / f"in.{suffix}", tmp_path / "again.parquet")
    assert read(tmp_path / "again.parquet")["prediction"] == expected


def test_a_folder_is_cut_by_columns_and_whole_when_it_says_so(
    stack: Any, source: Path, tmp_path: Path, expected: list[float]
) -> None:
    out = tmp_path / "out"
    stack.score(source, out, by=["kind"], keep=["number"])
    success = json.loads((out / "_SUCCESS").read_text())
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.parquet"))
    assert success["files"] == files
    assert success["answered"] == ROWS
    assert {name.split("/")[0] for name in files} == {"kind=flat", "kind=house"}
    table = pyarrow.parquet.read_table(out).sort_by("number")
    assert table["prediction"].to_pylist() == expected
    assert table["kind"].to_pylist() == ready()["kind"].tolist()
    stack.score(source, out)
    assert not list(out.glob("kind=*/*.parquet"))
    assert len(json.loads((out / "_SUCCESS").read_text())["files"]) == 6
    assert sorted(path.name for path in out.iterdir() if path.is_file() or path.name == "_scoring") == [
        "_SUCCESS",
        *[f"part-{number:05}.parquet" for number in range(6)],
    ]


def test_folders_that_name_values_give_columns(stack: Any, tmp_path: Path, expected: list[float]) -> None:
    table = pa.table(ready())
    for kind in ("flat", "house"):
        folder = tmp_path / "in" / f"kind={kind}"
        folder.mkdir(parents=True)
        mine = table.filter(pa.compute.equal(table["kind"], kind)).drop_columns(["kind"])
        pyarrow.parquet.write_table(mine, folder / "rows.parquet")
    stack.score(tmp_path / "in", tmp_path / "out.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet").sort_by("number")
    assert found["prediction"].to_pylist() == expected


KILLED = """
import os, sys
from pathlib import Path
import stackwright
from stackwright.workflows.batch import parts, work

parts.PART_ROWS, calls = 20, [0]
owner, name, most = (work, "write_json", 3) if sys.argv[3] == "part" else (Path, "replace", int(sys.argv[3]))
original = getattr(owner, name)

def counted(*given, **named):
    calls[0] += 1
    if calls[0] == most:
        os._exit(9)
    return original(*given, **named)

setattr(owner, name, counted)
with stackwright.load(sys.argv[1], progress=lambda *_: None) as stack:
    stack.score(sys.argv[2], sys.argv[4])
"""


def killed(stack: Any, source: Path, out: Path, where: str) -> None:
    command = [sys.executable, "-c", KILLED, str(stack.project.folder), str(source), where, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


def test_a_run_that_is_killed_is_taken_up_at_its_instant_with_every_row_once(
    stack: Any, source: Path, tmp_path: Path, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.parquet").write_text("old")
    killed(stack, source, tmp_path / "out.parquet", "part")
    assert (tmp_path / "out.parquet").read_text() == "old"
    before = parts_done(stack)
    assert 1 <= len(before) < 6
    written = {path: path.stat().st_mtime_ns for path in before}
    (job,) = (stack.project.state / "score").rglob("job.json")
    began = json.loads(job.read_text())["at"]
    seen: list[Any] = []
    monkeypatch.setattr(
        stack, "progress", lambda *call: seen.append((*call, {p: p.stat().st_mtime_ns for p in before}))
    )
    outcome = stack.score(source, tmp_path / "out.parquet")
    assert seen[0][:3] == ("score", 20 * len(before), ROWS)
    assert seen[0][3] == written
    assert outcome.data["at"] == began
    assert read(tmp_path / "out.parquet")["prediction"] == expected
    assert nothing_is_left(stack)


@pytest.mark.parametrize("step", [2, 9, 11, 13, 16])
def test_a_folder_that_is_killed_while_its_files_get_their_places_is_whole_after_the_next_run(
    stack: Any, source: Path, tmp_path: Path, expected: list[float], step: int
) -> None:
    out = tmp_path / "out"
    stack.score(source, out, by=["kind"])
    killed(stack, source, out, str(step))
    stack.score(source, out)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.parquet"))
    assert files == json.loads((out / "_SUCCESS").read_text())["files"] == [f"part-0000{n}.parquet" for n in range(6)]
    assert pyarrow.parquet.read_table(out).sort_by("number")["prediction"].to_pylist() == expected
    assert nothing_is_left(stack)


def test_a_run_may_be_started_over(stack: Any, source: Path, tmp_path: Path) -> None:
    killed(stack, source, tmp_path / "out.parquet", "part")
    (job,) = (stack.project.state / "score").rglob("job.json")
    began = json.loads(job.read_text())["at"]
    assert stack.score(source, tmp_path / "out.parquet", restart=True).data["at"] != began


def test_what_was_begun_with_other_rows_is_not_taken_up(
    stack: Any, source: Path, tmp_path: Path, expected: list[float]
) -> None:
    killed(stack, source, tmp_path / "out.parquet", "part")
    table = pa.table(ready()).slice(0, 60)
    pyarrow.parquet.write_table(table, source, row_group_size=10)
    stack.score(source, tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet")["prediction"] == expected[:60]
    assert nothing_is_left(stack)


def test_rows_that_cannot_be_scored_are_set_aside_with_their_reasons(
    stack: Any, tmp_path: Path, expected: list[float]
) -> None:
    pyarrow.csv.write_csv(pa.table(ready()), tmp_path / "in.csv")
    lines = (tmp_path / "in.csv").read_text().splitlines()
    for row in (5, 77):
        lines[1 + row] = ",".join([*lines[1 + row].split(",")[:4], "three"])
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    outcome = stack.score(tmp_path / "in.csv", tmp_path / "out.parquet")
    kept = [row for row in range(ROWS) if row not in (5, 77)]
    assert read(tmp_path / "out.parquet")["prediction"] == [expected[row] for row in kept]
    assert (outcome.data["rows"], outcome.data["answered"], outcome.data["rejected"]) == (ROWS, ROWS - 2, 2)
    aside = read(Path(outcome.data["rejected_file"]))
    assert aside["number"] == [str(1000 + row) for row in (5, 77)]
    assert aside["rooms"] == ["three", "three"]
    assert all("rooms" in reason and "'three'" in reason for reason in aside["rejected_because"])
    assert str(outcome.data["rejected_file"]) in outcome.notes[-1]


def test_more_rows_than_may_be_set_aside_stop_the_run_and_leave_the_old_output(
    stack: Any, tmp_path: Path, expected: list[float]
) -> None:
    pyarrow.csv.write_csv(pa.table(ready()), tmp_path / "in.csv")
    text = (tmp_path / "in.csv").read_text()
    (tmp_path / "in.csv").write_text(text.replace('"flat"', "flat").replace("1000,", "1000,x"))
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(DataError, match=r"more than 0 rows cannot be scored; the first: .*area"):
        stack.score(tmp_path / "in.csv", tmp_path / "out.csv", max_rejected=0)
    assert (tmp_path / "out.csv").read_text() == "old"
    stack.score(tmp_path / "in.csv", tmp_path / "out.parquet", max_rejected=0.5)
    assert read(tmp_path / "out.parquet")["prediction"] == expected[1:]


@pytest.mark.parametrize(
    ("limit", "red"),
    [("range = [0, 10]", "range"), ("min_rows = 3000", "rows")],
)
def test_an_output_that_is_not_as_it_must_be_is_seen_by_nobody(
    work: Path, source: Path, tmp_path: Path, run: Any, limit: str, red: str
) -> None:
    with_output(work, limit)
    pyarrow.parquet.write_table(pa.table(ready(2000)), source)
    ran = run("score", source, tmp_path / "out.parquet", "--project", work)
    assert ran.code == 1
    assert f"The output is not as it must be ({red})" in ran.out
    assert not (tmp_path / "out.parquet").exists()
    with_output(work, "min_rows = 1")
    assert run("score", source, tmp_path / "out.parquet", "--project", work).code == 0
    assert len(read(tmp_path / "out.parquet")["prediction"]) == 2000


def test_predictions_that_drifted_from_those_of_training_are_found() -> None:
    random = np.random.default_rng(3)
    reference = Histogram.of(random.normal(100, 10, 1000))
    part = OutputPart(max_drift=0.25)
    for mean, ok in ((100, True), (130, False)):
        counts = reference.count(random.normal(mean, 10, 1000)).to_json()
        found = checks_of(part, Done(rows=1000, answered=1000, counts=counts), 1000, reference)
        red = [check.name for check in found if not check.ok]
        assert red == ([] if ok else ["drift"])


def test_features_that_too_many_rows_lack_are_found() -> None:
    part = OutputPart(max_incomplete=0.1)
    for incomplete, ok in ((10, True), (11, False)):
        found = checks_of(part, Done(rows=100, answered=100, incomplete=incomplete), 100, None)
        assert [check.ok for check in found if check.name == "incomplete"] == [ok]


def with_output(project: Path, line: str) -> None:
    text = (project / "blueprint.toml").read_text()
    head = text.partition("\n[models.valuation.output]")[0]
    (project / "blueprint.toml").write_text(f"{head}\n[models.valuation.output]\n{line}\n")


def test_what_is_wrong_with_the_limits_is_told(work: Path) -> None:
    with_output(work, "range = [3, 1]\nmax_reject = 1\nmin_rows = -1")
    with stackwright.load(work) as stack, pytest.raises(BlueprintProblems) as caught:
        _ = stack.blueprint
    assert "output: range is [3, 1], which holds nothing" in str(caught.value)
    assert "unknown key 'max_reject'. Did you mean 'max_rejected'?" in str(caught.value)
    assert "min_rows" in str(caught.value)


def test_a_damaged_file_among_many_is_named_and_what_is_done_stays_done(
    stack: Any, tmp_path: Path, expected: list[float]
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        pyarrow.parquet.write_table(pa.table(ready()), tmp_path / "in" / f"{number}.parquet", write_page_checksum=True)
    damaged = tmp_path / "in" / "2.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    with pytest.raises(DataError, match=r"2\.parquet: cannot be read .* what is done stays done"):
        stack.score(tmp_path / "in", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    assert parts_done(stack)
    damaged.write_bytes(whole)
    stack.score(tmp_path / "in", tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet")["prediction"] == expected * 4


def test_a_column_that_changes_its_type_in_the_middle_of_a_folder_is_told_before_anything_runs(
    stack: Any, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    table = ready()
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "in" / "1.parquet")
    table["area"] = np.array([f"{area} m" for area in table["area"]])
    pyarrow.parquet.write_table(pa.table(table), tmp_path / "in" / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet: its columns do not go with those of .*1\.parquet"):
        stack.score(tmp_path / "in", tmp_path / "out.parquet")
    assert not parts_done(stack)


def test_two_runs_with_one_output_do_not_meet(stack: Any, source: Path, tmp_path: Path) -> None:
    stack.score(source, tmp_path / "out.parquet")
    (lock,) = (stack.project.state / "score").glob("*.lock")
    with held(lock), pytest.raises(UsageError, match="another run writes there"):
        stack.score(source, tmp_path / "out.parquet")


@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("out.xlsx", {}, "suffix '.xlsx' is not known"),
        ("out.csv", {"by": ["kind"]}, "--by: the output is no folder"),
        ("out", {"by": ["kid"]}, "--by: no column named 'kid'"),
        ("out", {"keep": ["kid"]}, "--keep: no column named 'kid'"),
        ("out", {"into": "t"}, "--into: the output is no database"),
        ("out", {"table": "t"}, "--table: the source is a file, no database"),
        ("out", {"max_rejected": 2}, "--max-rejected: 2 is no share"),
        ("sqlite:///a.db", {}, "which table to write is not said"),
    ],
)
def test_what_cannot_be_written_is_told_first(
    stack: Any, source: Path, tmp_path: Path, out: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        stack.score(source, out if "://" in out else tmp_path / out, **options)
    assert told in str(caught.value)
    assert not parts_done(stack)


def test_rows_without_keys_or_inputs_are_told(stack: Any, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"area": [1.0]}), tmp_path / "in.parquet")
    with pytest.raises(MissingColumn, match="is missing"):
        stack.score(tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_a_bucket_takes_parts_or_an_object_and_gives_rows(
    stack: Any, source: Path, tmp_path: Path, expected: list[float], s3: Callable[[], str]
) -> None:
    url, query = s3().split("?")
    stack.score(source, f"{url}/scored?{query}", keep=["number"])
    storage = stack.context.storage(f"{url}/scored?{query}")
    assert list(storage.list()) == ["_SUCCESS", *[f"part-{number:05}.parquet" for number in range(6)]]
    first = pyarrow.parquet.read_table(pa.BufferReader(storage.get("part-00000.parquet").data))
    assert first["prediction"].to_pylist() == expected[:20]
    stack.score(source, f"{url}/scored?{query}", keep=["number"], by=["kind"])
    names = list(storage.list())
    assert json.loads(storage.get("_SUCCESS").data)["files"] == [name for name in names if name != "_SUCCESS"]
    assert all(name.startswith(("kind=", "_SUCCESS")) for name in names)
    storage.close()


def test_objects_of_an_output_that_was_cut_off_do_not_stay(
    stack: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Callable[[], str]
) -> None:
    url = s3()
    stack.score(source, url, keep=["number"], by=["kind"])

    def dying(self: Any, key: str, data: bytes) -> str:
        if key == "part-00003.parquet":
            raise KeyboardInterrupt
        return put(self, key, data)

    storage = stack.context.storage(url)
    put = type(storage).put_if_absent
    with monkeypatch.context() as patched:
        patched.setattr(type(storage), "put_if_absent", dying)
        with pytest.raises(KeyboardInterrupt):
            stack.score(source, url, keep=["number"])
    assert "_SUCCESS" not in storage.list()
    stack.score(source, url, keep=["number"])
    assert list(storage.list()) == ["_SUCCESS", *[f"part-{number:05}.parquet" for number in range(6)]]
    storage.close()


def test_each_part_is_in_a_table_once_however_often_a_run_is_cut_off(
    stack: Any, source: Path, tmp_path: Path, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite3.connect(tmp_path / "out.db").close()
    url = f"sqlite:///{tmp_path / 'out.db'}"
    append, calls = SqlTableTarget.append, []

    def dying(self: Any, *given: Any, **named: Any) -> bool:
        found = append(self, *given, **named)
        calls.append(found)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(SqlTableTarget, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        stack.score(source, url, into="predictions", keep=["number"])
    stack.score(source, url, into="predictions", keep=["number"])
    assert calls == [True] * 3 + [False] * 3 + [True] * 3
    with sqlite3.connect(tmp_path / "out.db") as found:
        rows = found.execute("SELECT number, prediction FROM predictions ORDER BY number").fetchall()
    assert rows == list(zip(ready()["number"].tolist(), expected, strict=True))
    stack.score(
        url, tmp_path / "again.parquet", query=f"SELECT {1} AS area, 'flat' AS kind, 1 AS visits_30d, 2 AS rooms"
    )
    assert len(read(tmp_path / "again.parquet")["prediction"]) == 1


@pytest.mark.parametrize("adapter", ["local", "dask"])
def test_the_compute_slot_gives_the_same_also_where_a_worker_is_killed(
    work: Path, source: Path, tmp_path: Path, expected: list[float], adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blueprint = work / "blueprint.toml"
    blueprint.write_text(blueprint.read_text() + f'\n[compute]\nadapter = "{adapter}"\nworkers = 2\n')
    with stackwright.load(work, progress=lambda *_: None) as stack:
        worker, struck = stack.executor.submit(os.getpid).result(), []

        def strike(what: str, done: int, total: int) -> None:
            if what == "score" and done and not struck:
                struck.append(worker)
                os.kill(worker, signal.SIGKILL)

        monkeypatch.setattr(stack, "progress", strike)
        stack.score(source, tmp_path / "out.parquet")
    assert struck
    assert read(tmp_path / "out.parquet")["prediction"] == expected


ELSEWHERE = """
import atexit, sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

now = Counter()
atexit.register(lambda: print("at exit", now["open"]))

import stackwright
from stackwright.assembly.stack import Stack

begin, end = Stack.__init__, Stack.close

def opened(stack, *args, **options):
    begin(stack, *args, **options)
    now["open"] += 1

def closed(stack):
    end(stack)
    now["open"] -= 1

Stack.__init__, Stack.close = opened, closed
Stack.executor = property(lambda stack: workers)
with ThreadPoolExecutor(2) as workers:
    for number in range(3):
        with stackwright.load(sys.argv[1], progress=lambda *_: None) as stack:
            stack.score(sys.argv[2], f"{sys.argv[3]}/{number}.parquet")
        print("after a job", now["open"])
"""


def test_a_process_that_scores_parts_of_jobs_keeps_one_project_open_and_closes_it_at_its_end(
    work: Path, source: Path, tmp_path: Path, expected: list[float]
) -> None:
    blueprint = work / "blueprint.toml"
    blueprint.write_text(blueprint.read_text() + '\n[compute]\nadapter = "local"\n')
    command = [sys.executable, "-c", ELSEWHERE, str(work), str(source), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["after a job 1"] * 3 + ["at exit 0"]
    assert read(tmp_path / "2.parquet")["prediction"] == expected
