"""A report that says how good an estimator is, where it is not, and beside what."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import stackwright_models as sm
from stackwright_interfaces.errors import StackwrightError
from stackwright_models.report import Report
from stackwright_numerics import metrics

QUICK = {"n_estimators": 40, "learning_rate": 0.15, "min_child_samples": 5, "n_jobs": 1}


@pytest.fixture(scope="module")
def report(homes: Any) -> Report:
    old, new = homes.older, homes.newer
    fitted = sm.tabular(**QUICK).fit(homes.X[old], homes.y[old])
    return sm.evaluate(
        fitted,
        homes.X[new],
        homes.y[new],
        time=homes.time[new],
        slices=["kind", "area"],
        train=(homes.X[old], homes.y[old]),
    )


def test_metrics_are_those_of_the_engine(report: Report, homes: Any) -> None:
    assert report.metrics["mape"] == metrics.mape(homes.y[homes.newer], report.answers.value)
    assert report.metrics["n"] == 100
    assert report.loss == "mape"
    low, high = report.interval
    assert low < report.losses["model"] < high


def test_baselines_learn_from_the_training_rows(report: Report, homes: Any) -> None:
    constant = np.full(100, np.median(homes.y[homes.older]))
    assert report.losses["constant"] == metrics.mape(homes.y[homes.newer], constant)
    assert set(report.losses) == {"model", "constant", "linear"}
    assert report.gains["constant"] == 1 - report.losses["model"] / report.losses["constant"]
    assert "flatters" not in str(report)


def test_every_slice_has_its_rows_and_its_loss(report: Report, homes: Any) -> None:
    kinds = {part.label: part for part in report.slices if part.column == "kind"}
    given = homes.X["kind"][homes.newer]
    assert {label: part.n for label, part in kinds.items()} == {
        "flat": (given == "flat").sum(), "house": (given == "house").sum(), "missing": given.isna().sum()
    }  # fmt: skip
    flats = np.flatnonzero(given == "flat")
    assert kinds["flat"].loss == metrics.mape(homes.y[homes.newer][flats], report.answers.value[flats])
    spans = [part for part in report.slices if part.column == "area"]
    assert sum(part.n for part in spans) == 100
    assert [part.label for part in spans[:-1]] == sorted(
        (part.label for part in spans[:-1]), key=lambda text: float(text.split()[0])
    )


@pytest.mark.parametrize(
    ("numbers", "first", "rows"),
    [
        (1_234_567 + np.arange(400) % 2, "1234567", [200] * 2),
        (1_234_000 + np.arange(400), "1.234e+06 to 1.2341e+06", [100] * 4),
    ],
    ids=["values", "spans"],
)
def test_slices_by_great_numbers_are_told_apart(homes: Any, numbers: Any, first: str, rows: list[int]) -> None:
    fitted = DummyRegressor().fit(homes.X, homes.y)
    found = sm.evaluate(fitted, homes.X, homes.y, slices={"number": numbers}, baselines=False)
    assert found.slices[0].label == first
    assert [part.n for part in found.slices] == rows


def test_slices_of_few_rows_get_no_verdict(homes: Any) -> None:
    target = np.where(np.arange(400) < 5, 1.0, 100.0)
    labels = {"first": np.where(np.arange(400) < 5, "yes", "no")}
    fitted = DummyRegressor(strategy="median").fit(homes.X, target)
    few = sm.evaluate(fitted, homes.X, target, slices=labels, baselines=False)
    assert few.worst == []
    assert "1 of 2 slices have fewer than 30 rows and say little." in few.findings
    enough = sm.evaluate(fitted, homes.X, target, slices=labels, baselines=False, few=5)
    assert [part.label for part in enough.worst] == ["yes"]


def test_cross_validation_judges_each_row_by_a_model_that_did_not_see_it(homes: Any) -> None:
    seen: list[Any] = []

    class Spy(LinearRegression):
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 (scikit-learn's name)
            seen.append(set(np.asarray(y).tolist()))
            return super().fit(X, y)

    numbers = homes.X[["rooms"]]
    found = sm.evaluate(Spy(), numbers, homes.y, time=homes.time, cv=sm.TemporalSplit(3))
    assert found.judged_by == "3 folds"
    assert found.metrics["n"] == 300
    assert [len(part) for part in seen] == [100, 200, 300]
    for fold, judged in enumerate(np.split(found.truths.value, 3)):
        assert not seen[fold] & set(judged.tolist())


def test_intervals_are_covered_and_shown(homes: Any) -> None:
    estimator = sm.IntervalRegressor(sm.tabular(**QUICK), level=0.8)
    found = sm.evaluate(estimator, homes.X, homes.y, cv=3, baselines=False)
    share = metrics.interval_coverage(homes.y, *_ends(found, homes))
    assert found.metrics["interval_coverage"] == pytest.approx(share)
    assert 0.6 < share <= 1
    assert sum(n for n, _, _ in found.coverage()) == 400
    assert "Interval coverage" in found._repr_html_()


def _ends(found: Report, homes: Any) -> Any:
    order = np.argsort(found.truths.value)
    back = np.argsort(np.argsort(homes.y))
    assert found.answers.lower is not None
    assert found.answers.upper is not None
    return found.answers.lower[order][back], found.answers.upper[order][back]


def test_classes_of_any_name_are_judged_by_the_last_one(homes: Any) -> None:
    names = np.where(homes.y > np.median(homes.y), "dear", "cheap")
    found = sm.evaluate(LogisticRegression(), homes.X[["rooms"]], names, cv=4, slices={"month": homes.time.month})
    truth = (found.truths.value == 1).mean()
    assert found.truths.positive == "dear"
    assert truth == 0.5
    assert found.metrics["auc"] > 0.9 or found.metrics["auc"] < 0.1 or found.loss == "log_loss"
    assert sum(n for n, _, _ in found.calibration) == 400


@pytest.mark.parametrize("cv", [4, GroupKFold(4)], ids=["a number", "a splitter"])
def test_what_belongs_together_is_never_learned_from_and_judged_at_once(homes: Any, cv: Any) -> None:
    group = np.arange(400) % 20
    learned: list[set[int]] = []

    class Spy(LogisticRegression):
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 (scikit-learn's name)
            learned.append(set(X["group"]))
            return super().fit(X, y)

        def predict_proba(self, X: Any) -> Any:  # noqa: N803
            assert not learned[-1] & set(X["group"])
            return super().predict_proba(X)

    labels = homes.y > np.median(homes.y)
    sm.evaluate(Spy(), pd.DataFrame({"group": group}), labels, group=group, cv=cv, baselines=False)
    assert [len(groups) for groups in learned] == [15] * 4


def test_the_interval_is_round_the_loss_whatever_the_groups(homes: Any) -> None:
    target = np.where(np.arange(400) < 300, 0.0, 100.0)
    group = np.maximum(np.arange(400) - 299, 0)
    found = sm.evaluate(DummyRegressor(strategy="median").fit(homes.X, target), homes.X, target, group=group)
    low, high = found.interval
    assert low < found.losses["model"] == 25.0 < high


def test_the_interval_of_many_times_is_that_of_all_of_them() -> None:
    random = np.random.default_rng(3)

    class Known(DummyRegressor):
        def predict_survival(self, X: Any) -> Any:  # noqa: N803 (scikit-learn's name)
            raise NotImplementedError

        def predict(self, X: Any) -> Any:  # noqa: N803
            return np.asarray(X)[:, 0]

    def width(n: int) -> float:
        took = random.exponential(10.0, n)
        rows = (took + random.normal(0, 5, n))[:, None]
        found = sm.evaluate(Known().fit(rows, took), rows, took, baselines=False)
        low, high = found.interval
        assert low < found.losses["model"] < high
        return high - low

    assert width(16_000) == pytest.approx(width(1_000) / 4, rel=0.3)


def test_a_model_without_an_error_has_no_worst_slice(homes: Any) -> None:
    target = np.full(400, 7.0)
    found = sm.evaluate(DummyRegressor().fit(homes.X, target), homes.X, target, slices=["kind"])
    assert found.losses["model"] == 0
    assert found.worst == []
    assert "0" in str(found)


def test_three_classes_are_refused(homes: Any) -> None:
    labels = np.arange(400) % 3
    with pytest.raises(StackwrightError, match="3 classes"):
        sm.evaluate(DummyClassifier().fit(homes.X, labels), homes.X, labels)


def test_rankings_are_judged_by_query(homes: Any) -> None:
    group = np.arange(400) // 20
    ranker = sm.Ranker(n_estimators=10, n_jobs=1)
    found = sm.evaluate(ranker, homes.X, np.clip(homes.X["rooms"] // 2, 0, 3), group=group, cv=4)
    assert found.loss == "1 - ndcg@10"
    assert found.metrics["groups"] == 20
    assert found.losses["model"] < found.losses["constant"]
    with pytest.raises(StackwrightError, match="ranking without group"):
        sm.evaluate(ranker, homes.X, homes.X["rooms"], cv=4)


def test_a_ranker_at_the_end_of_a_pipeline_learns_query_by_query(homes: Any) -> None:
    numbers, grades, group = homes.X[["rooms"]], np.arange(400) % 3, np.arange(400) // 20
    ranker = sm.Ranker(n_estimators=10, n_jobs=1)
    alone, inside = (
        sm.evaluate(estimator, numbers, grades, group=group, cv=4, baselines=False)
        for estimator in (ranker, make_pipeline("passthrough", ranker))
    )
    assert inside.answers.value.tolist() == alone.answers.value.tolist()


def test_a_fold_learns_from_what_was_known_at_its_cut(homes: Any) -> None:
    seen: list[int] = []

    class Spy(Ridge):
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 (scikit-learn's name)
            seen.append(len(y))
            return super().fit(X, y)

    rows = (Spy(), homes.X[["rooms"]], homes.y)
    late = homes.time[np.minimum(np.arange(400) + 50, 399)]
    sm.evaluate(*rows, time=homes.time, observed=homes.time, cv=sm.TemporalSplit(3), baselines=False)
    sm.evaluate(*rows, time=homes.time, observed=late, cv=sm.TemporalSplit(3), baselines=False)
    sm.tune(*rows, time=homes.time, observed=late, cv=sm.TemporalSplit(3), trials=1, progress=False, refit=False)
    assert seen == [100, 200, 300, 51, 151, 251, 51, 151, 251]


def test_metadata_reaches_the_last_step_of_a_pipeline(homes: Any) -> None:
    weight = np.where(homes.X["kind"] == "flat", 1.0, 0.0)
    model = make_pipeline(StandardScaler(), LinearRegression())
    plain, weighted = (
        sm.evaluate(model, homes.X[["rooms"]], homes.y, cv=4, metadata=given, slices={"kind": homes.X["kind"]})
        for given in ({}, {"sample_weight": weight})
    )
    losses = [next(part.loss for part in found.slices if part.label == "flat") for found in (plain, weighted)]
    assert losses[1] < losses[0]


def test_a_ranking_without_a_relevant_row_has_nothing_to_say(homes: Any) -> None:
    group, grades = np.arange(400) // 20, np.zeros(400)
    ranker = sm.Ranker(n_estimators=2, n_jobs=1).fit(homes.X, np.arange(400) % 2, group=group)
    found = sm.evaluate(ranker, homes.X, grades, group=group)
    assert found.gains == {}
    assert "nan" not in str(found)


def test_times_to_event_that_nobody_saw_are_refused(homes: Any) -> None:
    y = pd.DataFrame({"event": np.arange(400) % 2 == 0, "duration": np.arange(400.0)})
    fitted = sm.TimeToEvent(sm.tabular("classification", **QUICK), periods=3).fit(homes.X, y)
    with pytest.raises(StackwrightError, match="no event was seen in any row"):
        sm.evaluate(fitted, homes.X, y.assign(event=False))


def test_times_to_event_are_judged_with_censored_rows(homes: Any) -> None:
    random = np.random.default_rng(0)
    took, known = random.exponential(10 * homes.X["rooms"]), random.exponential(60, 400)
    y = pd.DataFrame({"event": took <= known, "duration": np.minimum(took, known)})
    estimator = sm.TimeToEvent(sm.tabular("classification", **QUICK), periods=5)
    found = sm.evaluate(estimator, homes.X, y, cv=3, baselines=True)
    assert found.loss == "1 - c_index"
    assert found.metrics["events"] == y["event"].sum()
    assert found.losses["model"] < 0.5


def test_an_unfitted_estimator_without_folds_is_refused(homes: Any) -> None:
    with pytest.raises(StackwrightError, match="Fit it, or give cv="):
        sm.evaluate(sm.tabular(), homes.X, homes.y)


def test_a_slice_that_is_no_column_is_named(homes: Any) -> None:
    fitted = DummyRegressor().fit(homes.X, homes.y)
    with pytest.raises(StackwrightError, match="X has no column 'colour'"):
        sm.evaluate(fitted, homes.X, homes.y, slices=["colour"])


def test_without_training_rows_the_report_says_that_baselines_are_flattered(homes: Any) -> None:
    fitted = DummyRegressor(strategy="median").fit(homes.X, homes.y)
    found = sm.evaluate(fitted, homes.X, homes.y)
    assert "which flatters them" in str(found)
    assert found.losses["constant"] == pytest.approx(found.losses["model"], rel=0.05)


def test_the_page_is_whole_by_itself_and_readable_without_its_drawings(report: Report, tmp_path: Path) -> None:
    page = report.save(tmp_path / "out" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert '<html lang="en">' in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=", page)
    assert set(re.findall(r"https?://[^\"]+", page)) == {"http://www.w3.org/2000/svg"}
    figures = re.findall(r"<figure>(.*?)</figure>", page, flags=re.DOTALL)
    assert len(figures) == 6
    for figure in figures:
        assert 'role="img"' in figure
        assert "<table>" in figure
    drawings = [minidom.parseString(text) for text in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)]
    for drawing in drawings:
        ids = drawing.documentElement.getAttribute("aria-labelledby").split()
        parts = [drawing.getElementsByTagName(tag)[0] for tag in ("title", "desc")]
        assert ids == [part.getAttribute("id") for part in parts]
        assert all(part.firstChild.data for part in parts)
    assert "nan" not in "".join(figures)


def test_the_json_holds_everything_and_no_nan(report: Report, tmp_path: Path) -> None:
    document = json.loads(report.save(tmp_path / "report.json").read_text())
    assert document == report.to_dict()
    assert document["metrics"]["n"] == 100
    assert document["task"] == "regression"
    with pytest.raises(StackwrightError, match=r"ends in \.html or \.json"):
        report.save(tmp_path / "report.pdf")


def test_what_users_wrote_is_escaped(homes: Any) -> None:
    fitted = DummyRegressor().fit(homes.X, homes.y)
    labels = {"<b>": np.where(np.arange(400) % 2, "<script>", "a & b")}
    page = sm.evaluate(fitted, homes.X, homes.y, slices=labels, baselines=False)._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
