"""The verb experiment: arms compared on what the blueprint declares, from when the trial began until its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stackwright
from stackwright.workflows import journal
from stackwright.workflows.versions.challengers import TRIAL
from stackwright_interfaces.errors import BlueprintError, MonitorError, UsageError
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import Event
from stackwright_journal.predictions import PredictionLog

BEGIN = datetime(2027, 1, 4, tzinfo=UTC)
DAY = timedelta(days=1)

EXPERIMENT = """
[monitor.experiments.dearer]
goal = "mdape"
guardrails = { fallbacks = 0.05 }
"""


@dataclass
class Trial:
    """A project in which two versions answered, and truths came a day later."""

    folder: Path
    at: datetime = BEGIN + 30 * DAY

    def open(self) -> Any:
        return stackwright.load(self.folder, progress=lambda *_: None, clock=lambda: self.at)

    def begins(self, share: float = 0.5, at: datetime = BEGIN) -> None:
        """Put the version on trial, as ``canary`` writes it down."""
        with self.open() as stack:
            version = stack.registry.resolve(ModelRef("valuation"))
            given = {"at": at, "kind": "alias", "name": "valuation", "version": version.version}
            evidence = {TRIAL: {"share": share, "shadow": False, "by": []}}
            before = version.version if "challenger" in version.aliases else None
            event = Event(**given, alias="challenger", after=version.version, who="ada", evidence=evidence)
            stack.registry.record(event, expected=before)

    def answer(
        self, arms: dict[str, float], *, n: int = 300, days: float = 20, paired: bool = False, lacking: float = 0.0
    ) -> Trial:
        """Let each arm answer with such an error; homes are dealt to the arms in turn, or asked of all."""
        random = np.random.default_rng(8)
        records, labels = [], []
        for place in range(n * len(arms)):
            asked = BEGIN + timedelta(days=float(random.uniform(0, days)))
            truth, own = 300_000.0, float(random.normal())
            mine = list(arms) if paired else [list(arms)[place % len(arms)]]
            records += [
                {
                    "prediction_id": f"{arm}-{place}",
                    "model": "valuation",
                    "version": 1 if arm == "live" else 2,
                    "arm": arm,
                    "asked_at": asked,
                    "predicted_at": asked,
                    "keys": {"home_id": f"h{place}"},
                    "prediction": truth * float(np.exp(arms[arm] * own)),
                    "fallbacks": ["no area"] if arm != "live" and random.random() < lacking else [],
                }
                for arm in mine
            ]
            seen = asked + DAY
            labels.append({"home_id": f"h{place}", "asked_at": asked, "sold_at": seen, "known_at": seen, "price": truth,
                           "rooms": 3})  # fmt: skip
        with self.open() as stack:
            with PredictionLog(journal.segments(stack)) as log:
                for record in records:
                    log.append(record)
            journal.labels(stack, stack.target("sale_price")).ingest(pa.Table.from_pylist(labels))
        return self

    def compare(self, **options: Any) -> Any:
        with self.open() as stack:
            return stack.experiment(**options)


@pytest.fixture
def trial(work: Path) -> Callable[..., Trial]:
    def make(text: str = EXPERIMENT) -> Trial:
        path = work / "blueprint.toml"
        path.write_text(path.read_text() + text)
        shutil.rmtree(work / "journal" / "predictions", ignore_errors=True)
        shutil.rmtree(work / "journal" / "labels", ignore_errors=True)
        return Trial(work)

    return make


def verdict(outcome: Any) -> str:
    (found,) = outcome.data["experiments"].values()
    return str(found["arms"][1]["verdict"])


def test_a_canary_that_errs_less_is_better_with_gain_interval_and_guardrails(trial: Callable[..., Trial]) -> None:
    life = trial().answer({"live": 0.2, "canary": 0.1})
    life.begins()
    outcome = life.compare()
    assert outcome.ok
    assert verdict(outcome) == "better"
    assert outcome.title == "dearer: by mdape, canary is better"
    found = outcome.data["experiments"]["dearer"]
    live, canary = found["arms"]
    assert (live["versions"], canary["versions"]) == ({"1": 300}, {"2": 300})
    assert 0 < canary["gain"]["low"] < canary["gain"]["value"] == pytest.approx(0.067, abs=0.02)
    assert canary["guardrails"]["fallbacks"]["state"] == "held"
    assert found["looks"] == "any"
    assert "hold however often you look" in str(outcome)


def test_a_broken_guardrail_outweighs_the_gain_and_the_exit_code_says_so(trial: Callable[..., Trial]) -> None:
    life = trial().answer({"live": 0.2, "canary": 0.1}, lacking=0.3)
    life.begins()
    outcome = life.compare()
    assert (verdict(outcome), outcome.ok) == ("worse", False)


def test_what_came_after_the_planned_end_does_not_count_however_late_one_looks(trial: Callable[..., Trial]) -> None:
    life = trial(EXPERIMENT + "days = 10\nmin_rows = 50\n").answer({"live": 0.2, "canary": 0.1})
    life.begins()
    early, *late = [life.compare(end=BEGIN + day * DAY).data["experiments"]["dearer"] for day in (5, 10, 25)]
    assert early["looks"] == "running"
    assert early["arms"][1]["verdict"] == "running"
    assert late[0]["looks"] == late[1]["looks"] == "planned"
    assert late[0] == late[1]
    assert sum(arm["answers"] for arm in late[0]["arms"]) == pytest.approx(300, abs=40)


def test_a_shadow_is_compared_on_the_same_questions(trial: Callable[..., Trial]) -> None:
    life = trial(EXPERIMENT + 'arms = ["live", "shadow"]\n')
    outcome = life.answer({"live": 0.2, "shadow": 0.19}, n=150, paired=True).compare(start=BEGIN)
    assert verdict(outcome) == "better", "unpaired, so small a gain is never found among so few"


def test_a_share_that_the_canary_was_not_given_makes_it_invalid(trial: Callable[..., Trial]) -> None:
    life = trial().answer({"live": 0.2, "canary": 0.1})
    life.begins(share=0.2)
    outcome = life.compare()
    assert (verdict(outcome), outcome.ok) == ("invalid", False)
    assert "canary was given 50.0% of the entities, meant were 20.0%" in str(outcome)


def test_a_share_that_was_changed_is_told_and_not_checked(trial: Callable[..., Trial]) -> None:
    life = trial().answer({"live": 0.2, "canary": 0.1})
    life.begins(share=0.2)
    life.begins(share=0.5, at=BEGIN + 3 * DAY)
    outcome = life.compare()
    assert verdict(outcome) == "better"
    assert "The canary's share was changed (0.2, 0.5)" in str(outcome)


def test_the_mean_truth_of_a_target_may_be_the_goal_and_a_mean_may_be_guarded_either_way(
    trial: Callable[..., Trial],
) -> None:
    text = """
[monitor.experiments.price]
goal = "mean:sale_price"
better = "higher"
guardrails = { "mean:sale_price" = -1000, mdape = 0.5 }
"""
    outcome = trial(text).answer({"live": 0.2, "canary": 0.2}).compare(start=BEGIN)
    assert verdict(outcome) == "undecided"
    rails = outcome.data["experiments"]["price"]["arms"][1]["guardrails"]
    assert rails["mean:sale_price"]["state"] == "held"
    assert rails["mean:sale_price"]["limit"] == 1000


def test_a_few_answers_say_nothing(trial: Callable[..., Trial]) -> None:
    assert verdict(trial().answer({"live": 0.9, "canary": 0.01}, n=20).compare(start=BEGIN)) == "insufficient"


def test_what_cannot_be_compared_is_said_with_what_to_do(trial: Callable[..., Trial], run: Any) -> None:
    life = trial(EXPERIMENT.replace("mdape", "auc"))
    with pytest.raises(MonitorError, match=r"nothing says when it began\. Say so: --since TIME"):
        life.compare()
    with pytest.raises(BlueprintError, match=r"experiments.dearer.*'auc' cannot be compared .*Known: mdape"):
        life.compare(start=BEGIN)
    with pytest.raises(UsageError, match="Did you mean 'dearer'"):
        life.compare(name="daerer")
    assert run("experiment", "other", "--project", life.folder).code == 2
