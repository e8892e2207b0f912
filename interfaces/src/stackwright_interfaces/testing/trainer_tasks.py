"""The kits for trainers that declare more: rankings, times to an event, quantiles, rows by reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, TrainingError
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.trainer_fits import STRANGE, TEST, TRAIN, Fitting, predict, save, signature_with
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import (
    FittedModel,
    SupportsParts,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
    TrainingParts,
)

HORIZONS: Final = (20.0, 40.0)
"""Within which chances are asked for; the homes are watched for 15 to 75."""

QUANTILES: Final = (0.1, 0.5, 0.9)
"""Which quantiles are asked for."""


class RankingCases(Fitting):
    """Cases of a trainer that declares ``Capability.RANKING``; they come before :class:`TrainerCases`."""

    def test_ranking_puts_better_rows_first(self, trainer: Trainer) -> None:
        assert _in_order(predict(self.fit(trainer, kind=TaskKind.RANKING).predictor(), TEST)) > 0.8

    def test_ranking_without_groups_is_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.RANKING, trainer.input)
        with pytest.raises(TrainingError):
            self.fit(trainer, TrainingData(inputs=rows.inputs, target=rows.target), kind=TaskKind.RANKING)

    def test_groups_that_do_not_add_up_to_the_rows_are_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.RANKING, trainer.input)
        data = TrainingData(inputs=rows.inputs, target=rows.target, group=rows.group[1:])
        with pytest.raises(TrainingError):
            self.fit(trainer, data, kind=TaskKind.RANKING)

    def test_a_group_of_no_rows_is_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.RANKING, trainer.input)
        data = replace(rows, group=np.append(rows.group, 0))
        with pytest.raises(TrainingError):
            self.fit(trainer, data, kind=TaskKind.RANKING)

    def test_a_negative_relevance_is_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.RANKING, trainer.input)
        target = np.where(np.arange(len(TRAIN)) == 3, -1.0, rows.target)
        with pytest.raises(TrainingError):
            self.fit(trainer, replace(rows, target=target), kind=TaskKind.RANKING)

    def test_positions_are_no_input_of_the_model(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.RANKING, trainer.input)
        random = np.random.default_rng(5)
        position = np.concatenate([random.permutation(10) + 1 for _ in rows.group])
        position[:10] = 0  # not known
        fitted = self.fit(trainer, replace(rows, position=position), kind=TaskKind.RANKING)
        assert _in_order(predict(fitted.predictor(), TEST)) > 0.8

    def test_positions_of_another_length_are_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.RANKING, trainer.input)
        with pytest.raises(TrainingError):
            self.fit(trainer, replace(rows, position=np.ones(len(TRAIN) - 1, np.int64)), kind=TaskKind.RANKING)

    def test_a_saved_ranker_predicts_the_same_bits(
        self, trainer: Trainer, model_format: ModelFormat, tmp_path: Path
    ) -> None:
        fitted = self.fit(trainer, kind=TaskKind.RANKING)
        loaded = model_format.load(tmp_path / "model", save(fitted, tmp_path / "model", TaskKind.RANKING))
        assert np.array_equal(predict(loaded, STRANGE), predict(fitted.predictor(), STRANGE))


def _in_order(score: NDArray[np.float64]) -> float:
    """Return the share of pairs of rows of one group, of different grades, whose better one has the higher score."""
    grade, score = TEST.target(TaskKind.RANKING).reshape(-1, 10), score.reshape(-1, 10)
    better = grade[:, :, None] > grade[:, None, :]
    return float((score[:, :, None] > score[:, None, :])[better].mean())


class TimeToEventCases(Fitting):
    """Cases of a trainer that declares ``Capability.TIME_TO_EVENT``; they come before :class:`TrainerCases`."""

    def test_who_waits_longer_is_expected_to(self, trainer: Trainer) -> None:
        expected = predict(self.fit(trainer, kind=TaskKind.TIME_TO_EVENT).predictor(), TEST)
        assert expected.shape == (len(TEST),)
        assert (expected >= 0).all()
        longer = TEST.price[:, None] > 1.05 * TEST.price[None, :]
        assert (expected[:, None] > expected[None, :])[longer].mean() > 0.8

    def test_rows_that_still_wait_are_no_rows_whose_time_has_come(self, trainer: Trainer) -> None:
        random = np.random.default_rng(11)
        duration, watched = random.exponential(30, 400), np.where(random.random(400) < 0.7, 20.0, 1000.0)
        same = TRAIN.take(np.zeros(400, dtype=np.int64)).inputs(trainer.input)
        event = duration <= watched
        rows = TrainingData(inputs=same, target=np.minimum(duration, watched), event=event)
        taken_for_events = TrainingData(inputs=same, target=rows.target, event=np.ones(400, np.bool_))
        expected = [
            predict(self.fit(trainer, data, kind=TaskKind.TIME_TO_EVENT).predictor(), TRAIN.take(slice(1)))[0]
            for data in (rows, taken_for_events, _of(rows, event))
        ]
        assert expected[0] > 1.15 * max(expected[1:])

    def test_chances_are_given_for_each_horizon_and_rise_with_it(self, trainer: Trainer) -> None:
        fitted = self.fit(trainer, kind=TaskKind.TIME_TO_EVENT, horizons=HORIZONS)
        answer = predict(fitted.predictor(), TEST)
        assert answer.shape == (len(TEST), 1 + len(HORIZONS))
        soon, later = answer[:, 1], answer[:, 2]
        assert ((soon >= 0) & (soon <= later + 1e-12) & (later <= 1)).all()
        came = TEST.price / 10 <= HORIZONS[1]
        assert later[came].mean() > later[~came].mean() + 0.05

    def test_a_saved_model_of_times_predicts_the_same_bits(
        self, trainer: Trainer, model_format: ModelFormat, tmp_path: Path
    ) -> None:
        fitted = self.fit(trainer, kind=TaskKind.TIME_TO_EVENT, horizons=HORIZONS)
        manifest = save(fitted, tmp_path / "model", TaskKind.TIME_TO_EVENT, signature_with(HORIZONS))
        loaded = model_format.load(tmp_path / "model", manifest)
        assert np.array_equal(predict(loaded, STRANGE), predict(fitted.predictor(), STRANGE))

    @pytest.mark.parametrize("size", [1, 7])
    def test_times_of_a_row_are_alike_in_any_batch(self, trainer: Trainer, size: int) -> None:
        predictor = self.fit(trainer, kind=TaskKind.TIME_TO_EVENT, horizons=HORIZONS).predictor()
        whole = predict(predictor, STRANGE)
        parts = [predict(predictor, STRANGE.take(slice(at, at + size))) for at in range(0, len(STRANGE), size)]
        assert np.abs(np.concatenate(parts) - whole).max() <= 1e-12 * np.abs(whole).max()
        assert predict(predictor, STRANGE.take(slice(0))).shape == (0, 3)

    def test_rows_of_which_none_had_its_event_are_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.TIME_TO_EVENT, trainer.input)
        with pytest.raises(TrainingError):
            self.fit(trainer, replace(rows, event=np.zeros(len(TRAIN), np.bool_)), kind=TaskKind.TIME_TO_EVENT)

    def test_a_negative_duration_is_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.TIME_TO_EVENT, trainer.input)
        target = np.where(np.arange(len(TRAIN)) == 3, -1.0, rows.target)
        with pytest.raises(TrainingError):
            self.fit(trainer, replace(rows, target=target), kind=TaskKind.TIME_TO_EVENT)

    def test_events_of_another_length_are_refused(self, trainer: Trainer) -> None:
        rows = TRAIN.data(TaskKind.TIME_TO_EVENT, trainer.input)
        with pytest.raises(TrainingError):
            self.fit(trainer, replace(rows, event=rows.event[1:]), kind=TaskKind.TIME_TO_EVENT)


class QuantileCases(Fitting):
    """Cases of a trainer that declares ``Capability.QUANTILES``; they come before :class:`TrainerCases`."""

    def test_quantiles_rise_and_leave_their_share_of_rows_below(self, trainer: Trainer) -> None:
        same = TRAIN.take(np.zeros(400, dtype=np.int64)).inputs(trainer.input)
        target = np.random.default_rng(3).lognormal(3, 1, 400)
        fitted = self.fit(trainer, TrainingData(inputs=same, target=target), quantiles=QUANTILES)
        answer = predict(fitted.predictor(), TRAIN.take(slice(1)))
        assert answer.shape == (1, 1 + len(QUANTILES))
        assert [(target <= found).mean() for found in answer[0, 1:]] == pytest.approx(QUANTILES, abs=0.03)
        strange = predict(self.fit(trainer, quantiles=QUANTILES).predictor(), STRANGE)[:, 1:]
        assert (np.diff(strange, axis=1) >= 0).all()
        assert len(np.unique(strange[:, 1])) > 10

    def test_the_first_output_is_what_it_is_without_quantiles(self, trainer: Trainer) -> None:
        alone = predict(self.fit(trainer).predictor(), TEST)
        assert np.array_equal(predict(self.fit(trainer, quantiles=QUANTILES).predictor(), TEST)[:, 0], alone)

    def test_a_saved_model_of_quantiles_predicts_the_same_bits(
        self, trainer: Trainer, model_format: ModelFormat, tmp_path: Path
    ) -> None:
        fitted = self.fit(trainer, quantiles=QUANTILES)
        manifest = save(fitted, tmp_path / "model", signature=signature_with(quantiles=QUANTILES))
        loaded = model_format.load(tmp_path / "model", manifest)
        assert np.array_equal(predict(loaded, STRANGE), predict(fitted.predictor(), STRANGE))
        assert predict(loaded, STRANGE.take(slice(0))).shape == (0, 1 + len(QUANTILES))

    def test_quantiles_of_what_is_no_regression_are_refused(self, trainer: Trainer) -> None:
        with pytest.raises(TrainingError):
            self.fit(trainer, kind=TaskKind.CLASSIFICATION, quantiles=QUANTILES)


class Referred(TrainingParts):
    """Rows by reference.

    Args:
        ends: the row behind the last one that can be read, where others are lost.
    """

    def __init__(self, rows: TrainingData, ends: int | None = None) -> None:
        self._rows, self._ends = rows, ends

    def __len__(self) -> int:
        return len(self._rows.target)

    def read(self, start: int, stop: int) -> TrainingData:
        """Return these rows."""
        if self._ends is not None and stop > self._ends:
            raise DataError("homes", f"the rows from {self._ends} on are lost", "Write them again.")
        return _of(self._rows, np.arange(start, stop))


class PartsCases(Fitting):
    """Cases of a trainer that declares ``Capability.PARTS``; they come before :class:`TrainerCases`."""

    def fit_parts(
        self, trainer: Trainer, rows: Homes = TRAIN, kind: TaskKind = TaskKind.REGRESSION, ends: int | None = None
    ) -> FittedModel:
        """Fit on rows by reference."""
        assert isinstance(trainer, SupportsParts)
        parts = Referred(rows.data(kind, trainer.input), ends)
        return trainer.fit_parts(Task(kind=kind, signature=SIGNATURE), parts, self.quick, seed=7, threads=1)

    @pytest.mark.parametrize("kind", [TaskKind.REGRESSION, TaskKind.CLASSIFICATION])
    def test_rows_by_reference_give_the_files_of_the_same_rows_given_whole(
        self, trainer: Trainer, tmp_path: Path, kind: TaskKind
    ) -> None:
        given = save(self.fit(trainer, kind=kind, seed=7), tmp_path / "given", kind)
        assert save(self.fit_parts(trainer, kind=kind), tmp_path / "by-reference", kind).files == given.files

    def test_rows_that_cannot_be_read_any_more_end_a_fit_by_their_own_error(self, trainer: Trainer) -> None:
        with pytest.raises(DataError, match="are lost"):
            self.fit_parts(trainer, ends=300)

    def test_a_reference_to_no_rows_is_refused(self, trainer: Trainer) -> None:
        with pytest.raises(TrainingError):
            self.fit_parts(trainer, TRAIN.take(slice(0)))

    def test_a_reference_to_rows_of_one_class_is_refused(self, trainer: Trainer) -> None:
        alike = Homes(TRAIN.columns, np.ones(len(TRAIN)))
        with pytest.raises(TrainingError):
            self.fit_parts(trainer, alike, TaskKind.CLASSIFICATION)

    @pytest.mark.parametrize("kind", [TaskKind.RANKING, TaskKind.TIME_TO_EVENT])
    def test_rows_by_reference_of_another_task_are_refused(self, trainer: Trainer, kind: TaskKind) -> None:
        with pytest.raises(TrainingError):
            self.fit_parts(trainer, kind=kind)


def _of(rows: TrainingData, which: NDArray[Any]) -> TrainingData:
    """Return some of the rows."""
    inputs: Any = rows.inputs
    chosen = {name: column[which] for name, column in inputs.items()} if isinstance(inputs, dict) else inputs[which]
    event = None if rows.event is None else rows.event[which]
    return TrainingData(inputs=chosen, target=rows.target[which], event=event)
