"""Durations, learnt from rows that had their event and rows that still wait for it."""

# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from stackwright_models import TimeToEvent, tabular
from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.metrics import concordance_index
from stackwright_models.survival import read_outcomes


def structured(event: Any, duration: Any) -> np.ndarray:
    found = np.empty(len(event), dtype=[("event", bool), ("duration", float)])
    found["event"], found["duration"] = event, duration
    return found


def waits(n: int, seed: int, censored_at: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, exponential durations with mean 10 where x is 0 and 30 where it is 1, and what is known of them."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 2, (n, 1)).astype(float)
    duration = random.exponential(np.where(rows[:, 0] == 1, 30.0, 10.0))
    return rows, duration, structured(duration <= censored_at, np.minimum(duration, censored_at))


class Always(DummyClassifier):
    """The hazard of each period, from the rows that were at risk in it."""

    def fit(self, X: Any, y: Any) -> Always:
        elapsed = np.asarray(X)[:, -1]
        self.hazards_ = {value: y[elapsed == value].mean() for value in np.unique(elapsed)}
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        hazard = np.array([self.hazards_[value] for value in np.asarray(X)[:, -1]])
        return np.column_stack([1 - hazard, hazard])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), min_size=3, max_size=40))
def test_survival_without_columns_is_that_of_kaplan_and_meier(rows: list[tuple[bool, int]]) -> None:
    event, duration = (np.array(column) for column in zip(*rows, strict=True))
    event[0] = True
    edges = np.arange(1.0, duration.max() + 1)
    # censored just after an event at the same time, as the estimator has it
    model = TimeToEvent(Always(), periods=edges).fit(
        np.zeros((len(rows), 1)), structured(event, duration + ~event * 0.0)
    )
    expected, chance = [], 1.0
    for edge in edges:
        lived = (duration >= edge).sum()  # censored at an edge has lived through its period
        chance *= 1 - (event & (duration == edge)).sum() / lived
        expected.append(chance)
    np.testing.assert_allclose(model.predict_survival([[0.0]])[0], expected, atol=1e-12)


def test_survival_is_that_of_the_exponential_though_most_rows_are_censored() -> None:
    rows, _, outcome = waits(4000, 1, censored_at=12)
    model = TimeToEvent(LogisticRegression(), periods=6).fit(rows, outcome)
    found = model.predict_survival([[0.0], [1.0]], times=[4, 10])
    np.testing.assert_allclose(found, np.exp([[-0.4, -1.0], [-4 / 30, -10 / 30]]), atol=0.05)


def test_censored_rows_make_durations_longer_than_events_alone_tell() -> None:
    rows, duration, outcome = waits(2000, 2, censored_at=12)
    seen = outcome["event"]
    model = TimeToEvent(LogisticRegression(), predicts="median").fit(rows, outcome)
    biased = TimeToEvent(LogisticRegression(), predicts="median").fit(rows[seen], duration[seen])
    assert abs(model.predict([[0.0]])[0] - 10 * np.log(2)) < 1.0
    assert biased.predict([[0.0]])[0] < 0.8 * model.predict([[0.0]])[0]


def test_a_median_that_most_outlive_is_infinite_and_a_mean_is_restricted_to_the_last_period() -> None:
    rows, _, outcome = waits(2000, 3, censored_at=5)
    model = TimeToEvent(LogisticRegression(), predicts="median").fit(rows, outcome)
    assert model.predict([[1.0]])[0] == np.inf
    mean = model.set_params(predicts="mean").predict([[1.0]])[0]
    assert mean == pytest.approx(30 * (1 - np.exp(-5 / 30)), rel=0.05)


def test_survival_starts_at_one_and_never_rises() -> None:
    rows, _, outcome = waits(300, 4, censored_at=20)
    model = TimeToEvent(tabular("classification", n_estimators=20, n_jobs=1)).fit(rows, outcome)
    survival = model.predict_survival(rows, times=np.linspace(0, 60, 50))
    assert (survival[:, 0] == 1).all()
    assert (np.diff(survival, axis=1) <= 0).all()
    np.testing.assert_allclose(model.predict_survival(rows, times=model.edges_), model.predict_survival(rows))


@settings(max_examples=15)
@given(seed=st.integers(0, 1000))
def test_the_score_is_the_c_index_of_expected_durations(seed: int) -> None:
    rows, _, outcome = waits(80, seed, censored_at=15)
    model = TimeToEvent(LogisticRegression()).fit(rows, outcome)
    expected = concordance_index(outcome["event"], outcome["duration"], model.predict(rows))
    assert model.score(rows, outcome) == pytest.approx(expected)


def test_a_window_learns_from_what_happened_in_it_and_old_rows_count_for_their_later_periods() -> None:
    random = np.random.default_rng(5)
    start = random.uniform(0, 200, 6000)
    # the market slows down at 100: every row's hazard falls from 1/5 to 1/20 a day
    early = random.exponential(5.0, start.size)
    duration = np.where(start + early < 100, early, np.maximum(100 - start, 0) + random.exponential(20.0, start.size))
    duration = np.where((start < 100) & (start + early >= 100), 100 - start + random.exponential(20.0, 6000), duration)
    outcome = structured(start + duration <= 200, np.minimum(duration, 200 - start))
    rows = np.zeros((start.size, 1))
    everything = TimeToEvent(DummyClassifier(), periods=np.arange(1.0, 30)).fit(rows, outcome)
    recent = TimeToEvent(DummyClassifier(), periods=np.arange(1.0, 30), window=50).fit(rows, outcome, start=start)
    dated = pd.Timestamp("2026-01-01") + pd.to_timedelta(start, "D")
    same = TimeToEvent(DummyClassifier(), periods=np.arange(1.0, 30), window=50).fit(rows, outcome, start=dated)
    hazard = -np.log(recent.predict_survival([[0.0]], times=[1.0]))[0, 0]
    assert hazard == pytest.approx(1 / 20, rel=0.1)
    assert -np.log(everything.predict_survival([[0.0]], times=[1.0]))[0, 0] > 1.3 * hazard
    np.testing.assert_allclose(same.predict_survival([[0.0]]), recent.predict_survival([[0.0]]))


def test_outcomes_are_taken_in_every_form() -> None:
    event, duration = [True, False, True], [3, 5, 2]
    forms = [
        structured(event, duration),
        pd.DataFrame({"days": duration, "sold": event}),
        np.array(list(zip(duration, event, strict=True)), dtype=[("t", int), ("seen", bool)]),
    ]
    for form in forms:
        found = read_outcomes(form)
        assert (found.event.tolist(), found.duration.tolist()) == (event, duration)
    assert read_outcomes(duration).event.all()


@pytest.mark.parametrize(
    "outcome",
    [
        structured([True, True], [-1, 2]),
        pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]}),
        pd.DataFrame({"a": [1.0, 2.0], "b": [True, True], "c": [True, False]}),
        structured([False, False], [1, 2]),
        [1.0, np.inf],
    ],
    ids=["negative", "no event column", "two of them", "no events", "infinite"],
)
def test_outcomes_that_cannot_be_learnt_from_are_refused(outcome: Any) -> None:
    with pytest.raises(ValueError, match=r"negative|columns|no event|infinity"):
        TimeToEvent(LogisticRegression()).fit([[0.0], [1.0]], outcome)


@pytest.mark.parametrize("options", [{"periods": 0}, {"periods": [2, 1]}, {"window": 3.0}, {"predicts": "mode"}])
def test_parameters_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    rows, _, outcome = waits(40, 1, 15)
    with pytest.raises(InvalidParameter):
        TimeToEvent(LogisticRegression(), **options).fit(rows, outcome).predict(rows)


def test_a_window_without_an_event_is_refused() -> None:
    with pytest.raises(InvalidData, match="no event in a window"):
        TimeToEvent(LogisticRegression(), window=1).fit(
            [[0.0], [1.0]], structured([True, False], [2, 50]), start=[0, 0]
        )


def test_texts_and_missing_values_reach_the_classifier() -> None:
    random = np.random.default_rng(0)
    homes = pd.DataFrame({"kind": random.choice(["flat", "castle", None], 400), "area": random.uniform(30, 100, 400)})
    duration = random.exponential(np.where(homes["kind"] == "castle", 50, 5))
    model = TimeToEvent(tabular("classification", n_estimators=40, learning_rate=0.1, n_jobs=1)).fit(homes, duration)
    expected = pd.Series(model.predict(homes)).groupby(homes["kind"]).mean()
    assert expected["castle"] > 2 * expected["flat"]


@pytest.mark.parametrize("kind", [np.int64, np.float32, bool, object])
def test_arrays_of_every_type_are_read_alike(kind: Any) -> None:
    rows, _, outcome = waits(200, 8, 15)
    expected = TimeToEvent(LogisticRegression()).fit(rows, outcome).predict_survival(rows)
    found = TimeToEvent(LogisticRegression()).fit(rows.astype(kind), outcome).predict_survival(rows.astype(kind))
    np.testing.assert_allclose(found, expected)


def test_a_column_of_the_name_that_is_ours_is_refused() -> None:
    with pytest.raises(InvalidData, match="elapsed"):
        TimeToEvent(LogisticRegression()).fit(pd.DataFrame({"elapsed": [1.0, 2.0, 3.0]}), [1.0, 2.0, 3.0])


def test_weights_of_rows_count_in_all_their_periods() -> None:
    rows, _, outcome = waits(200, 6, 15)
    weight = np.where(outcome["event"], 1, 3)
    weighted = TimeToEvent(LogisticRegression(), periods=4).fit(rows, outcome, sample_weight=weight)
    twice = np.repeat(np.arange(200), weight)
    edges = weighted.edges_
    repeated = TimeToEvent(LogisticRegression(), periods=edges).fit(rows[twice], outcome[twice])
    np.testing.assert_allclose(weighted.predict(rows), repeated.predict(rows), rtol=1e-3)


def test_metadata_are_routed_through_cross_validation() -> None:
    rows, _, outcome = waits(120, 7, 15)
    start = np.arange(120.0)
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = LogisticRegression().set_fit_request(sample_weight=True)
        model = TimeToEvent(classifier, window=100.0)
        scores = cross_val_score(model, rows, outcome, params={"start": start, "sample_weight": np.ones(120)}, cv=3)
    assert np.isfinite(scores).all()
