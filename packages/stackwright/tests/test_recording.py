"""Runs: what a training costs, its log, where it failed, and what becomes of one whose process was killed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.assembly.secrets import Secret
from stackwright.workflows.lineage.run_showing import show_run
from stackwright.workflows.training import usage
from stackwright.workflows.training.code_version import commit_of
from stackwright.workflows.training.run_log import RunLog
from stackwright.workflows.versions import run_states
from stackwright.workflows.versions.run_states import log_path, mark_killed
from stackwright_interfaces.errors import ModelNotFound, ProjectError, StorageError, TrainingError

QUICK = dict.fromkeys(GATE_OPTIONS, False)


def test_a_run_says_what_it_cost_and_what_it_ran_on(copies: Any) -> None:
    with copies.open(gates=QUICK) as stack:
        outcome = stack.train()
        (run,) = stack.registry.runs("valuation")
    told = outcome.data["run"]
    assert (told["id"], told["status"]) == (run.id, "finished")
    used = run.record["usage"]
    assert told["usage"] == used
    assert used["cpu_seconds"] > 0
    assert sum(run.record["steps"].values()) <= used["wall_seconds"]
    assert used["peak_memory_bytes"] is None or used["peak_memory_bytes"] > 10e6
    assert used["written_bytes"] is None or used["written_bytes"] > 1000
    assert set(run.record) >= {"owner", "code", "python", "platform", "log"}
    assert run.record["log"]["file"] == f".stackwright/runs/{run.id}.log"
    assert run.record["log"]["tail"][-1].endswith("finished: valuation@1")
    assert run.record["step"] == ""


def test_a_system_that_tells_nothing_stops_no_run(copies: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(usage, "_SELF", tmp_path / "nowhere")
    with copies.open(gates=QUICK) as stack:
        used = stack.train().data["run"]["usage"]
    assert (used["read_bytes"], used["written_bytes"]) == (None, None)
    assert used["peak_memory_bytes"] > 10e6


@pytest.mark.skipif(not usage._SELF.exists(), reason="the system tells nothing of processes")
def test_a_process_whose_name_is_no_utf8_stops_no_count_of_memory() -> None:
    named = "open('/proc/self/comm', 'wb').write(b'pr\\xfcfer'); print('named', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", named], **pipes) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "named\n"
        assert usage.memory_below(os.getpid()) > 0
        child.communicate("\n")


def test_memory_that_was_let_go_before_a_run_is_not_counted_to_it() -> None:
    if not (usage._SELF / "clear_refs").exists():
        assert usage.peak_memory() is not None
        return
    before = np.ones(30_000_000)
    del before
    usage.Meter()
    assert (usage.peak_memory() or 0) < usage._numbers(usage._SELF / "status")["VmRSS"] * 1024 + 50e6


def make_noise(log: RunLog) -> None:
    with log.capturing():
        logging.getLogger("vendor").warning("told %s", "hunter22")
        warnings.warn("odd", stacklevel=1)
        print("printed", end="")
        print(" in two")


def test_the_log_takes_down_records_warnings_and_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_TEST", "hunter22")
    assert Secret(env="PASSWORD_OF_TEST").reveal("here", tmp_path) == "hunter22"
    log = RunLog(tmp_path / "runs" / "a.log")
    with pytest.warns(UserWarning, match="odd"):
        make_noise(log)
    log.close()
    lines = [line.split(" ", 1)[1] for line in run_states.tail(tmp_path / "runs" / "a.log")]
    assert lines[0] == "WARNING vendor: told ***"
    assert lines[1].startswith("UserWarning ")
    assert lines[2] == "printed in two"
    assert capsys.readouterr().out == "printed in two\n"
    assert not [handler for handler in logging.getLogger().handlers if type(handler).__name__ == "_Handler"]


def test_what_is_printed_without_an_end_of_line_is_taken_down_at_the_end(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "a.log")
    with log.capturing():
        print("at 90 %", end="")
    log.close()
    (line,) = run_states.tail(tmp_path / "a.log")
    assert line.endswith(" at 90 %")


def test_who_keeps_standard_output_of_a_run_may_go_on_writing_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = RunLog(tmp_path / "a.log")
    with log.capturing():
        kept = sys.stdout
        print("in the run")
    log.close()
    print("after it", file=kept)
    assert capsys.readouterr().out == "in the run\nafter it\n"
    assert len(run_states.tail(tmp_path / "a.log")) == 1


def test_a_failed_run_says_which_step_failed_on_what(copies: Any) -> None:
    with copies.open(trainer={"adapter": "odd", "vice": "failing"}, gates=QUICK) as stack:
        with pytest.raises(TrainingError, match="it does not fit"):
            stack.train()
        (run,) = stack.registry.runs("valuation")
    failure = run.record["failure"]
    assert (failure["step"], failure["type"], failure["error"]) == (
        "fit",
        "TrainingError",
        "odd: it does not fit. Choose another.",
    )
    assert failure["inputs"]["service"] == "valuation@1"
    assert failure["inputs"]["data"]["rows"] == 300
    assert len(failure["inputs"]["data"]["sha256"]) == 64
    assert failure["inputs"]["parameters"] == {}
    assert failure["inputs"]["paths"]["offline"]["path"].endswith("/data")
    assert run.record["usage"]["wall_seconds"] > 0
    assert run.record["log"]["tail"][-1].endswith("failed: odd: it does not fit. Choose another.")


def test_a_failed_run_is_shown_with_its_step_its_error_and_its_log(copies: Any) -> None:
    with copies.open(trainer={"adapter": "odd", "vice": "failing"}, gates=QUICK) as stack:
        with pytest.raises(TrainingError, match="it does not fit"):
            stack.train()
        (listed,) = stack.runs().data["runs"]
        shown = stack.runs_show(listed["run"])
    assert shown.title == f"Run {listed['run']} of valuation: failed"
    assert shown.data["failure"] == listed["failure"]
    assert shown.data["failure"]["inputs"]["data"]["rows"] == 300
    assert shown.data["usage"]["wall_seconds"] > 0
    printed = [" ".join(line.split()) for line in str(shown).splitlines()]
    for line in ("step fit", "error odd: it does not fit. Choose another.", "inputs.data.rows 300"):
        assert line in printed
    assert any(line.endswith("failed: odd: it does not fit. Choose another.") for line in printed)
    assert any(line.startswith("peak memory MB") for line in printed) or not shown.data["usage"]["peak_memory_bytes"]
    assert printed[-1] == f"The whole log: {listed['log']}, where it ran"


def test_a_finished_run_is_shown_by_its_id_or_the_version_it_published(copies: Any) -> None:
    with copies.open(gates=QUICK) as stack:
        stack.train()
        shown = stack.runs_show("valuation@1")
        assert stack.runs_show(shown.data["run"][:6]).data == shown.data
        with pytest.raises(ModelNotFound, match="neither a run nor a published model"):
            stack.runs_show("feedbeef")
    assert (shown.data["status"], shown.data["failure"]) == ("finished", {})
    assert "failed" not in str(shown)
    assert {"training set", "fit", "gates"} <= set(shown.data["steps"])


def test_the_command_line_shows_a_run_by_the_version_it_published(served: Path, run: Any) -> None:
    ran = run("runs", "show", "valuation@1", "--project", served)
    assert (ran.code, ran.out.splitlines()[0].endswith(" of valuation@1: finished")) == (0, True)


def test_a_version_of_which_no_run_was_kept_says_so(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with copies.open(gates=QUICK) as stack:
        stack.train()
        monkeypatch.setattr(stack.registry, "runs", lambda _name=None: ())
        with pytest.raises(ModelNotFound, match="run of 'valuation@1': none was kept"):
            stack.runs_show("valuation@1")


def test_a_training_set_that_cannot_be_built_is_a_failed_run_too(copies: Any) -> None:
    with copies.open(where={"nowhere": [0, 1]}, gates=QUICK) as stack:
        with pytest.raises(TrainingError, match="no column 'nowhere'"):
            stack.train()
        (run,) = stack.registry.runs("valuation")
    assert (run.status, run.record["failure"]["step"]) == ("failed", "training set")


def test_where_the_registry_fails_the_first_error_is_told(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with copies.open(trainer={"adapter": "odd", "vice": "failing"}, gates=QUICK) as stack:
        save = stack.registry.save_run

        def failing(run: Any) -> None:
            if run.status == "failed":
                raise StorageError("disk", "full")
            save(run)

        monkeypatch.setattr(stack.registry, "save_run", failing)
        with pytest.raises(TrainingError, match="it does not fit"):
            stack.train()


def test_where_nothing_is_to_do_no_run_and_no_log_is_left(copies: Any) -> None:
    with copies.open(gates=QUICK) as stack:
        stack.train()
        assert not stack.train().data["changed"]
        assert len(stack.registry.runs("valuation")) == 1
        assert len(list((stack.project.state / "runs").iterdir())) == 1


def test_a_run_whose_process_was_killed_is_listed_so_and_marked_by_the_next_training(copies: Any) -> None:
    with copies.open(gates=QUICK) as stack:
        stack.train()
        (run,) = stack.registry.runs("valuation")
        running = replace(run, status="running", ended=None, record={**run.record, "step": "gates"})
        killed = replace(running, id="a" * 32)
        alive, elsewhere = replace(running, id="b" * 32), replace(running, id="c" * 32)
        log_path(stack, killed.id).write_text("2026-01-01 the last line\n")
        held = RunLog(log_path(stack, alive.id))
        for item in (killed, alive, elsewhere):
            stack.registry.save_run(item)
        listed = {item["run"]: item for item in stack.runs().data["runs"]}
        shown = show_run(stack, "aaaaaaaa").data
        assert {item.status for item in stack.registry.runs() if item.id != run.id} == {"running"}  # none was touched
        stack.train()
        found = {item.id: item for item in stack.registry.runs("valuation")}
        held.close()
    assert [listed[letter * 8]["status"] for letter in "abc"] == ["failed", "running", "running"]
    assert "it was killed" in listed["a" * 8]["error"]
    assert (shown["status"], shown["failure"]["type"]) == ("failed", "killed")
    assert {id_: item.status for id_, item in found.items()} == {
        run.id: "finished",
        killed.id: "failed",
        alive.id: "running",
        elsewhere.id: "running",  # no log of it lies here: it goes on in another place, for all that is known
    }
    failed = found[killed.id]
    assert failed.record["failure"]["step"] == "gates"
    assert "it was killed" in failed.record["error"]
    assert failed.record["log"]["tail"] == ["2026-01-01 the last line"]
    assert failed.ended is not None
    assert failed.ended <= datetime.now(UTC)


def test_a_run_that_ends_while_others_look_for_killed_ones_stays_finished(
    copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with copies.open(gates=QUICK) as stack:
        stack.train()
        (run,) = stack.registry.runs("valuation")
        stack.registry.save_run(replace(run, status="running", ended=None))

        def ending(_path: Path) -> bool:
            stack.registry.save_run(run)
            return True

        monkeypatch.setattr(run_states, "abandoned", ending)
        assert mark_killed(stack, "valuation") == []
        assert [item.status for item in stack.registry.runs("valuation")] == ["finished"]


def test_a_log_that_cannot_be_written_hides_no_error(copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    note = RunLog.note

    def full(log: RunLog, text: str) -> None:
        if text.startswith("failed"):
            raise ProjectError(str(log.path), "cannot be written (No space left on device)", "Free space.")
        note(log, text)

    monkeypatch.setattr(RunLog, "note", full)
    with copies.open(trainer={"adapter": "odd", "vice": "failing"}, gates=QUICK) as stack:
        with pytest.raises(TrainingError, match="it does not fit"):
            stack.train()
        (run,) = stack.registry.runs("valuation")
    assert run.status == "failed"


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_the_commit_of_the_project_is_told_and_whether_its_files_differ(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == {"commit": "", "dirty": None}
    git(tmp_path, "init")
    (tmp_path / "features.py").write_text("1")
    git(tmp_path, "add", ".")
    assert commit_of(tmp_path) == {"commit": "", "dirty": True}
    git(tmp_path, "commit", "-m", "first")
    clean = commit_of(tmp_path)
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "data.csv").write_text("not tracked")
    assert commit_of(tmp_path) == clean
    (tmp_path / "features.py").write_text("2")
    assert commit_of(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) == {"commit": "", "dirty": None}
