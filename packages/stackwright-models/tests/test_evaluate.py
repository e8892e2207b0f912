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
from sklearn.linear_model import LinearRegression, LogisticRegression

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
