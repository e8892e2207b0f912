"""The watch: what it finds, opens, does and tells, each once, whoever else watches and whatever fails."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.monitoring import watch as watching
from stackwright.workflows.monitoring.rules import FIRST
from stackwright.workflows.monitoring.watch import watch_on
from stackwright_interfaces.monitor import Monitor
from stackwright_journal.predictions import PredictionLog
from stackwright_serving.model import LoadedModel

WEEK = timedelta(days=7)
BEGIN = FIRST + ((datetime(2027, 1, 4, tzinfo=UTC) - FIRST) // WEEK) * WEEK
"""A window's beginning, after the project's model was promoted."""


@dataclass
class Life:
    """A project whose weeks go by: answers are given, truths come, the watch looks."""

    folder: Path
    week: int = 0
    stamps: int = 0

    @property
    def now(self) -> datetime:
        return BEGIN + self.week * WEEK + timedelta(hours=1)

    def open(self) -> Any:
        return stackwright.load(self.folder, progress=lambda *_: None, clock=lambda: self.now)

    def passes(
        self, *, bias: float = 0.0, noise: float = 0.05, area: float = 1.0, n: int = 300, version: int = 1
    ) -> Life:
        """Let a week pass, with so many answers and their truths, which came within the hour."""
        self.stamps += 1
        random = np.random.default_rng(self.stamps)
        start = BEGIN + self.week * WEEK
        records, labels = [], []
        for place in range(n):
            asked = start + timedelta(hours=float(random.uniform(0, 160)))
            size = float(random.uniform(30, 200))
            name = f"{self.stamps}-{place}"
            price = 2000 * size
            records.append(
                {
                    "prediction_id": name,
                    "model": "valuation",
                    "version": version,
                    "asked_at": asked,
                    "predicted_at": asked,
                    "keys": {"home_id": f"x{place}"},
                    "features": {
                        "area": size * area,
                        "kind": ["flat", "house"][place % 2],
                        "visits_30d": float(random.integers(0, 3)),
                        "rooms": float(max(1, size // 30)),
                        "room_size": size / max(1, size // 30),
                    },
                    "prediction": price,
                    "lower": price * 0.9,
                    "upper": price * 1.1,
                }
            )
            seen = asked + timedelta(hours=1)
            truth = price * float(np.exp(-bias + random.normal(0, noise)))
            labels.append({"prediction_id": name, "sold_at": seen, "known_at": seen, "price": truth})
        self.week += 1
        with self.open() as stack:
            with PredictionLog(journal.segments(stack)) as log:
                for record in records:
                    log.append(record)
            journal.labels(stack, stack.target("sale_price")).ingest(pa.Table.from_pylist(labels))
        return self

    def watch(self, **options: Any) -> Any:
        with self.open() as stack:
            return stack.watch(**options)

    def events(self, kind: str) -> list[Any]:
        with self.open() as stack:
            return [event for event in journal.decisions(stack, "valuation").events() if event.kind == kind]


RULES = """
[monitor]
parity = 0
{more}
[monitor.rules.error]
watch = "mdape"
against = 0.05
action = "{action}"
cooldown = 10
[monitor.rules.drift]
watch = "data"
action = "investigate"
min_rows = 200
columns = ["area"]
"""


@pytest.fixture
def life(work: Path) -> Callable[..., Life]:
    """Makes a project with rules; its weeks begin after the promotion."""

    def make(action: str = "alert", more: str = "") -> Life:
        path = work / "blueprint.toml"
        path.write_text(path.read_text() + RULES.format(action=action, more=more))
        shutil.rmtree(work / "journal" / "predictions", ignore_errors=True)
        return Life(work)

    return make


def test_calm_weeks_raise_nothing_and_each_is_judged_once_however_the_clock_steps(life: Callable[..., Life]) -> None:
    weeks = life().passes().passes()
    found = weeks.watch()
    assert found.ok, str(found)
    assert [item["states"] for item in found.data["windows"]] == [{"error": "ok", "drift": "ok"}] * 2
    for step in (0, -2, 2):
        weeks.week += step
        assert weeks.watch().data["windows"] == []
    assert len(weeks.events("window")) == 2


def test_a_proven_loss_opens_an_alert_with_its_evidence_and_calm_closes_it(
    life: Callable[..., Life], run: Callable[..., Any]
) -> None:
    weeks = life().passes(noise=0.3)
    assert weeks.watch().ok
    weeks.passes(noise=0.3)
    found = weeks.watch()
    assert not found.ok
    (alert,) = found.data["open"]
    assert alert["rule"] == "error"
    assert "against 0.05" in alert["words"]
    assert "2 windows in alarm" in alert["words"]
    (opened,) = weeks.events("opened")
    evidence = opened.data["evidence"]["parts"][0]
    assert evidence["low"] < evidence["value"] < evidence["high"]
    assert evidence["n"] == 300
    listed = run("decisions", "--project", weeks.folder, "--json").json["decisions"]
    assert [item["kind"] for item in listed] == ["window", "window", "opened"]
    one = run("decisions", "valuation", "--number", opened.number, "--project", weeks.folder)
    assert "mdape" in one.out
    assert run("decisions", "--number", 99, "--project", weeks.folder).code == 2
    weeks.passes().passes()
    assert weeks.watch().ok
    (closed,) = weeks.events("closed")
    assert closed.data["why"].startswith("ok for 2 windows in a row")


def test_drift_alone_opens_an_investigation_and_trains_nothing(life: Callable[..., Life]) -> None:
    weeks = life("retrain").passes(area=2.0).passes(area=2.0)
    (alert,) = weeks.watch().data["open"]
    assert (alert["rule"], alert["action"]) == ("drift", "investigate")
    assert alert["words"].startswith("area: psi")
    assert weeks.events("action") == []


def test_a_window_keeps_the_numbers_it_was_judged_by_and_how_to_get_them_again(life: Callable[..., Life]) -> None:
    weeks = life().passes()
    weeks.watch()
    (event,) = weeks.events("window")
    with weeks.open() as stack:
        known = event.data["numbers"]["known"]
        start, end = (datetime.fromisoformat(event.data[name]) for name in ("start", "end"))
        weeks.passes(noise=0.5)
        again = stack.report(start=start, end=end, known_at=datetime.fromisoformat(known["at"]), labels=known["labels"])
        numbers = json.loads(Path(again.data["numbers"]).read_text())
    for key in ("performance", "data", "cohorts", "selection", "delay_curve"):
        assert numbers[key] == json.loads(json.dumps(event.data["numbers"][key])), key


def test_a_proven_loss_retrains_once_and_what_comes_of_it_is_told(life: Callable[..., Life]) -> None:
    weeks = life("retrain").passes(noise=0.3).passes(noise=0.3)
    weeks.watch()
    (action,) = weeks.events("action")
    (result,) = weeks.events("result")
    assert action.data["action"] == "retrain"
    assert result.data["of"] == action.number
    assert result.data["words"]
    weeks.watch()
    weeks.passes(noise=0.3)
    weeks.watch()
    assert len(weeks.events("action")) == 1, "the cool-down"


def test_a_dry_run_tells_what_is_called_for_and_does_nothing(life: Callable[..., Life]) -> None:
    weeks = life("retrain").passes(noise=0.3).passes(noise=0.3)
    (alert,) = weeks.watch(act=False).data["open"]
    assert alert["action"] == "retrain"
    assert weeks.events("action") == []


def test_a_loss_of_a_new_champion_goes_back_to_the_one_before(life: Callable[..., Life]) -> None:
    weeks = life("rollback")
    path = weeks.folder / "blueprint.toml"
    path.write_text(path.read_text().replace("num_iterations = 30", "num_iterations = 31"))
    with weeks.open() as stack:
        stack.train()
        stack.promote("valuation@2", force=True, reason="a test")
    weeks.passes(noise=0.3, version=2).passes(noise=0.3, version=2)
    assert weeks.watch().data["open"] == []
    (result,) = weeks.events("result")
    assert (result.data["ok"], result.data["before"], result.data["after"]) == (True, 2, 1)
    (closed,) = weeks.events("closed")
    assert closed.data["why"] == "version 1 serves now"


def test_an_action_that_fails_is_told_and_ends_nothing(
    life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no space for the matrix")

    monkeypatch.setattr("stackwright.workflows.monitoring.actions.train", broken)
    weeks = life("retrain").passes(noise=0.3).passes(noise=0.3)
    weeks.watch()
    (result,) = weeks.events("result")
    assert (result.data["ok"], result.data["words"]) == (False, "retrain failed: RuntimeError: no space for the matrix")


def test_what_a_watcher_that_died_had_begun_is_taken_up_again(life: Callable[..., Life]) -> None:
    weeks = life("retrain").passes(noise=0.3).passes(noise=0.3)
    weeks.watch(act=False)
    with weeks.open() as stack:
        log = journal.decisions(stack, "valuation")
        window = max(event.data["end"] for event in log.events() if event.kind == "window")
        here = watching.platform.node()
        log.add("action", {"action": "retrain", "rule": "error", "window": window, "by": f"1 on {here}"})
    weeks.watch()
    results = [event.data for event in weeks.events("result")]
    assert results[0]["lost"] is True
    assert "lost" not in results[1]


def _look(folder: str, week: int, barrier: Any) -> None:
    life = Life(Path(folder), week)
    barrier.wait(30)
    life.watch()


def test_two_watchers_at_once_judge_act_and_tell_once(life: Callable[..., Life]) -> None:
    weeks = life("retrain").passes(noise=0.3).passes(noise=0.3)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    children = [context.Process(target=_look, args=(str(weeks.folder), weeks.week, barrier)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0]
    assert len(weeks.events("window")) == 2
    assert len(weeks.events("opened")) == 1
    assert len(weeks.events("action")) == 1
    sent = [(event.data["of"], event.data["to"]) for event in weeks.events("notice") if event.data["state"] == "sent"]
    assert len(sent) == len(set(sent))


@dataclass
class Received:
    """What local receivers were sent."""

    posts: list[dict[str, Any]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    web: str = ""
    mail: int = 0
    status: int = 200


class Web(BaseHTTPRequestHandler):
    """Takes what is posted, unless it is told to refuse."""

    def do_POST(self) -> None:
        found: Received = self.server.received  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if found.status == 200:
            found.posts.append({"path": self.path, **json.loads(body)})
        self.send_response(found.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


class Mail(socketserver.StreamRequestHandler):
    """Takes mail, as far as a client needs to be answered."""

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            if line.upper().startswith("DATA"):
                self.say("354 go on")
                self.server.received.mails.append(self.text())  # type: ignore[attr-defined]
            self.say("221 bye" if line.upper().startswith("QUIT") else "250 ok")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def text(self) -> str:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        return b"".join(lines).decode()


@pytest.fixture
def received() -> Iterator[Received]:
    """A web server and a mail server of this machine."""
    found = Received()
    servers = [HTTPServer(("127.0.0.1", 0), Web), socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)]
    for server in servers:
        server.received = found  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    found.web, found.mail = f"http://127.0.0.1:{servers[0].server_address[1]}", int(servers[1].server_address[1])
    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


DESTINATIONS = """
[monitor.destinations.hook]
kind = "webhook"
url = "{web}/hook"
[monitor.destinations.team]
kind = "slack"
url = {{ env = "TEAM_URL" }}
[monitor.destinations.post]
kind = "email"
host = "127.0.0.1"
port = {mail}
sender = "ml@example.org"
to = ["a@example.org", "b@example.org"]
tls = "none"
"""


def test_webhook_slack_and_mail_are_told_once_of_an_alert(
    life: Callable[..., Life], received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_URL", f"{received.web}/services/T0/secret")
    more = DESTINATIONS.format(web=received.web, mail=received.mail)
    weeks = life(more=more).passes(noise=0.3).passes(noise=0.3)
    weeks.watch()
    weeks.watch()
    hook, slack = sorted(received.posts, key=lambda post: post["path"])
    assert (hook["kind"], hook["model"]) == ("opened", "valuation")
    assert hook["data"]["evidence"]["parts"][0]["metric"] == "mdape"
    assert slack["text"].startswith("*Alert: valuation@1 error*\nmdape 0.")
    (mail,) = received.mails
    assert "Subject: [homes] Alert: valuation@1 error" in mail
    assert "To: a@example.org, b@example.org" in mail
    assert "secret" not in json.dumps([dict(event.data) for event in weeks.events("notice")])


def test_a_destination_that_fails_is_tried_again_and_keeps_no_other_from_being_told(
    life: Callable[..., Life], received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_URL", f"{received.web}/services/T0/secret")
    weeks = life(more=DESTINATIONS.format(web=received.web, mail=received.mail)).passes(noise=0.3).passes(noise=0.3)
    received.status = 503
    found = weeks.watch()
    assert len(received.mails) == 1
    assert len([problem for problem in found.data["problems"] if "cannot be told" in problem]) == 2
    assert not any("secret" in problem for problem in found.data["problems"])
    received.status = 200
    weeks.watch()
    assert len(received.posts) == 2
    assert len(received.mails) == 1


def test_a_destination_that_has_no_address_is_told_of_and_keeps_no_other_from_being_told(
    life: Callable[..., Life], received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_URL", f"{received.web}/services/T0/secret")
    more = DESTINATIONS.format(web="http://127.0.0.1:port", mail=received.mail)
    found = life(more=more).passes(noise=0.3).passes(noise=0.3).watch()
    assert any("webhook cannot be told (nonnumeric port: 'port')" in problem for problem in found.data["problems"])
    assert (len(received.posts), len(received.mails)) == (1, 1)


def test_a_reporter_that_raises_anything_holds_nothing_back(
    life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Monitor):
        def compare(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("in a plugin")

    weeks = life(more='reports = ["evidently"]').passes()
    with weeks.open() as stack:
        monkeypatch.setattr(type(stack), "reporters", lambda _self: {"evidently": Broken()})
        found = stack.report()
    assert found.data["problems"] == {"evidently": "it failed (ZeroDivisionError: in a plugin)"}
    assert json.loads(Path(found.data["numbers"]).read_text())["data"]["n"] == 300


def test_a_report_that_fails_leaves_no_model_open(life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("odd")

    weeks, closed, close = life().passes(), [], LoadedModel.close
    monkeypatch.setattr(LoadedModel, "close", lambda model: closed.append(close(model)))
    monkeypatch.setattr("stackwright.workflows.monitoring.report.see", broken)
    with weeks.open() as stack, pytest.raises(KeyError):
        stack.report()
    assert len(closed) == 1


def test_a_model_that_cannot_be_judged_is_a_problem_and_not_the_end(
    life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("odd")

    weeks = life().passes()
    monkeypatch.setattr("stackwright.workflows.monitoring.looking.evaluate", broken)
    found = weeks.watch()
    assert not found.ok
    assert found.data["problems"] == ["valuation: KeyError: 'odd'"]


def test_the_loop_goes_on_when_the_project_cannot_be_read_for_a_while(life: Callable[..., Life]) -> None:
    weeks = life().passes()
    blueprint = weeks.folder / "blueprint.toml"
    right, said, rounds = blueprint.read_text(), [], 0

    class Over(Exception):
        pass

    def wait(_seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        blueprint.write_text("name = " if rounds == 1 else right)
        if rounds == 3:
            raise Over

    with pytest.raises(Over):
        watch_on(weeks.open, every=1, say=said.append, wait=wait)
    assert any("error ok" in line for line in said)
    assert any(line.startswith("problem: ") for line in said)
