"""The ML Test Score of a project: only what was measured counts, and the least section decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.workflows.scorecard import evidence
from stackwright.workflows.scorecard.checks import CHECKS, SECTIONS
from stackwright.workflows.scorecard.score import meaning_of
from stackwright_interfaces.errors import DataError, ProjectError

Run = Callable[..., Any]


def scored(folder: Path, model: str | None = None) -> dict[str, Any]:
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        return dict(stack.scorecard(model).data)


def points(found: dict[str, Any]) -> dict[str, float]:
    return {check["id"]: check["points"] for check in found["checks"]}


def told(found: dict[str, Any], check: str) -> str:
    return next(str(item["found"]) for item in found["checks"] if item["id"] == check)


def test_there_are_seven_checks_in_each_of_four_sections() -> None:
    assert len(CHECKS) == len({check.id for check in CHECKS}) == 28
    assert [sum(check.section == section for check in CHECKS) for section in SECTIONS] == [7, 7, 7, 7]


def test_what_the_gates_and_the_journal_prove_counts(served: Path) -> None:
    found = scored(served)
    assert found["models"] == ["valuation@1"]
    proven = {check for check, value in points(found).items() if value}
    assert proven == {
        "simpler-model", "reproducible", "spec-tested", "pipeline-tested", "validated", "skew", "numerically-stable",
    }  # fmt: skip
    assert told(found, "simpler-model").startswith("gate baseline is green: mape on 60 newer rows")
    assert found["sections"] == {"data": 0, "model": 1, "infrastructure": 4, "monitoring": 2}
    assert found["score"] == 0
    assert found["meaning"] == "more of a research project than a productionised system"


def test_nothing_counts_before_there_is_a_version(filled: Path) -> None:
    found = scored(filled)
    assert set(points(found).values()) == {0}
    assert told(found, "reproducible") == "no version is published"


def test_a_claim_counts_half_and_is_told_with_its_day(work: Path) -> None:
    claims = (
        '[privacy]\nreason = "reviewed"\ndate = 2024-05-06\nby = "ada"\n[skew]\nreason = "by hand"\ndate = 2024-01-01\n'
    )
    (work / "scorecard.toml").write_text(claims)
    found = scored(work)
    assert points(found)["privacy"] == 0.5
    assert told(found, "privacy") == "by hand (2024-05-06, ada): reviewed"
    assert points(found)["skew"] == 1, "what is automated needs no claim"
    assert found["sections"]["data"] == 0.5


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[privcy]\nreason = 'a'\ndate = 2024-01-01", r"\[privcy\]: there is no such check. Did you mean 'privacy'\?"),
        ("[privacy]\ndate = 2024-01-01", "no reason is given"),
        ("[privacy]\nreason = ' '\ndate = 2024-01-01", "no reason is given"),
        ("[privacy]\nreason = 'a'", "no date is given"),
        ("[privacy]\nreason = 'a'\ndate = 2999-01-01", "date is 2999-01-01, no day that has come"),
        ("[privacy]\nreason = 'a'\ndate = '2024'", "no day that has come"),
        ("[privacy]\nreason = 'a'\ndate = 2024-01-01\nwho = 'b'", "unknown key 'who'"),
        ("privacy = 3", "no reason is given"),
        ("[privacy", "cannot be read"),
    ],
)
def test_a_claim_that_cannot_be_believed_is_refused(work: Path, text: str, wrong: str) -> None:
    (work / "scorecard.toml").write_text(text)
    with pytest.raises(ProjectError, match=wrong):
        scored(work)


def test_expectations_owners_a_lock_and_a_rollback_count_once_they_are_there(copies: Any) -> None:
    with copies.open() as stack:
        features = stack.project.features
        text = features.read_text().replace("from datetime", "from stackwright import Expectation\nfrom datetime", 1)
        text = text.replace(
            '    owner="ada",\n', '    owner="ada",\n    expect=(Expectation(column="area", low=1.0),),\n', 1
        )
        text = text.replace('    fields=(Field("minutes"', '    owner="ada",\n    fields=(Field("minutes"', 1)
        text = text.replace("    transforms=(room_size,),\n", '    transforms=(room_size,),\n    owner="ada",\n', 1)
        features.write_text(text)
        stack.apply()
        found = dict(stack.scorecard().data)
        assert "1 of 2 views declare expectations, 1 in all" in told(found, "feature-expectations")
        stack.train()
        stack.promote("valuation")
        stack.train(force=True)
    with copies.open(half_life=90.0) as stack:
        stack.train()
        stack.promote("valuation@2")
        stack.rollback(reason="too dear")
        stack.lock()
        found = dict(stack.scorecard().data)
    assert told(found, "meta-requirements").startswith("3 of 3 definitions name an owner; gate leakage is green")
    assert told(found, "rollback").endswith("too dear")
    assert told(found, "dependencies") == "locked; every verb tells of differences, 0 now"
    for check in ("meta-requirements", "rollback", "dependencies"):
        assert points(found)[check] == 1, check


def test_what_was_forced_was_not_validated(copies: Any) -> None:
    with copies.open(gates={"baseline": {"min_gain": 0.999}}) as stack:
        stack.train()
        stack.promote("valuation", force=True, reason="the fair is tomorrow")
        found = dict(stack.scorecard().data)
    assert points(found)["validated"] == points(found)["simpler-model"] == 0
    assert told(found, "validated").endswith("the fair is tomorrow")


def test_reports_and_logged_predictions_count(copies: Any) -> None:
    with copies.open() as stack:
        stack.train()
        stack.promote("valuation")
        numbers = {
            "version": 1,
            "at": "2025-01-01T00:00:00Z",
            "data": {"n": 500, "columns": {"area": {"state": "ok"}, "kind": {"state": "insufficient"}}},
            "performance": {
                "groups": [
                    {"version": 1, "n": 300, "judged": {"mdape": {"value": 0.11, "expected": 0.1, "state": "ok"}}},
                    {"version": 2, "n": 300, "judged": {"mdape": {"value": 0.21, "expected": 0.2, "state": "ok"}}},
                ]
            },
        }
        path = stack.project.reports / "valuation" / "first_now" / "report.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(numbers))
        found = dict(stack.scorecard().data)
        for check in ("metrics-correlate", "data-invariants", "prediction-quality"):
            assert points(found)[check] == 1, told(found, check)
        numbers["performance"]["groups"][0]["judged"]["mdape"]["state"] = "alarm"  # type: ignore[index]
        numbers["performance"]["groups"][1]["judged"]["mdape"]["value"] = 0.01  # type: ignore[index]
        path.write_text(json.dumps(numbers))
        found = dict(stack.scorecard().data)
        assert points(found)["prediction-quality"] == points(found)["metrics-correlate"] == 0


@pytest.mark.parametrize("text", ["", '{"version": 1, "da', "[]"])
def test_a_damaged_report_is_named(copies: Any, text: str) -> None:
    with copies.open() as stack:
        path = stack.project.reports / "valuation" / "first_now" / "report.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        with pytest.raises(DataError, match=r"report\.json: cannot be read as a report .* Delete its folder"):
            stack.scorecard()


def test_shadows_are_canaries_and_features_make_a_prediction_traceable(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stackwright.workflows import journal

    class Records:
        def __init__(self, *records: dict[str, Any]) -> None:
            self.found = records

        def records(self, *, start: datetime) -> Any:
            assert start < datetime.now(UTC)
            return iter(self.found)

        def close(self) -> None:
            """Nothing is open."""

    live = {"model": "valuation", "arm": "live", "features": {"area": 1.0}}
    monkeypatch.setattr(journal, "predictions", lambda stack: Records(live, {**live, "arm": "shadow"}))
    found = scored(served)
    assert (points(found)["canaried"], points(found)["debuggable"]) == (1, 1)
    assert told(found, "canaried") == "of 2 predictions of the last 90 days: 1 by shadow"
    monkeypatch.setattr(journal, "predictions", lambda stack: Records({**live, "features": {}}, {**live, "model": "x"}))
    found = scored(served)
    assert (points(found)["canaried"], points(found)["debuggable"]) == (0, 0)
    monkeypatch.setattr(evidence, "_LOOKED_AT", 1)  # many of another model come first
    monkeypatch.setattr(journal, "predictions", lambda stack: Records({**live, "model": "x"}, live, live))
    assert told(scored(served), "canaried").startswith("of 1 predictions of the last 90 days")


def test_of_several_models_the_worst_decides(work: Path) -> None:
    text = (work / "blueprint.toml").read_text()
    model = text[text.index("[models.valuation]") : text.index("[registry]")]
    (work / "blueprint.toml").write_text(text + "\n" + model.replace("valuation]", "second]"))
    found = scored(work)
    assert points(found)["simpler-model"] == 0
    assert told(found, "simpler-model") == "second: no version is published"
    assert points(scored(work, "valuation"))["simpler-model"] == 1


def test_the_verb_prints_the_sections_and_the_score(served: Path, run: Run) -> None:
    printed = run("scorecard", "--project", served)
    assert printed.code == 0
    assert "ML Test Score 0 of 7, for valuation@1" in printed.out
    assert "privacy" in printed.out
    assert run("scorecard", "valuation", "--project", served, "--json").json["sections"]["infrastructure"] == 4


def test_scores_mean_what_the_paper_says() -> None:
    meanings = [meaning_of(score) for score in (0, 0.5, 1, 1.5, 2.5, 4, 5.5)]
    assert meanings[1] == meanings[2]
    assert len(set(meanings)) == 6
