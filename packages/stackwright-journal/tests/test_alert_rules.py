"""Alert rules: what each finds in a window, how it is said, and that chance alone seldom alarms."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from stackwright_journal.alert_rules import AlertRule, WindowData, evaluate
from stackwright_journal.counting import ColumnCounts, together
from stackwright_journal.join import Joined, Maturity
from stackwright_numerics.drift import Histogram, Limits

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = pa.timestamp("us", "UTC")


def predictions(n=600, *, bias=0.0, noise=0.15, version=1, arm="live", seed=0, hit="", days=(0, 7), **more):
    """Answers of some days, their truths observed the day after; in one district they are off by a quarter."""
    random = np.random.default_rng(seed)
    answer = random.lognormal(12, 0.5, n)
    district = np.array(["harbour", "hill", "park"])[random.integers(0, 3, n)]
    shift = np.where(district == hit, np.log(0.75), 0.0)
    made = np.datetime64(START.replace(tzinfo=None), "us") + (random.uniform(*days, n) * 86_400e6).astype("m8[us]")
    columns = {
        "version": np.full(n, version),
        "arm": [arm] * n,
        "asked_at": pa.array(made, INSTANT),
        "prediction": answer,
        "lower": answer * np.exp(-1.645 * 0.15),
        "upper": answer * np.exp(1.645 * 0.15),
        "fallbacks": pa.array(np.zeros(n), pa.int16()),
        "feature.district": district,
        "feature.area": random.normal(100, 20, n),
        "status": [Maturity.MATURED.value] * n,
        "target": answer * np.exp(shift - bias + random.normal(0, noise, n)),
        "observed_at": pa.array(made + np.timedelta64(1, "h"), INSTANT),
        **more,
    }
    return pa.table(columns)


def histograms():
    table = predictions(4000, seed=77)
    return {
        "area": Histogram.of(table.column("feature.area").to_numpy()).to_json(),
        "district": Histogram.of(np.array(table.column("feature.district").to_pylist(), dtype=object)).to_json(),
    }


REFERENCE = histograms()


def window(*tables, **more):
    table = pa.concat_tables(tables)
    counted = ColumnCounts(REFERENCE)
    counted.add(table.filter(pa.array(np.asarray(table.column("version")) == more.get("version", 1))))
    data = WindowData(
        joined=Joined(table, START + 30 * DAY, "asked_at", 0, 0, 0, 0),
        counted=counted,
        start=START,
        end=START + 8 * DAY,
        task="regression",
        version=1,
        expected={1: {"mdape": 0.1}, 2: {"mdape": 0.1}},
        coverage=0.9,
    )
    return replace(data, **more)


def rule(watch="performance", **more):
    return AlertRule(name="rule", watch=watch, **more)


def alarming(found):
    return [part["words"] for part in found["parts"] if part["state"] == "alarm"]


def test_answers_as_good_as_expected_are_ok_and_the_verdict_is_json():
    found = evaluate(rule(), window(predictions()))
    assert (found["state"], found["n"]) == ("ok", 600)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_loss_is_named_with_value_interval_n_and_expectation():
    found = evaluate(rule("mdape"), window(predictions(noise=0.3)))
    assert found["state"] == "alarm"
    assert found["words"].startswith("mdape 0.2")
    assert "n = 600) against 0.1" in found["words"]
    assert "worse" in found["words"]
    assert "proven" in found["words"]


@pytest.mark.parametrize(("bias", "said"), [(-0.1, "below the truths"), (0.1, "above the truths")])
def test_a_market_that_rises_or_falls_is_named(bias, said):
    found = evaluate(rule("signed_median_error"), window(predictions(bias=bias)))
    assert found["state"] == "alarm"
    assert found["words"].endswith(said)


def test_a_loss_of_one_slice_alarms_where_the_rule_looks_at_slices():
    data = window(predictions(hit="harbour"))
    assert evaluate(rule("signed_median_error", limit=0.15), data)["state"] == "warn"
    found = evaluate(rule("signed_median_error", limit=0.15, by=("district",)), data)
    assert found["state"] == "alarm"
    assert found["words"].startswith("district harbour: signed_median_error 0.3")
    assert len(alarming(found)) == 1


def test_slices_seldom_alarm_by_chance():
    by_slice = rule("signed_median_error", by=("district",), minimum=50)
    states = [evaluate(by_slice, window(predictions(400, seed=seed)))["state"] for seed in range(8)]
    assert states.count("alarm") == 0


def test_too_few_truths_are_insufficient_and_so_is_none():
    assert evaluate(rule(), window(predictions(99, noise=0.9)))["state"] == "insufficient"
    nothing = evaluate(rule(), window(predictions(99, days=(20, 21))))
    assert (nothing["state"], nothing["words"]) == ("insufficient", "no truth was observed")


def test_a_version_is_held_against_what_the_one_before_achieves_on_the_truths_of_the_time():
    good, bad = predictions(noise=0.1, version=1, days=(-20, 0)), predictions(noise=0.2, version=2, seed=1)
    than_before = rule("mdape", against="previous")
    assert evaluate(than_before, window(good, bad, version=2, previous=1))["state"] == "alarm"
    alike = predictions(noise=0.1, version=2, seed=1)
    assert evaluate(than_before, window(good, alike, version=2, previous=1))["state"] == "ok"
    assert evaluate(than_before, window(bad, version=2))["state"] == "insufficient"
    few = predictions(30, noise=0.1, version=1)
    assert evaluate(than_before, window(few, bad, version=2, previous=1))["state"] == "insufficient"


def test_a_number_may_be_what_a_metric_is_held_against():
    assert evaluate(rule("ppe10", against=0.9, limit=0.1), window(predictions()))["state"] == "alarm"
    assert evaluate(rule("ppe10", against=0.5, limit=0.1), window(predictions()))["state"] == "ok"


def test_shadows_do_not_alarm():
    assert evaluate(rule(), window(predictions(noise=0.9, arm="shadow")))["state"] == "insufficient"


def test_an_estimate_is_marked_as_one():
    table = predictions(2000, noise=0.3)
    late = np.arange(2000) % 3 == 0
    status = [Maturity.PENDING.value if one else Maturity.MATURED.value for one in late]
    table = table.set_column(table.column_names.index("status"), "status", pa.array(status))
    found = evaluate(rule("mdape", basis="estimated"), window(table))
    assert found["state"] == "alarm"
    assert found["parts"][0]["estimated"] == "ipcw"
    assert found["words"].startswith("estimated of ")
    assert evaluate(rule("mdape", basis="estimated"), window(predictions(50)))["state"] == "insufficient"


def test_a_column_that_moved_is_named_with_its_numbers():
    moved = predictions(seed=3, **{"feature.area": np.random.default_rng(1).normal(130, 20, 600)})
    found = evaluate(rule("data", minimum=200), window(moved))
    assert found["state"] == "alarm"
    assert found["words"].startswith("area: psi 2.06 (by chance up to 0.08), ks 0.5")
    assert evaluate(rule("data", columns=("district",)), window(moved))["state"] == "ok"
    assert evaluate(rule("psi", limit=9.0), window(moved))["state"] == "ok"
    assert evaluate(rule("missing"), window(moved))["state"] == "ok"


def test_missing_and_new_values_are_said_as_shares():
    area = np.where(np.arange(600) % 2, np.nan, 100.0)
    other = ["new town" if place % 4 == 0 else "hill" for place in range(600)]
    moved = predictions(**{"feature.area": pa.array(area, from_pandas=True), "feature.district": other})
    assert "area: 50.0% missing, were 0.0%" in evaluate(rule("missing"), window(moved))["words"]
    assert "district: 25.0% new" in evaluate(rule("new"), window(moved))["words"]


def test_chance_alone_seldom_drifts():
    states = [evaluate(rule("data", minimum=200), window(predictions(300, seed=seed)))["state"] for seed in range(40)]
    assert states.count("alarm") == 0


def test_other_values_offline_than_served_alarm():
    data = window(predictions(), parity={"rows": 200, "features": {"area": 3}, "predictions": 0})
    found = evaluate(rule("parity"), data)
    assert (found["state"], found["words"]) == ("alarm", "area is other offline in 3 of 200 answers")
    assert evaluate(rule("parity", limit=0.05), data)["state"] == "ok"
    assert evaluate(rule("parity"), window(predictions()))["state"] == "insufficient"


def test_answers_for_want_of_something_alarm_where_they_are_many():
    lacking = pa.array((np.arange(600) % 5 == 0).astype(int), pa.int16())
    found = evaluate(rule("fallbacks"), window(predictions(fallbacks=lacking)))
    assert (found["state"], found["words"]) == ("alarm", "20.0% of 600 answers lacked something")
    assert evaluate(rule("fallbacks"), window(predictions()))["state"] == "ok"


def test_a_model_that_fell_silent_alarms_and_one_that_never_spoke_does_not():
    assert evaluate(rule("silence"), window(predictions()))["state"] == "ok"
    assert evaluate(rule("silence"), window(predictions(days=(-9, -1))))["state"] == "alarm"
    assert evaluate(rule("silence"), window(predictions().slice(0, 0)))["state"] == "insufficient"


def test_counts_of_several_workers_add_up_to_those_of_all_rows():
    table = predictions(900)
    whole = ColumnCounts(REFERENCE)
    whole.add(table)
    parts = []
    for place in range(3):
        part = ColumnCounts(REFERENCE)
        part.add(table.slice(300 * place, 300))
        parts.append(json.loads(json.dumps(part.to_json())))
    assert together(REFERENCE, parts).judge(Limits()) == whole.judge(Limits())


def test_columns_may_come_as_arrays_as_a_server_has_them():
    table = predictions(900)
    whole, streamed = ColumnCounts(REFERENCE), ColumnCounts(REFERENCE)
    whole.add(table)
    columns = {
        "area": table.column("feature.area").to_numpy(),
        "district": np.array(table.column("feature.district").to_pylist(), dtype=object),
    }
    streamed.add_columns(columns, 900)
    assert streamed.to_json() == whole.to_json()


def test_counts_of_another_model_and_columns_of_another_type_do_no_harm():
    counts = ColumnCounts(REFERENCE)
    counts.add_counts(5, {"gone": {"bins": [1]}, "area": {"bins": [1, 2]}})
    counts.add(pa.table({"feature.area": ["a", "b"], "feature.district": [1.0, 2.0]}))
    columns = counts.judge(Limits(minimum=1))["columns"]
    assert columns["area"]["missing"] == columns["district"]["missing"] == 1.0
    empty = ColumnCounts(REFERENCE)
    empty.add(pa.table({"feature.area": pa.array([], pa.float64())}))
    assert empty.judge(Limits())["state"] == "insufficient"
    assert empty.judge(Limits())["skipped"] == {"district": "not among the columns that were read"}
