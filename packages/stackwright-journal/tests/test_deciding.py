"""The numbers that decide: what alarms, what only warns, and what is not enough to say anything."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from stackwright_interfaces.errors import UsageError
from stackwright_journal.deciding import Policy, Rule, decide
from stackwright_journal.join import Joined, Maturity
from stackwright_journal.judging import JudgedRows
from stackwright_journal.reading import ReadCounts
from stackwright_numerics.drift import Histogram, Limits

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = pa.timestamp("us", "UTC")
EXPECTED = {1: {"mdape": 0.1}, 2: {"mdape": 0.1}}


def joined(n=600, *, bias=0.0, noise=0.15, version=1, arm="live", matured=True, seed=0, area=0.0, day=0):
    """Predictions of one day: log-normal errors, an interval of 90 %, an area and a zone; observed ten days later."""
    random = np.random.default_rng(seed)
    prediction = random.lognormal(12, 0.5, n)
    target = prediction * np.exp(random.normal(-bias, noise, n))
    made = np.full(n, np.datetime64(START.replace(tzinfo=None), "us") + np.timedelta64(day, "D"))
    seen = made + np.timedelta64(10, "D")
    status = Maturity.MATURED if matured else Maturity.PENDING
    columns = {
        "prediction_id": [f"{seed}-{number}" for number in range(n)],
        "model": ["avm"] * n,
        "version": [version] * n,
        "arm": [arm] * n,
        "predicted_at": pa.array(made, INSTANT),
        "prediction": prediction,
        "lower": prediction * np.exp(-0.15 * 1.645),
        "upper": prediction * np.exp(0.15 * 1.645),
        "feature.area": random.normal(100 + area, 10, n),
        "feature.zone": [("a", "b")[number % 2] for number in range(n)],
        "status": [status] * n,
        "target": target,
        "observed_at": pa.array(seen, INSTANT, mask=np.full(n, not matured)),
    }
    return Joined(
        table=pa.table(columns), at=START + 30 * DAY, time="predicted_at", labels=n, unmatched=0, unknown=0, early=0
    )


def together(*parts):
    table = pa.concat_tables([part.table for part in parts])
    return Joined(table=table, at=START + 30 * DAY, time="predicted_at", labels=0, unmatched=0, unknown=0, early=0)


def histograms():
    table = joined(5000, seed=99).table
    return {
        "area": Histogram.of(table.column("feature.area").to_numpy()).to_json(),
        "zone": Histogram.of(np.asarray(table.column("feature.zone").to_pylist(), dtype=object)).to_json(),
    }


REFERENCE = histograms()


def run(given, **more):
    options = {
        "model": "avm",
        "version": 1,
        "task": "regression",
        "histograms": REFERENCE,
        "expected": EXPECTED,
        "level": 0.9,
        **more,
    }
    return decide(given, **options)


def group(result, place=0):
    return result["performance"]["groups"][place]


def test_a_good_month_is_ok_and_its_result_is_json():
    result = run(joined(), counts=ReadCounts(torn=1), statuses={"area": {"EXPIRED": 3}})
    assert (result["state"], result["performance"]["state"], result["data"]["state"]) == ("ok", "ok", "ok")
    assert group(result)["n"] == 600
    assert set(group(result)["judged"]) == {"mdape", "signed_median_error", "interval_coverage"}
    assert result["counts"]["torn"] == 1
    assert result["data"]["statuses"] == {"area": {"EXPIRED": 3}}
    json.dumps(result, allow_nan=False)


def test_predictions_that_became_worse_alarm_with_value_interval_and_limit():
    result = run(joined(noise=0.3))
    verdict = group(result)["judged"]["mdape"]
    assert (result["state"], verdict["state"], verdict["limit"]) == ("alarm", "alarm", 0.25)
    assert verdict["low"] < verdict["value"] < verdict["high"]
    assert verdict["loss"] == pytest.approx(verdict["value"] / 0.1 - 1)
    assert verdict["proven"] == pytest.approx(verdict["low"] / 0.1 - 1)


@pytest.mark.parametrize("bias", [0.1, -0.1])
def test_a_market_that_moved_either_way_alarms_by_the_signed_error(bias):
    assert group(run(joined(bias=bias)))["judged"]["signed_median_error"]["state"] == "alarm"


def test_intervals_that_no_longer_cover_alarm():
    verdict = group(run(joined(noise=0.25)))["judged"]["interval_coverage"]
    assert (verdict["state"], verdict["expected"], verdict["kind"]) == ("alarm", 0.9, "fall")


def test_a_large_loss_alarms_only_where_the_rows_prove_it():
    few = group(run(joined(110, noise=0.2, seed=2)))["judged"]["mdape"]
    many = group(run(joined(5000, noise=0.2)))["judged"]["mdape"]
    assert few["loss"] > 0.25
    assert many["loss"] > 0.25
    assert few["proven"] < 0.125 < many["proven"]
    assert (few["state"], many["state"]) == ("warn", "alarm")


def test_a_small_loss_is_ok_however_well_it_is_proven():
    verdict = group(run(joined(10_000, noise=0.155)))["judged"]["mdape"]
    assert 0 < verdict["proven"] < verdict["loss"] < 0.125
    assert verdict["state"] == "ok"


def test_of_very_many_rows_some_are_drawn_and_the_interval_is_that_of_all():
    given = joined(100_000, seed=4)
    rows = JudgedRows.of(given.table, "regression", "predicted_at", 10)
    found, (low, high) = rows.score(), rows.intervals(0.95)["mape"]
    error = np.abs(rows.prediction / rows.target - 1)
    half = 1.96 * error.std() / np.sqrt(len(error))
    assert low < found["mape"] < high
    assert high - low == pytest.approx(2 * half, rel=0.25)


def test_too_few_truths_are_insufficient_whatever_they_say():
    result = run(joined(99, noise=0.9))
    assert result["performance"]["state"] == "insufficient"
    assert group(result)["judged"]["mdape"]["value"] > 0.3


def test_without_truths_there_are_no_groups_but_the_data_are_judged():
    result = run(joined(matured=False))
    assert result["performance"] == {"state": "insufficient", "minimum": 100, "groups": [], "estimates": []}
    assert (result["state"], result["data"]["state"]) == ("ok", "ok")


def test_a_version_without_expected_metrics_is_judged_by_bias_and_coverage_alone():
    result = run(joined(), expected={})
    states = {name: verdict["state"] for name, verdict in group(result)["judged"].items()}
    assert states == {"mdape": "insufficient", "signed_median_error": "ok", "interval_coverage": "ok"}


def test_versions_and_arms_are_judged_apart_and_a_shadow_does_not_alarm():
    given = together(joined(), joined(noise=0.4, version=2, arm="shadow", seed=1))
    result = run(given)
    assert [(item["version"], item["arm"], item["state"]) for item in result["performance"]["groups"]] == [
        (1, "live", "ok"),
        (2, "shadow", "alarm"),
    ]
    assert result["performance"]["state"] == "ok"


@pytest.mark.parametrize("arm", ["shadow", "test"])
def test_rows_whose_answers_nobody_saw_are_no_sign_of_drift(arm):
    result = run(together(joined(), joined(area=10, arm=arm, seed=1)))
    assert (result["data"]["state"], result["data"]["n"]) == ("ok", 600)
    assert result["performance"]["state"] == "ok"


def test_a_shifted_feature_alarms_by_name():
    result = run(joined(area=10))
    columns = result["data"]["columns"]
    assert (columns["area"]["state"], columns["zone"]["state"], result["data"]["state"]) == ("alarm", "ok", "alarm")
    assert columns["area"]["psi"] > columns["area"]["psi_noise"]
    assert result["data"]["limits"]["psi"] == 0.2


def test_a_new_category_and_a_feature_gone_missing_alarm():
    given = joined()
    table = given.table
    zones = pa.array(["z" if place % 3 == 0 else "a" for place in range(600)])
    table = table.set_column(table.column_names.index("feature.zone"), "feature.zone", zones)
    table = table.set_column(table.column_names.index("feature.area"), "feature.area", pa.nulls(600, pa.float64()))
    columns = run(Joined(table, given.at, "predicted_at", 0, 0, 0, 0))["data"]["columns"]
    assert columns["zone"]["new_examples"] == {"z": 200}
    assert columns["area"]["states"]["missing"] == "alarm"


def test_a_reference_column_that_was_not_read_is_told():
    result = run(joined(), histograms={**REFERENCE, "rooms": REFERENCE["area"]})
    assert result["data"]["skipped"] == {"rooms": "not among the columns that were read"}


def test_the_prediction_itself_may_have_a_reference():
    reference = Histogram.of(joined(5000, seed=99).table.column("prediction").to_numpy()).to_json()
    assert run(joined(), histograms={"prediction": reference})["data"]["columns"]["prediction"]["state"] == "ok"


def test_data_are_those_of_the_version_and_the_window():
    given = together(joined(area=50, version=2, seed=1), joined(area=50, day=20, seed=2), joined())
    result = run(given, end=START + DAY)
    assert (result["data"]["n"], result["data"]["state"]) == (600, "ok")
    assert result["end"] == "2026-01-02T00:00:00.000000Z"


def test_performance_is_that_of_the_truths_observed_in_the_window():
    given = together(joined(noise=0.4), joined(day=5, seed=1))
    inside = run(given, start=START + 12 * DAY, end=START + 16 * DAY)
    assert (group(inside)["n"], inside["performance"]["state"]) == (600, "ok")
    assert run(given)["performance"]["state"] == "alarm"


def test_predictions_too_young_to_be_fair_are_not_judged():
    result = run(joined(), policy=Policy(maturity=31 * DAY))
    assert result["performance"]["groups"] == []
    assert result["cohorts"][0]["mature"] is False


def test_a_text_feature_shows_performance_by_its_values():
    shown = group(run(joined(), slices=["zone"]))["slices"]["zone"]
    assert set(shown) == {"a", "b"}
    assert shown["a"]["n"] == 300


def test_classification_is_judged_by_rank_loss_and_calibration():
    random = np.random.default_rng(0)
    given = joined(2000)
    chance = random.random(2000)
    truth = (random.random(2000) < chance).astype(float)

    def with_target(values):
        table = given.table.set_column(given.table.column_names.index("prediction"), "prediction", pa.array(chance))
        table = table.set_column(table.column_names.index("target"), "target", pa.array(values))
        return Joined(table, given.at, "predicted_at", 0, 0, 0, 0)

    expected = {1: {"auc": 0.83, "log_loss": 0.5, "ece": 0.01}}
    good = run(with_target(truth), task="classification", expected=expected)
    assert set(group(good)["judged"]) == {"auc", "log_loss", "ece"}
    assert good["performance"]["state"] == "ok"
    blurred = np.where(random.random(2000) < 0.3, 1 - truth, truth)
    assert (
        group(run(with_target(blurred), task="classification", expected=expected))["judged"]["auc"]["state"] == "alarm"
    )


def with_columns(given, **columns):
    table = given.table
    for name, values in columns.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return Joined(table, given.at, "predicted_at", 0, 0, 0, 0)


def ranked(clear):
    """A hundred lists of six with one click each, which comes first in this share of them."""
    random = np.random.default_rng(1)
    clicked = np.eye(6)[random.integers(0, 6, 100)]
    right = np.where(random.random(100)[:, None] < clear, clicked, random.random((100, 6)))
    lists = pa.array(np.repeat([f"search {number}" for number in range(100)], 6))
    return with_columns(joined(600), target=clicked.ravel(), prediction=right.ravel(), group=lists)


def test_a_ranking_is_judged_by_the_lists_that_labels_name():
    expected = {1: {"ndcg": 0.98}}
    good = group(run(ranked(0.99), task="ranking", expected=expected, k=3))
    assert (good["state"], good["n"], good["metrics"]["lists"]) == ("ok", 600, 100.0)
    verdict = group(run(ranked(0.6), task="ranking", expected=expected, k=3))["judged"]["ndcg"]
    assert verdict["state"] == "alarm"
    assert verdict["low"] < verdict["value"] < verdict["high"] < 0.98


def test_rows_of_no_list_are_passed_over():
    given = ranked(1.0)
    lists = pa.array([None] * 300 + given.table.column("group").to_pylist()[300:], pa.string())
    found = group(run(with_columns(given, group=lists), task="ranking", expected={}))
    assert (found["n"], found["metrics"]["lists"], found["state"]) == (300, 50.0, "insufficient")


def test_lists_without_a_click_say_nothing():
    given = with_columns(ranked(1.0), target=np.zeros(600))
    assert group(run(given, task="ranking", expected={1: {"ndcg": 0.9}}))["state"] == "insufficient"


def test_times_are_judged_by_their_order_those_that_still_wait_included():
    given = joined(600)
    random = np.random.default_rng(3)
    days = random.exponential(20, 600)
    watched = np.where(random.random(600) < 0.5, 9.0, 100.0)
    start = np.datetime64(START.replace(tzinfo=None), "us")
    ended = pa.array(start + (np.minimum(days, watched) * 86_400e6).astype("timedelta64[us]"), INSTANT)
    status = np.where(days <= watched, Maturity.MATURED.value, Maturity.CENSORED.value)
    told = with_columns(
        given, prediction=days, target=np.zeros(600), status=status, happened_at=ended, observed_at=ended
    )
    expected = {1: {"c_index": 0.99}}
    right = group(run(told, task="time_to_event", expected=expected))
    assert (right["n"], right["metrics"]["c_index"], right["state"]) == (600, 1.0, "ok")
    assert right["metrics"]["events"] == (days <= watched).sum()
    guessed = with_columns(told, prediction=days + random.normal(0, 30, 600))
    verdict = group(run(guessed, task="time_to_event", expected=expected))["judged"]["c_index"]
    assert verdict["state"] == "alarm"
    assert verdict["low"] < verdict["value"] < verdict["high"]


def test_limits_and_minimum_are_the_callers():
    policy = Policy(minimum=601, limits=Limits(psi=5, ks=5, outside=1))
    result = run(joined(area=10), policy=policy)
    assert (result["performance"]["state"], result["data"]["state"]) == ("insufficient", "ok")


def test_an_unknown_task_is_refused():
    with pytest.raises(UsageError, match="no metrics for it"):
        run(joined(), task="poetry")


@pytest.mark.parametrize(
    ("rule", "value", "expected", "loss"),
    [
        (Rule(0.1, "ratio"), 0.12, 0.1, 0.2),
        (Rule(0.1, "rise"), -0.07, 0.02, 0.05),
        (Rule(0.1, "fall"), 0.8, 0.9, 0.1),
    ],
)
def test_a_loss_is_what_became_worse(rule, value, expected, loss):
    assert rule.loss(value, expected) == pytest.approx(loss)


def test_a_loss_is_proven_by_the_best_value_of_its_interval():
    assert Rule(0.1, "rise").least_loss(-0.02, 0.3, 0.0) == 0
    assert Rule(0.1, "rise").least_loss(0.1, 0.3, 0.0) == pytest.approx(0.1)
    assert Rule(0.1, "fall").least_loss(0.7, 0.85, 0.9) == pytest.approx(0.05)
    assert Rule(0.1, "ratio").least_loss(0.11, 0.2, 0.1) == pytest.approx(0.1)
