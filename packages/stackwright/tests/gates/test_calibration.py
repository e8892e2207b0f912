"""Whether probabilities, intervals and quantiles hold what they promise."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from candidates import N, area, bent, exact, judged, made, places, promoted, rows

from stackwright.workflows.gates import Candidate
from stackwright_serving.model import LoadedModel


def of_class(candidate: Candidate, answer: Any, share: Any) -> Candidate:
    data = rows(y=(np.random.default_rng(0).random(N) < share).astype(np.float64), **places())
    model = bent(candidate.model, lambda _matrix: answer, task="classification", intervals=None)
    return made(candidate, model=model, train=data, holdout=data)


def test_probabilities_must_come_true_as_often_as_they_say(good: Candidate) -> None:
    share = np.random.default_rng(1).uniform(0.05, 0.95, N)
    assert judged(of_class(good, share, share), "calibration").state == "green"
    sure = np.where(share > 0.5, 0.97, 0.03)
    result = judged(of_class(good, sure, share), "calibration")
    assert result.state == "red"
    assert result.evidence["ece"] > 0.2


def test_intervals_must_hold_as_many_truths_as_they_say(good: Candidate) -> None:
    assert judged(good, "calibration", rows=50).state == "green"
    spread = replace(good.holdout, target=good.holdout.target * np.where(np.arange(60) % 2, 1.5, 1.0))
    result = judged(made(good, holdout=spread), "calibration", rows=50)
    assert result.state == "red"
    assert "meant are 80%" in result.detail
    champion = promoted(good.model, good)
    assert judged(made(good, champion, holdout=spread), "calibration", rows=50).state == "green"


def test_an_interval_that_does_not_exist_holds_no_truth(good: Candidate) -> None:
    below = bent(good.model, lambda matrix: np.full(len(matrix), -1.0))
    missing = made(good, model=below)
    assert missing.answer.lower is not None
    assert np.isnan(missing.answer.lower).all(), "intervals in proportion have no ends below zero"
    result = judged(missing, "calibration", rows=50)
    assert (result.state, result.evidence["gap"], result.evidence["rows"]) == ("red", pytest.approx(-0.8), 60)


def test_rows_that_the_champion_learned_from_excuse_no_promise(good: Candidate) -> None:
    spread = replace(good.holdout, target=good.holdout.target * np.where(np.arange(60) % 2, 1.5, 1.0))
    late = promoted(good.model, good, until=str(spread.asked[30]))
    assert judged(made(good, late, holdout=spread), "calibration", rows=50).state == "red"
    assert judged(made(good, late, holdout=spread), "calibration", rows=20).state == "green"
    share = np.random.default_rng(1).uniform(0.05, 0.95, N)
    sure = of_class(good, np.where(share > 0.5, 0.97, 0.03), share)
    for until, state in ((0, "green"), (-50, "red")):
        held = promoted(sure.model, good, until=str(sure.holdout.asked[until]))
        assert judged(made(sure, held), "calibration").state == state


def test_a_model_without_intervals_has_none_to_hold(good: Candidate) -> None:
    assert judged(exact(good), "calibration").detail == "the model gives no intervals"


def with_quantiles(candidate: Candidate, *shares: float, sureness: float = 1.0) -> Candidate:
    """Return a candidate whose quantiles lie where those of the truth do, or too near to the middle."""
    found = exact(candidate)
    signature, parameters = found.model.manifest.signature, found.model.manifest.parameters
    names = [f"quantile_{100 * share:g}" for share in shares]
    outputs = (*signature.outputs, *(replace(signature.outputs[0], name=name.replace(".", "_")) for name in names))
    value = area(found)
    factors = [math.exp(0.1 / sureness * NormalDist().inv_cdf(share)) for share in shares]
    answering = bent(
        found.model,
        lambda matrix: np.column_stack([value(matrix) * factor for factor in (1.0, *factors)]),
        signature=replace(signature, outputs=outputs),
        parameters={**parameters, "quantiles": list(shares)},
    )
    return made(found, model=answering)


def test_two_quantiles_must_hold_as_many_truths_as_lie_between_their_shares(good: Candidate) -> None:
    right = judged(with_quantiles(good, 0.05, 0.1, 0.5, 0.9, 0.95), "calibration")
    assert right.state == "green"
    found = {item["name"]: item["level"] for item in right.evidence["quantiles"]}
    assert found == pytest.approx(
        {"quantile_5 to quantile_95": 0.9, "quantile_10 to quantile_90": 0.8, "quantile_50": 0.5}
    )
    sure = judged(with_quantiles(good, 0.1, 0.5, 0.9, sureness=3), "calibration")
    assert sure.state == "red"
    assert "quantile_10 to quantile_90 hold 3" in sure.detail
    assert "meant are 80%" in sure.detail
    held = {item["name"]: item["holds"] for item in sure.evidence["quantiles"]}
    assert held == {"quantile_10 to quantile_90": False, "quantile_50": True}
    assert judged(with_quantiles(good, 0.1, 0.5, 0.9, sureness=3), "calibration", coverage=0.6).state == "green"


def test_a_quantile_without_its_counterpart_must_leave_its_share_below(good: Candidate) -> None:
    assert judged(with_quantiles(good, 0.975), "calibration").state == "green"
    result = judged(with_quantiles(good, 0.975, sureness=3), "calibration")
    assert (result.state, result.detail.startswith("quantile_97_5 leaves below it 7")) == ("red", True)


def test_rows_outside_of_the_selection_have_no_quantiles_to_hold(good: Candidate) -> None:
    found = with_quantiles(good, 0.1, 0.9)
    for area_of, state in (([1.5, 2.0], "green"), ([5.0, 6.0], "not applicable")):
        rules = {"select": {"area": area_of}, "fallback": 1.0}
        manifest = replace(found.model.manifest, parameters={**found.model.manifest.parameters, "rules": rules})
        result = judged(made(found, model=LoadedModel(manifest, found.model.predictor)), "calibration")
        assert result.state == state
        counted = [item["rows"] for item in result.evidence.get("quantiles", [])]
        assert counted == ([int((found.holdout.columns["area"] >= 1.5).sum())] if state == "green" else [])


def test_quantiles_that_hold_no_better_in_the_champion_hold_nothing_back(good: Candidate) -> None:
    sure = with_quantiles(good, 0.1, 0.9, sureness=3)
    result = judged(made(sure, promoted(with_quantiles(good, 0.1, 0.9, sureness=4).model, sure)), "calibration")
    assert (result.state, "(the champion is off by" in result.detail) == ("green", True)
    better = promoted(with_quantiles(good, 0.1, 0.9, sureness=2).model, sure)
    assert judged(made(sure, better), "calibration").state == "red"
