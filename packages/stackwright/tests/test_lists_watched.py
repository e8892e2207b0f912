"""The watch over a recommender: windows of lists are judged, and what is proven is acted on."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest

import stackwright
from stackwright.cli.main import main
from stackwright.workflows import journal
from stackwright.workflows.monitoring.rules import FIRST
from stackwright_interfaces.testing import recommender_town as town
from stackwright_journal.list_records import FOLDER, ClickRecord, ListRecord
from stackwright_journal.predictions import PredictionLog

WEEK = timedelta(days=7)
BEGIN = FIRST + ((datetime.now(UTC) - FIRST) // WEEK - 6) * WEEK
"""A window's beginning, long enough ago that the weeks of a test are over."""
PLACES = 5

BLUEPRINT = """\
name = "homes"

[recommenders.homes]
trainer = { adapter = "recommender", folds = 1, retrievers = ["popular"], trees = 5 }
interactions = { source = "looks.csv", user = "user", item = "item", time = "time" }
gates = { reproducible = false, latency = false, artifact = false, baseline = false, candidate_recall = false }

[registry]
adapter = "files"

[monitor.rules.clicks]
watch = "ctr"
"""


@dataclass
class Life:
    """A recommender whose weeks go by: lists are shown, some items are clicked, the watch looks."""

    folder: Path
    week: int = 0

    @property
    def now(self) -> datetime:
        return BEGIN + self.week * WEEK + timedelta(hours=1)

    def open(self) -> Any:
        return stackwright.load(self.folder, progress=lambda *_: None, clock=lambda: self.now)

    def rule(self, text: str) -> None:
        path = self.folder / "blueprint.toml"
        path.write_text(path.read_text() + text)

    def passes(self, ctr: float = 0.4, *, n: int = 300, version: int = 1, arm: str = "live") -> Life:
        """Let a week pass, with so many lists, whose items are clicked with this probability within the hour."""
        random = np.random.default_rng(self.week)
        with self.open() as stack, PredictionLog(journal.segments(stack), name=FOLDER) as log:
            for place in range(n):
                at = BEGIN + self.week * WEEK + timedelta(hours=2 + float(random.uniform(0, 160)))
                name = f"{arm}-{self.week}-{place}"
                items = [f"h{number:03}" for number in random.choice(40, PLACES, replace=False)]
                ones = np.ones(PLACES)
                log.append(
                    ListRecord(
                        list_id=name,
                        predicted_at=at,
                        model="homes",
                        version=version,
                        digest="sha256:1",
                        items=items,
                        scores=ones,
                        propensities=ones,
                        cold=ones > 1,
                        user=f"p{place % 60}",
                        arm=arm,
                    )
                )
                for item in items:
                    if random.random() < ctr:
                        seen = at + timedelta(minutes=5)
                        log.append(ClickRecord(list_id=name, item=item, value=1, observed=seen, predicted_at=seen))
        self.week += 1
        return self

    def watch(self, **options: Any) -> Any:
        with self.open() as stack:
            return stack.watch(**options)

    def events(self, kind: str) -> list[Any]:
        with self.open() as stack:
            return [event for event in journal.decisions(stack, "homes").events() if event.kind == kind]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two versions, the first promoted at the beginning of the first week."""
    folder = tmp_path_factory.mktemp("watched") / "homes"
    folder.mkdir()
    pyarrow.csv.write_csv(town.interactions().table, folder / "looks.csv")
    blueprint = folder / "blueprint.toml"
    for seed in (7, 8):
        blueprint.write_text(BLUEPRINT.replace("[recommenders.homes]", f"[recommenders.homes]\nseed = {seed}"))
        with stackwright.load(folder, progress=lambda *_: None, clock=lambda: BEGIN) as stack:
            stack.train()
            if seed == 7:
                stack.promote("homes@1")
    blueprint.write_text(BLUEPRINT)
    return folder


@pytest.fixture
def life(trained: Path, tmp_path: Path) -> Life:
    return Life(Path(shutil.copytree(trained, tmp_path / "homes")))


def test_calm_weeks_raise_nothing_and_keep_their_numbers(life: Life) -> None:
    found = life.passes().passes().passes().watch()
    assert found.ok, str(found)
    assert [one["states"]["clicks"] for one in found.data["windows"]] == ["insufficient", "ok", "ok"], (
        "the first week is what others are held against"
    )
    numbers = life.events("window")[-1].data["numbers"]
    assert numbers["lists"] == 300
    assert numbers["ctr"]["value"] == pytest.approx(0.4, abs=0.05)
    assert set(numbers["ctr_by_position"]) == {"1", "2", "3", "4", "5"}
    assert life.watch().data["windows"] == [], "each window is judged once"


def test_fewer_clicks_open_an_alert_after_two_weeks_and_calm_closes_it(life: Life) -> None:
    assert life.passes().passes(0.2).watch().ok
    found = life.passes(0.2).watch()
    (alert,) = found.data["open"]
    assert alert["rule"] == "clicks"
    assert "2 windows in alarm" in alert["words"]
    assert life.passes().passes().watch().ok


def test_what_nobody_saw_counts_for_nothing(life: Life) -> None:
    life.passes().passes(n=300)
    life.week -= 1
    life.passes(0.0, arm="shadow", n=600)
    assert life.watch().ok
    assert life.events("window")[-1].data["numbers"]["lists"] == 300


def test_a_new_champion_with_fewer_clicks_goes_back_to_the_one_before(life: Life) -> None:
    life.rule('against = "previous"\naction = "rollback"\nwindows = 1\n')
    life.passes()
    with life.open() as stack:
        stack.promote("homes@2")
    found = life.passes(0.2, version=2).passes(0.2, version=2).watch()
    assert found.data["open"] == [], str(found)
    (result,) = life.events("result")
    assert (result.data["ok"], result.data["before"], result.data["after"]) == (True, 2, 1)


def test_a_proven_loss_trains_on_what_came_since_and_promotes_it(life: Life) -> None:
    life.rule('action = "retrain"\nwindows = 1\n')
    life.passes().passes(0.2).watch(act=False)
    assert life.events("action") == [], "a dry run does nothing"
    looks = (life.folder / "looks.csv").read_text()
    (life.folder / "looks.csv").write_text(looks + "".join(looks.splitlines(keepends=True)[-40:]))
    life.watch()
    (result,) = life.events("result")
    assert result.data["ok"], result.data["words"]
    assert (result.data["before"], result.data["trained"], result.data["after"]) == (1, "homes@3", 3)
    life.passes(0.2, version=3).watch()
    assert len(life.events("action")) == 1, "the cool-down"


def test_without_rules_the_usual_ones_hold(life: Life) -> None:
    path = life.folder / "blueprint.toml"
    path.write_text(path.read_text().partition("[monitor")[0])
    (window,) = life.passes().watch().data["windows"]
    assert set(window["states"]) == {"loss", "fallbacks"}


def test_silence_is_heard(life: Life) -> None:
    life.rule('[monitor.rules.silence]\nwatch = "silence"\n')
    life.passes().passes(n=0).passes(n=0)
    (alert,) = life.watch().data["open"]
    assert alert["rule"] == "silence"


def test_the_command_line_watches_tells_and_shows_why(life: Life, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*arguments: object, code: int = 0) -> Any:
        assert main([*map(str, arguments), "--project", str(life.folder), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    assert ask("check")["ok"]
    life.passes().passes(0.2).passes(0.2)
    assert [one["version"] for one in ask("watch", "homes", "--once", code=1)["windows"]][-1] == 1
    listed = ask("decisions")["decisions"]
    assert [one["kind"] for one in listed][-1] == "opened"
    shown = ask("decisions", "--number", listed[-1]["number"])
    assert shown["data"]["evidence"]["parts"][0]["metric"] == "ctr"
