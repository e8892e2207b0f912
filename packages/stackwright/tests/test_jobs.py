"""Jobs of the blueprint: by the verb, and on request of a server, each as of one instant, each once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.blueprint import BlueprintProblems
from stackwright.assembly.locking import held
from stackwright.assembly.project import Project
from stackwright.workflows import journal
from stackwright.workflows.batch import runner, targets
from stackwright.workflows.live.endpoint import Endpoint, Reply
from stackwright.workflows.live.job_requests import JobLog, Requests
from stackwright.workflows.live.process import serving
from stackwright_interfaces.errors import UsageError
from stackwright_serving.refused import Refused

AT = datetime(2024, 10, 28, tzinfo=UTC)
NIGHT = "2024-10-28"
TOKEN = "an-operator-s-token"
JOB = """
[jobs.nightly]
source = "homes/{date}.parquet"
out = ["valued/date={date}", { url = "sqlite:///{project}/valued.db", into = "valued" }]
keep = ["home_id"]

[serving]
admin_tokens = [{ env = "ADMIN_TOKEN" }]
max_jobs = 2
"""


@pytest.fixture
def project(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a job, and its table of one night."""
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)
    text = (work / "blueprint.toml").read_text()
    (work / "blueprint.toml").write_text(f"{text}\nworkers = 1\n{JOB}")
    (work / "homes").mkdir()
    homes = {"home_id": [f"{home:04}" for home in range(50)], "rooms": [3] * 50}
    pyarrow.parquet.write_table(pa.table(homes), work / "homes" / f"{NIGHT}.parquet")
    return work


@pytest.fixture
def stack(project: Path) -> Iterator[Any]:
    with stackwright.load(project, progress=lambda *_: None) as opened:
        yield opened


def in_folder(project: Path) -> list[tuple[Any, ...]]:
    folder = project / "valued" / f"date={NIGHT}"
    assert (folder / "_SUCCESS").exists()
    rows = pyarrow.parquet.read_table(folder / "part-00000.parquet", partitioning=None).to_pylist()
    return sorted((row["home_id"], row["model"], row["prediction_id"], row["prediction"]) for row in rows)


def in_database(project: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(project / "valued.db") as found:
        return found.execute("SELECT home_id, model, prediction_id, prediction FROM valued ORDER BY home_id").fetchall()


def in_journal(project: Path) -> list[str]:
    with stackwright.load(project) as stack:
        reader = journal.predictions(stack)
        found = [record["prediction_id"] for record in reader.records() if record["arm"] == "batch"]
        reader.close()
    return sorted(found)


def assert_once(project: Path) -> None:
    rows = in_folder(project)
    assert len(rows) == 50
    assert in_database(project) == rows
    assert in_journal(project) == sorted(row[2] for row in rows)


def test_all_outputs_and_the_journal_hold_the_same_rows_once_however_often_it_runs(project: Path, run: Any) -> None:
    for _ in range(2):
        ran = run("job", "nightly", "--at", AT.isoformat(), "--project", project, "--json")
        assert (ran.code, ran.json["answered"]) == (0, 50)
        assert_once(project)


def test_without_an_instant_it_is_as_of_the_day_s_beginning_in_its_zone(project: Path) -> None:
    text = (project / "blueprint.toml").read_text()
    (project / "blueprint.toml").write_text(text.replace("\nkeep =", '\nzone = "Asia/Tokyo"\nkeep ='))
    with stackwright.load(project, progress=lambda *_: None) as stack:
        stack.clock = lambda: datetime(2024, 10, 27, 20, tzinfo=UTC)
        assert stack.job("nightly").data["at"] == "2024-10-28T00:00:00+09:00"


@pytest.mark.parametrize("target", ["TableOutput", "FolderTarget"])
def test_a_run_that_ends_after_an_output_took_it_hands_nothing_over_twice(
    stack: Any, project: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    original = getattr(targets, target).finish

    def ends(*given: Any) -> None:
        original(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(getattr(targets, target), "finish", ends)
        with pytest.raises(KeyboardInterrupt):
            stack.job("nightly", AT)
    stack.job("nightly", AT)
    assert_once(project)


def test_two_folders_are_refused_before_anything_runs(project: Path) -> None:
    text = (project / "blueprint.toml").read_text().replace(', into = "valued" }', "").replace("{ url = ", "")
    (project / "blueprint.toml").write_text(text.replace("sqlite:///{project}/valued.db", "b"))
    with stackwright.load(project) as stack, pytest.raises(UsageError, match="two outputs are folders"):
        stack.job("nightly", AT)


def test_what_is_wrong_with_a_job_is_told(project: Path) -> None:
    with (project / "blueprint.toml").open("a") as stream:
        stream.write('[jobs.other]\nout = { url = "s" }\nzone = "Mars"\nmodel = "valuatoin@1"\nkep = []\n')
    with stackwright.load(project) as stack, pytest.raises(BlueprintProblems) as caught:
        _ = stack.plan
    told = str(caught.value)
    assert "[jobs.other]: source is missing" in told
    assert "out is {'url': 's'}" in told
    assert "zone is 'Mars'" in told
    assert "unknown key 'kep'. Did you mean 'keep'?" in told


def test_a_job_that_is_not_there_is_told_with_the_near_one(stack: Any) -> None:
    with pytest.raises(UsageError, match=r"has no such job\. Did you mean 'nightly'"):
        stack.job("nightyl")


class Client:
    """Asks a server for jobs."""

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint(url, token=TOKEN)

    def start(self, key: str = "k-1", body: Any = None) -> Reply:
        document = {"job": "nightly", "at": AT.isoformat()} if body is None else body
        headers = {"Idempotency-Key": key} if key else {}
        return self._endpoint.send("POST", "/jobs", json.dumps(document).encode(), headers)

    def ended(self, place: str) -> dict[str, Any]:
        for _ in range(600):
            found: dict[str, Any] = self._endpoint.get(place).document
            if found["state"] not in ("waiting", "running"):
                return found
            time.sleep(0.1)
        raise AssertionError(found)

    def get(self, place: str) -> Reply:
        return self._endpoint.get(place)


def test_a_server_does_a_job_once_a_key_and_tells_what_became_of_it(project: Path) -> None:
    with serving(Project.find(project)) as url:
        client = Client(url)
        first = client.start()
        assert (first.status, first.document["job"]) == (202, "nightly")
        assert first.headers["location"] == f"/jobs/{first.document['id']}"
        again = client.start()
        assert (again.status, again.document["id"]) == (200, first.document["id"])
        ended = client.ended(first.headers["location"])
        assert (ended["state"], ended["result"]["answered"]) == ("done", 50)
        assert client.start().document == ended
        assert client.start(body={"job": "nightly"}).status == 422
        assert client.start("").status == 400
        assert client.start("k-2", {"job": "nightly", "at": "2999-01-01"}).status == 400
        assert client.start("k-2", {"job": "nightly", "at": "0001-01-01T00:00:00+23:59"}).status == 400
        assert client.start("k-2", {"job": "nightly", "out": "/etc/passwd"}).status == 400
        told = client.start("k-2", {"job": "nightyl"})
        assert (told.status, "Did you mean 'nightly'" in told.document["error"]) == (400, True)
        assert client.get("/jobs/none").status == 404
        with Endpoint(url, token="someone-else-s-token") as other:
            assert other.post("/jobs", {"job": "nightly"}).status == 401
            assert other.get(first.headers["location"]).status == 401
    assert_once(project)


def test_a_job_outlives_the_server_and_the_process_that_does_it(project: Path, stack: Any) -> None:
    requests, log = Requests(stack, 2), JobLog(stack.project)
    told, new = requests.start("k-1", "nightly", AT)
    assert new
    process = requests._runner
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert log.waiting() == [told["id"]]
    assert not (project / "valued" / f"date={NIGHT}" / "_SUCCESS").exists()
    with serving(Project.find(project)) as url:
        assert Client(url).ended(f"/jobs/{told['id']}")["state"] == "done"
    assert_once(project)


def test_whoever_asks_again_and_again_starts_one_process(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *given, **named: started.append(popen(*given, **named)) or started[-1]
    )
    requests = Requests(stack, 2)
    told, _ = requests.start("k-1", "nightly", AT)
    while (requests.status(told["id"]) or {})["state"] != "done":
        assert len(started) == 1
    started[0].wait(30)


def wait_in_vain(stack: Any, most: int) -> Callable[[str], Any]:
    """Gives what takes requests that nobody does."""
    requests = Requests(stack, most)
    return lambda key: requests.start(key, "nightly", AT)


def test_more_requests_than_may_wait_are_refused_and_taken_later(stack: Any) -> None:
    log = JobLog(stack.project)
    start = wait_in_vain(stack, 2)
    with held(log.lock):
        assert [start(key)[1] for key in ("a", "b", "a")] == [True, True, False]
        with pytest.raises(Refused, match="2 jobs wait") as caught:
            start("c")
        assert caught.value.status == 503
    log.end(log.waiting()[0], "done", {}, AT)
    with held(log.lock):
        assert start("c")[1]


def test_a_job_that_fails_says_why_and_does_not_keep_the_next_from_its_turn(project: Path, stack: Any) -> None:
    log, start = JobLog(stack.project), wait_in_vain(stack, 2)
    requests = Requests(stack, 2)
    with held(log.lock):
        missing, _ = requests.start("a", "nightly", datetime(2024, 10, 1, tzinfo=UTC))
        there, _ = start("b")
    runner.work(project, "")
    assert log.told(missing["id"])["state"] == "failed"
    assert "2024-10-01.parquet: no such file" in log.told(missing["id"])["error"]
    assert log.told(there["id"])["state"] == "done"


def test_a_job_whose_process_dies_of_it_is_given_up(project: Path, stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any) -> None:
        raise SystemExit(9)

    log = JobLog(stack.project)
    with held(log.lock):
        told, _ = wait_in_vain(stack, 2)("a")
    with monkeypatch.context() as patch:
        patch.setattr(runner.jobs, "job", dies)
        for _ in range(3):
            with pytest.raises(SystemExit):
                runner.work(project, "")
    runner.work(project, "")
    found = log.told(told["id"])
    assert (found["state"], "died 3 times" in found["error"]) == ("failed", True)
