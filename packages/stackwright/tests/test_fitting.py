"""Fits around the final one: prediction intervals, and the level of a moving market."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stackwright.assembly.blueprint import ModelPart, Part
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shaping import Shaper
from stackwright.workflows.training.fitting import Fitter, forward, threads_for, told
from stackwright_interfaces.model import Signature
from stackwright_interfaces.types import FLOAT64, Field

PART = ModelPart(name="m", place="here", service="s@1", target="y", trainer=Part("here", "odd"), transform="log")
SIGNATURE = Signature(inputs=(Field("x", FLOAT64),), outputs=(Field("y", FLOAT64),))

Call = tuple[str, int, int]


def silent(_what: str, _done: int, _total: int) -> None:
    return None


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """A target that doubles from 1 to e with x, with errors of 10 %."""
    random = np.random.default_rng(3)
    asked = np.datetime64("2024-01-01", "us") + np.arange(400) * np.timedelta64(1, "D")
    x = random.uniform(0, 1, 400)
    return Dataset({"x": x}, np.exp(x + random.normal(0, 0.1, 400)), asked, asked + np.timedelta64(2, "D"), {})


@pytest.fixture
def fitter(odd: Any) -> Fitter:
    return Fitter(Shaper.of(trainer_of(odd), PART, SIGNATURE), seed=7, threads=1)


def trainer_of(odd: Any, **options: Any) -> Any:
    import odd_trainer

    return odd_trainer.OddTrainer(odd_trainer.OddConfig(**options), None)


def test_answers_are_in_the_unit_of_the_target(fitter: Fitter, rows: Dataset) -> None:
    answer = fitter.predict(fitter.fit(rows, {}), rows)
    assert np.abs(answer / rows.target - 1).mean() < 0.1


def test_a_fit_tells_how_far_it_is(fitter: Fitter, rows: Dataset) -> None:
    calls: list[Call] = []
    fitter.fit(rows, {}, told(lambda *call: calls.append(call)))
    assert calls == [("fit", 1, 1)]


def test_earlier_rows_predict_the_newer_half_fold_by_fold(fitter: Fitter, rows: Dataset) -> None:
    found = forward(fitter, rows, {}, silent)
    assert found.rows.asked.tolist() == rows.asked[200:].tolist()
    first = rows.take(np.flatnonzero(rows.observed <= rows.asked[200]))
    expected = fitter.predict(fitter.fit(first, {}), rows.take(np.arange(200, 250)))
    assert found.answers[:50].tolist() == expected.tolist()


def test_intervals_hold_about_their_level_of_newer_rows(fitter: Fitter, rows: Dataset) -> None:
    older, newer = rows.take(np.arange(300)), rows.take(np.arange(300, 400))
    table = forward(fitter, older, {}, silent).intervals(0.8, 90.0)
    answer = fitter.predict(fitter.fit(older, {}), newer)
    lower, upper = table.apply(answer, matrix=fitter.shaper.inputs(newer))
    assert table.level == 0.8
    assert table.relative
    assert 0.68 <= float(((lower <= newer.target) & (newer.target <= upper)).mean()) <= 0.92


def test_intervals_are_fitted_to_rows_as_they_come_what_is_not_learned_from_among_them(
    fitter: Fitter, rows: Dataset
) -> None:
    odd = np.random.default_rng(9).random(400) < 0.15
    wild = replace(rows, target=rows.target * np.where(odd, 3.0, 1.0))
    older, newer = wild.take(np.arange(300)), wild.take(np.arange(300, 400))

    def tame(some: Dataset) -> Dataset:
        return some.take(some.target < 3.3)

    def coverage(found: Any) -> float:
        lower, upper = found.intervals(0.9, 0.0).apply(answer, matrix=fitter.shaper.inputs(newer))
        return float(((lower <= newer.target) & (newer.target <= upper)).mean())

    answer = fitter.predict(fitter.fit(tame(older), {}), newer)
    as_they_come = forward(fitter, older, {}, silent, tame)
    assert len(as_they_come.rows) == 150
    assert coverage(as_they_come) > coverage(forward(fitter, tame(older), {}, silent)) + 0.05
    assert coverage(as_they_come) == pytest.approx(0.9, abs=0.08)


def test_errors_are_no_factors_where_a_truth_is_not_positive(odd: Any, rows: Dataset) -> None:
    shaper = Shaper.of(trainer_of(odd), replace(PART, transform="none"), SIGNATURE)
    found = forward(Fitter(shaper, seed=7, threads=1), replace(rows, target=rows.target - 2), {}, silent)
    assert not found.intervals(0.9, 90.0).relative
    assert found.scale(90.0) == 1.0


def test_intervals_follow_newer_errors_by_their_half_life(odd: Any, rows: Dataset) -> None:
    random = np.random.default_rng(4)
    calmer = np.linspace(0.5, 0.02, 400)
    shrinking = replace(rows, target=np.exp(rows.columns["x"] + random.normal(0, 1, 400) * calmer))
    found = forward(Fitter(Shaper.of(trainer_of(odd), PART, SIGNATURE), seed=7, threads=1), shrinking, {}, silent)

    def width(half_life: float) -> float:
        lower, upper = found.intervals(0.9, half_life).apply(np.array([1.5]), matrix=np.array([[0.5]]))
        return float(upper[0] - lower[0])

    assert width(20.0) < 0.8 * width(0.0)


def test_the_level_of_newer_rows_is_found_by_its_half_life(fitter: Fitter, rows: Dataset) -> None:
    raised = replace(rows, target=rows.target * np.where(np.arange(400) >= 360, 1.2, 1.0))
    found = forward(fitter, raised, {}, silent)
    assert found.scale(10.0) == pytest.approx(1.2, abs=0.06)
    assert found.scale(0.0) == pytest.approx(1.0, abs=0.05)


def test_every_stretch_of_work_is_told_from_nothing_done_to_all_done(fitter: Fitter, rows: Dataset) -> None:
    calls: list[Call] = []
    forward(fitter, rows, {}, lambda *call: calls.append(call))
    assert calls == [("intervals", done, 4) for done in range(5)]


def test_few_rows_are_fitted_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackwright.workflows.training.fitting.cores", lambda: 8)
    assert (threads_for(100), threads_for(1_000_000)) == (1, 8)
