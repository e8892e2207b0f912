"""Arms compared: gains are found where they are, chance is not taken for one, and what must not suffer is guarded."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stackwright_interfaces.errors import UsageError
from stackwright_journal.experiments import Plan, compare, widening
from stackwright_journal.measures import mean_of, metric_of
from stackwright_numerics import metrics

ARMS = ("live", "canary")


def answers(n=3000, *, noise=(0.15, 0.15), share=0.5, seed=0, repeat=1, paired=False):
    """Valuations by two arms, each entity asked so often, all its errors alike; by both arms where they are paired."""
    random = np.random.default_rng(seed)
    entity = np.repeat(np.arange(n), repeat)
    own = random.normal(size=n)[entity]
    arm = (random.random(n) < share).astype(np.int64)[entity]
    if paired:
        entity, own, arm = np.tile(entity, 2), np.tile(own, 2), np.repeat([0, 1], entity.size)
    error = own * np.asarray(noise)[arm]
    prediction = np.full(arm.size, 100.0)
    nothing = np.full(arm.size, np.nan)
    columns = {"target": prediction * np.exp(error), "prediction": prediction, "lower": nothing, "upper": nothing}
    return arm, entity, columns


def run(given, goal="mdape", guards=(), **plan):
    arm, entity, columns = given
    limits = dict(guards)
    measures = [metric_of("regression", name, arm, entity, columns) for name in (goal, *limits)]
    return compare(measures[0], measures[1:], Plan(arms=ARMS, guardrails=limits, **{"looks": "planned", **plan}))


def verdict(found):
    return found["arms"][1]["verdict"]


def test_an_arm_that_is_better_is_found_with_its_gain_and_interval():
    found = run(answers(noise=(0.2, 0.15)))
    gain = found["arms"][1]["gain"]
    assert verdict(found) == "better"
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert gain["value"] == pytest.approx(0.034, abs=0.015)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_arm_that_is_worse_is_found_even_while_it_runs():
    assert verdict(run(answers(noise=(0.15, 0.2)), looks="running")) == "worse"


def test_arms_that_are_alike_are_undecided_as_often_as_the_level_says():
    verdicts = [verdict(run(answers(400, seed=seed))) for seed in range(20)]
    assert verdicts.count("undecided") >= 17


def test_a_gain_that_is_too_small_to_be_worth_having_decides_nothing():
    assert verdict(run(answers(noise=(0.2, 0.15)), least=0.2)) == "undecided"


def test_before_its_end_an_experiment_runs_on_and_too_few_rows_say_nothing():
    assert verdict(run(answers(noise=(0.2, 0.15)), looks="running")) == "running"
    assert verdict(run(answers(noise=(0.2, 0.15)), minimum=10_000)) == "insufficient"
    assert verdict(run(answers(share=0.0))) == "insufficient"


def test_a_guardrail_that_is_proven_broken_outweighs_the_gain():
    arm, entity, columns = answers(noise=(0.2, 0.15))
    columns["prediction"] = np.where(arm == 1, 94.0, 100.0)
    found = run((arm, entity, columns), goal="rmse", guards={"signed_median_error": 0.02}.items())
    assert found["arms"][1]["guardrails"]["signed_median_error"]["state"] == "broken"
    assert verdict(found) == "worse"


def test_a_guardrail_holds_only_where_the_rows_prove_it():
    held = run(answers(noise=(0.2, 0.15)), guards={"signed_median_error": 0.05}.items())
    assert held["arms"][1]["guardrails"]["signed_median_error"]["state"] == "held"
    few = run(answers(260, noise=(0.6, 0.1), seed=2), guards={"signed_median_error": 0.001}.items(), minimum=50)
    assert few["arms"][1]["guardrails"]["signed_median_error"]["state"] == "open"
    assert verdict(few) == "undecided"


def test_rows_of_one_entity_do_not_count_as_so_many():
    once, often = (run(answers(400, repeat=repeat))["arms"][1]["gain"] for repeat in (1, 10))
    widths = [gain["high"] - gain["low"] for gain in (once, often)]
    assert widths[1] == pytest.approx(widths[0], rel=0.25)


def test_a_shadow_of_the_same_questions_is_compared_in_pairs():
    apart, paired = (run(answers(800, noise=(0.2, 0.19), paired=both))["arms"][1]["gain"] for both in (False, True))
    assert paired["high"] - paired["low"] < (apart["high"] - apart["low"]) / 3
    assert paired["low"] > 0


def test_a_share_of_entities_that_is_no_chance_makes_it_invalid():
    even = {"live": 0.5, "canary": 0.5}
    assert verdict(run(answers(noise=(0.2, 0.15)), shares=even)) == "better"
    odd = run(answers(noise=(0.2, 0.15), share=0.4), shares=even)
    assert verdict(odd) == "invalid"
    assert odd["mismatch"]["canary"]["found"] == pytest.approx(0.4, abs=0.03)


def test_shares_are_checked_of_entities_not_of_what_they_asked():
    arm, entity, columns = answers(1000, repeat=5)
    many = np.repeat(np.arange(arm.size), np.where(arm == 1, 3, 1))
    found = run(
        (arm[many], entity[many], {name: values[many] for name, values in columns.items()}),
        shares={"live": 0.5, "canary": 0.5},
    )
    assert found["mismatch"] == {}


def test_entities_that_a_shadow_did_not_answer_are_left_out_of_the_comparison():
    arm, entity, columns = answers(800, noise=(0.2, 0.2), paired=True)
    columns["target"] = np.where((arm == 0) & (entity >= 600), columns["target"] * 3, columns["target"])
    kept = (arm == 0) | (entity < 600)
    given = arm[kept], entity[kept], {name: values[kept] for name, values in columns.items()}
    assert run(given, paired=("canary",))["arms"][1]["gain"]["value"] == pytest.approx(0)
    assert run(given)["arms"][1]["gain"]["value"] > 0.01


def test_who_looks_at_any_time_gets_wider_intervals_than_who_looks_once():
    once, often = (run(answers(noise=(0.2, 0.15)), looks=looks)["arms"][1]["gain"] for looks in ("planned", "any"))
    assert once["widened"] == pytest.approx(1)
    assert 1.4 < often["widened"] < 2
    assert often["high"] - often["low"] == pytest.approx(often["widened"] * (once["high"] - once["low"]))


def test_looking_a_hundred_times_finds_a_gain_by_chance_no_more_often_than_the_level_says():
    random, runs, most = np.random.default_rng(3), 1000, 5000
    at = np.unique(np.geomspace(200, most, 100).astype(int))
    means = np.cumsum(random.normal(size=(runs, most)), axis=1)[:, at - 1] / at
    half = 1.96 / np.sqrt(at)
    wide = half * [widening(int(number), 0.95, narrowest=200) for number in at]
    assert (np.abs(means) > half).any(axis=1).mean() > 0.2
    assert (np.abs(means) > wide).any(axis=1).mean() < 0.05


def test_several_arms_and_guardrails_share_the_error_that_is_allowed():
    assert widening(1000, 0.95, looks="planned") == pytest.approx(1)
    assert widening(1000, 0.95, comparisons=5, looks="planned") == pytest.approx(2.576 / 1.96, abs=1e-3)


def test_a_bootstrap_of_a_handful_of_entities_is_never_trusted():
    assert verdict(run(answers(40, noise=(0.9, 0.01)), minimum=2)) == "insufficient"


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (
            "regression",
            "mdape signed_median_error mape mae rmse ppe5 ppe10 ppe20 interval_coverage median_relative_width",
        ),
        ("classification", "auc log_loss ece"),
    ],
)
def test_weighted_metrics_are_those_of_reports(task, names):
    random = np.random.default_rng(4)
    n = 500
    weight = random.integers(0, 4, n).astype(np.float64)
    rows = random.random(n) < 0.7
    if task == "regression":
        target = random.lognormal(12, 0.5, n)
        prediction = target * random.lognormal(0, 0.2, n)
        ends = {"lower": prediction * 0.8, "upper": prediction * 1.3}
    else:
        prediction = random.random(n)
        target = (random.random(n) < prediction).astype(np.float64)
        ends = {"lower": np.full(n, np.nan), "upper": np.full(n, np.nan)}
    columns = {"target": target, "prediction": prediction, **ends}
    held = rows & (weight > 0)
    given = [columns[name][held] for name in ("target", "prediction", "lower", "upper")]
    expected = metrics.score(task, *given, weight[held])
    for name in names.split():
        found = metric_of(task, name, np.zeros(n, np.int64), np.arange(n), columns).value(rows, weight)
        assert found == pytest.approx(expected[name]), name


def test_a_metric_that_no_draw_can_weigh_is_refused_with_those_that_can():
    with pytest.raises(UsageError, match=r"'c_index': cannot be compared .*mean:TARGET"):
        metric_of("time_to_event", "c_index", np.zeros(3, np.int64), np.arange(3), {})


def test_a_mean_of_anything_may_be_the_goal():
    random = np.random.default_rng(1)
    arm = np.arange(2000) % 2
    days = random.exponential(np.where(arm == 1, 20, 30))
    fewer = mean_of("days", arm, np.arange(2000), days, better="lower")
    found = compare(fewer, [], Plan(arms=ARMS))
    assert verdict(found) == "better"
    assert found["arms"][1]["gain"]["value"] == pytest.approx(10, abs=3)
