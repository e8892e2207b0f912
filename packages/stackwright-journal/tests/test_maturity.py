"""Estimates while truths are out: nearer to what comes out in the end than the truths that are known alone."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright_journal.deciding import Policy, decide
from stackwright_journal.join import Joined, Maturity
from stackwright_journal.maturity import estimate, weights
from stackwright_numerics.metrics import mape

NOW = datetime(2026, 6, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")


def market(n=6000, *, watched=(0, 120), seed=0):
    """Homes that are hard to value sell late: what is known soon is known of the easy ones. With all their errors."""
    random = np.random.default_rng(seed)
    hard = random.random(n) < 0.5
    delay = random.exponential(np.where(hard, 90, 15), n)
    follow = random.uniform(*watched, n)
    prediction = random.lognormal(12, 0.3, n)
    target = prediction * np.exp(random.normal(0, np.where(hard, 0.4, 0.05), n))
    here = delay <= follow
    made = np.datetime64(NOW.replace(tzinfo=None), "us") - (follow * 86_400e6).astype("timedelta64[us]")
    seen = made + (delay * 86_400e6).astype("timedelta64[us]")
    columns = {
        "prediction_id": [str(number) for number in range(n)],
        "version": np.full(n, 1),
        "arm": ["live"] * n,
        "asked_at": pa.array(made, INSTANT),
        "prediction": prediction,
        "lower": np.full(n, np.nan),
        "upper": np.full(n, np.nan),
        "status": [Maturity.MATURED.value if one else Maturity.PENDING.value for one in here],
        "target": pa.array(target, mask=~here),
        "observed_at": pa.array(seen, INSTANT, mask=~here),
    }
    return Joined(pa.table(columns), NOW, "asked_at", n, 0, 0, 0), (target, prediction, delay)


def every(joined):
    return np.ones(len(joined.table), np.bool_)


def test_the_estimate_is_near_the_truth_where_the_known_alone_flatter():
    gaps = []
    for seed in range(3):
        joined, (target, prediction, delay) = market(seed=seed)
        found = estimate(joined, every(joined), "regression", 0.95)
        within = delay <= found["reach_days"]
        truth = mape(target[within], prediction[within])
        known = np.asarray(joined.table.column("status")) == "matured"
        alone = mape(target[known], prediction[known])
        gaps.append((alone - truth, found["metrics"]["mape"] - truth))
        low, high = found["intervals"]["mape"]
        assert low < found["metrics"]["mape"] < high
    naive, weighed = np.mean(gaps, axis=0)
    assert naive < -0.02
    assert abs(weighed) < abs(naive) / 4


def test_it_says_what_it_is_and_how_far_it_reaches():
    joined, _ = market()
    found = estimate(joined, every(joined), "regression", 0.95)
    assert found["method"] == "ipcw"
    assert 100 < found["reach_days"] < 120
    assert found["asked"] == 6000
    assert 1000 < found["effective_n"] < found["n"] < 6000
    assert 0.4 < found["known"] < 0.9


def test_where_all_truths_are_here_it_changes_nothing():
    joined, (target, prediction, _) = market(watched=(2000, 3000))
    found = estimate(joined, every(joined), "regression", 0.95)
    assert found["metrics"]["mape"] == pytest.approx(mape(target, prediction))
    assert found["known"] == pytest.approx(1.0)
    assert found["effective_n"] == pytest.approx(6000)


def test_without_any_truth_and_for_tasks_without_weights_there_is_no_estimate():
    joined, _ = market(n=50, watched=(0, 1e-6))
    assert estimate(joined, every(joined), "regression", 0.95) is None
    joined, _ = market(n=50)
    assert estimate(joined, every(joined), "ranking", 0.95) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_weights_are_those_of_the_definition(rows):
    delay, follow = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    matured = delay <= follow
    watched = np.minimum(delay, follow)
    found, _ = weights(watched, matured)
    expected = []
    for own in watched[matured]:
        still = 1.0
        for moment in sorted({*watched[~matured].tolist()}):
            if moment < own:
                gone = np.sum((watched == moment) & matured)
                still *= 1 - np.sum((watched == moment) & ~matured) / (np.sum(watched >= moment) - gone)
        expected.append(1 / still if still >= 0.05 else 0.0)
    assert found.tolist() == pytest.approx(expected)


def test_a_window_tells_the_estimate_beside_what_matured():
    joined, _ = market()
    start = NOW - timedelta(days=30)
    result = decide(
        joined,
        model="avm",
        version=1,
        task="regression",
        histograms={},
        expected={1: {"mape": 0.1}},
        start=start,
        policy=Policy(minimum=100),
    )
    ((found),) = result["performance"]["estimates"]
    assert (found["version"], found["arm"], found["method"]) == (1, "live", "ipcw")
    assert found["asked"] == pytest.approx(1500, abs=150)
    assert found["reach_days"] < 30
    nothing = decide(
        joined, model="avm", version=1, task="regression", histograms={}, expected={}, policy=Policy(minimum=10_000)
    )
    assert nothing["performance"]["estimates"] == []
