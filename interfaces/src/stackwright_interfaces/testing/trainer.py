"""The kit for trainers, and for the model format that loads what they save.

An adapter's whole test module; :class:`TrainerCases` says what its declaration may hold::

    from stackwright_interfaces.model import ModelFormat
    from stackwright_interfaces.testing.adapters import spec_of
    from stackwright_interfaces.testing.kits import cases_of
    from stackwright_interfaces.trainer import Trainer
    from stackwright_lightgbm import plugin

    TestLightGBMTrainer = cases_of(spec_of(plugin, Trainer))
    TestLightGBMFormat = cases_of(spec_of(plugin, ModelFormat))

``TrainerCases`` state regression; ``ClassificationCases`` come before it where the trainer does these too, and where
its spec declares the capability ``RankingCases``, ``TimeToEventCases``, ``QuantileCases`` and ``PartsCases``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, PredictionError, TrainingError
from stackwright_interfaces.model import Manifest, ModelFormat, describe_files
from stackwright_interfaces.plugin import Capability
from stackwright_interfaces.testing.trainer_child import load_in_a_child
from stackwright_interfaces.testing.trainer_fits import STRANGE, TEST, TRAIN, Fitting, predict, save
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.testing.trainer_tasks import (
    QUANTILES,
    PartsCases,
    QuantileCases,
    RankingCases,
    TimeToEventCases,
)
from stackwright_interfaces.trainer import FittedModel, StopFit, Task, TaskKind, Trainer, TrainingData

__all__ = ["ClassificationCases", "PartsCases", "QuantileCases", "RankingCases", "TimeToEventCases", "TrainerCases"]

HANG: Final = 120.0
"""Seconds after which a load counts as hanging."""

_FITTED: dict[type, FittedModel] = {}


def _error(predicted: NDArray[np.float64], rows: Homes) -> float:
    return float(np.abs(predicted - rows.price).mean())


class TrainerCases(Fitting):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        spec: the trainer's spec.
        format_spec: the spec of the format that loads what it saves.
        quick: parameters that fit 400 rows in a moment, and well.
        overfit: parameters that learn 20 rows by heart.
        nonsense: parameter sets each of which must be refused.
        tolerance: how far predictions of one row may differ between batches, relative to the greatest: 0 where rows
            are predicted one by one, 1e-12 where a product of matrices may round by its shape.
    """

    tolerance: ClassVar[float] = 0.0
    overfit: ClassVar[Mapping[str, Any]] = {}
    nonsense: ClassVar[tuple[Mapping[str, Any], ...]] = ({"no_such_parameter": 1},)

    @pytest.fixture
    def fitted(self, trainer: Trainer) -> FittedModel:
        """A regression over the training rows, fitted once for all cases: it outlives its trainer."""
        cases = type(self)
        if cases not in _FITTED:
            _FITTED[cases] = self.fit(trainer)
        return _FITTED[cases]

    def test_a_fit_learns_more_than_the_median(self, fitted: FittedModel) -> None:
        median = np.full(len(TEST), np.median(TRAIN.price))
        assert _error(predict(fitted.predictor(), TEST), TEST) < 0.5 * _error(median, TEST)

    def test_missing_values_and_unknown_categories_get_a_finite_prediction(self, fitted: FittedModel) -> None:
        predicted = predict(fitted.predictor(), STRANGE)
        assert predicted.shape == (len(STRANGE),)
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()

    def test_the_same_seed_gives_the_same_files_and_predictions(self, trainer: Trainer, tmp_path: Path) -> None:
        first, second = self.fit(trainer), self.fit(self.build(tmp_path))
        assert save(first, tmp_path / "first").digest == save(second, tmp_path / "second").digest
        assert np.array_equal(predict(first.predictor(), STRANGE), predict(second.predictor(), STRANGE))

    def test_the_parameters_of_a_fit_give_it_again(self, trainer: Trainer, fitted: FittedModel) -> None:
        again = self.fit(trainer, params=fitted.parameters)
        assert np.allclose(predict(again.predictor(), TEST), predict(fitted.predictor(), TEST), rtol=1e-6)

    def test_validation_rows_are_never_fitted_on(self, trainer: Trainer, fitted: FittedModel, tmp_path: Path) -> None:
        judged = self.fit(trainer, valid=TEST)
        assert save(judged, tmp_path / "judged").files == save(fitted, tmp_path / "fitted").files

    def test_watching_a_fit_changes_nothing(self, trainer: Trainer, fitted: FittedModel, tmp_path: Path) -> None:
        watched = self.fit(trainer, report=lambda step, steps, metrics: None)
        assert save(watched, tmp_path / "watched").files == save(fitted, tmp_path / "fitted").files

    def test_what_was_saved_predicts_the_same_bits(
        self, fitted: FittedModel, model_format: ModelFormat, tmp_path: Path
    ) -> None:
        save(fitted, tmp_path / "model")
        loaded = model_format.load(tmp_path / "model", Manifest.read(tmp_path / "model"))
        assert np.array_equal(predict(loaded, STRANGE), predict(fitted.predictor(), STRANGE))

    def test_the_number_of_threads_does_not_change_a_prediction(
        self, fitted: FittedModel, model_format: ModelFormat, tmp_path: Path
    ) -> None:
        manifest = save(fitted, tmp_path / "model")
        one, two = (model_format.load(tmp_path / "model", manifest, threads=threads) for threads in (1, 2))
        assert np.array_equal(predict(one, TEST), predict(two, TEST))

    def test_the_flavour_is_the_one_that_the_format_loads(self, fitted: FittedModel, model_format: ModelFormat) -> None:
        assert fitted.flavour == model_format.flavour

    @pytest.mark.parametrize("size", [1, 2, 7, 31, 200])
    def test_a_row_is_predicted_alike_in_any_batch(self, fitted: FittedModel, size: int) -> None:
        predictor = fitted.predictor()
        whole = predict(predictor, STRANGE)
        order = np.random.default_rng(size).permutation(len(STRANGE))
        parts = [predict(predictor, STRANGE.take(order[at : at + size])) for at in range(0, len(order), size)]
        assert np.abs(np.concatenate(parts) - whole[order]).max() <= self.tolerance * np.abs(whole).max()

    def test_no_rows_give_no_predictions(self, fitted: FittedModel) -> None:
        assert predict(fitted.predictor(), TEST.take(slice(0))).shape == (0,)

    def test_predicting_leaves_the_inputs_as_they_were(self, fitted: FittedModel) -> None:
        predictor = fitted.predictor()
        inputs = STRANGE.inputs(predictor.input)
        predictor.predict(inputs)
        before = STRANGE.inputs(predictor.input)
        pairs = [(inputs, before)] if predictor.input == "matrix" else [(inputs[name], before[name]) for name in before]
        for now, then in pairs:
            np.testing.assert_array_equal(now, then)

    def test_an_input_too_few_is_refused(self, fitted: FittedModel) -> None:
        predictor = fitted.predictor()
        inputs = TEST.inputs(predictor.input)
        short = inputs[:, 1:] if predictor.input == "matrix" else {**inputs, "area": None}
        if predictor.input == "columns":
            del short["area"]
        with pytest.raises(PredictionError):
            predictor.predict(short)

    def test_a_predictor_may_be_closed_twice(self, fitted: FittedModel) -> None:
        predictor = fitted.predictor()
        predictor.close()
        predictor.close()

    def test_a_task_that_is_not_declared_is_refused_and_has_no_cases(self, trainer: Trainer) -> None:
        kinds = {TaskKind.RANKING: RankingCases, TaskKind.TIME_TO_EVENT: TimeToEventCases}
        for kind, cases in kinds.items():
            declared = Capability(kind.value) in self.spec.capabilities
            assert isinstance(self, cases) == declared, f"{cases.__name__} and the capabilities do not agree"
            if not declared:
                with pytest.raises(TrainingError):
                    self.fit(trainer, kind=kind)
        declared = Capability.QUANTILES in self.spec.capabilities
        assert isinstance(self, QuantileCases) == declared, "QuantileCases and the capabilities do not agree"
        if not declared:
            with pytest.raises(TrainingError):
                self.fit(trainer, quantiles=QUANTILES)

    def test_twenty_rows_are_learned_by_heart(self, trainer: Trainer) -> None:
        rows = Homes.make(20, seed=4, missing=0.0)
        predicted = predict(self.fit(trainer, rows, self.overfit).predictor(), rows)
        assert _error(predicted, rows) < 0.05 * _error(np.full(20, rows.price.mean()), rows)

    def test_rows_of_greater_weight_count_for_more(self, trainer: Trainer) -> None:
        same = TRAIN.take(np.zeros(200, dtype=np.int64))
        rows = Homes(same.columns, np.repeat([0.0, 1.0], 100))
        weight = np.repeat([1.0, 9.0], 100)
        fitted = self.fit(trainer, rows.data(TaskKind.REGRESSION, trainer.input, weight))
        assert predict(fitted.predictor(), rows.take(slice(1))) == pytest.approx(0.9, abs=0.1)

    def test_progress_is_reported_with_what_was_measured(self, trainer: Trainer) -> None:
        seen: list[tuple[int, int, dict[str, float]]] = []
        self.fit(trainer, valid=TEST, report=lambda step, steps, metrics: seen.append((step, steps, dict(metrics))))
        assert [step for step, _, _ in seen] == list(range(1, len(seen) + 1))
        assert {steps for _, steps, _ in seen} == {len(seen)}
        assert all(metrics and np.isfinite(list(metrics.values())).all() for _, _, metrics in seen)

    def test_a_stopped_fit_keeps_what_was_fitted(self, trainer: Trainer) -> None:
        calls: list[int] = []

        def stop(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            calls.append(step)
            raise StopFit

        stopped = self.fit(trainer, report=stop)
        assert calls == [1]
        assert np.isfinite(predict(stopped.predictor(), TEST)).all()

    def test_an_error_of_the_report_ends_the_fit(self, trainer: Trainer) -> None:
        def fail(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            raise ValueError("the disk is full")

        with pytest.raises(ValueError, match="the disk is full"):
            self.fit(trainer, report=fail)

    def test_parameters_and_metrics_are_json_values(self, fitted: FittedModel) -> None:
        assert json.loads(json.dumps(dict(fitted.parameters), allow_nan=False)) == dict(fitted.parameters)
        assert fitted.metrics
        assert all(isinstance(value, float) for value in fitted.metrics.values())

    def test_what_is_worth_tuning_starts_inside_its_range_and_can_be_fitted(self, trainer: Trainer) -> None:
        space = trainer.space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE))
        for name, span in space.items():
            inside = span.default in span.choices if span.choices else span.low <= span.default <= span.high
            assert inside, f"{name}: {span}"
        defaults = {name: span.default for name, span in space.items()}
        assert np.isfinite(predict(self.fit(trainer, params={**defaults, **self.quick}).predictor(), TEST)).all()

    def test_the_ends_of_each_range_can_be_fitted(self, trainer: Trainer) -> None:
        space = trainer.space(Task(kind=TaskKind.REGRESSION, signature=SIGNATURE))
        for end in (0, -1):
            ends = {name: (span.choices or (span.low, span.high))[end] for name, span in space.items()}
            whole = {name: int(value) if space[name].integer else value for name, value in ends.items()}
            assert np.isfinite(predict(self.fit(trainer, params={**whole, **self.quick}).predictor(), TEST)).all()

    def test_nonsense_is_refused_by_its_name(self, trainer: Trainer) -> None:
        assert self.nonsense, "give parameter sets that must be refused"
        for params in self.nonsense:
            with pytest.raises(TrainingError) as refused:
                self.fit(trainer, params=params)
            assert any(name in str(refused.value) for name in params), str(refused.value)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_target_that_is_not_finite_is_refused(self, trainer: Trainer, value: float) -> None:
        price = TRAIN.price.copy()
        price[3] = value
        with pytest.raises(TrainingError):
            self.fit(trainer, Homes(TRAIN.columns, price))

    def test_no_rows_are_refused(self, trainer: Trainer) -> None:
        with pytest.raises(TrainingError):
            self.fit(trainer, TRAIN.take(slice(0)))

    def test_a_target_of_another_length_is_refused(self, trainer: Trainer) -> None:
        rows = TrainingData(inputs=TRAIN.inputs(trainer.input), target=TRAIN.price[1:])
        with pytest.raises(TrainingError):
            self.fit(trainer, rows)

    def test_an_altered_file_is_found_before_it_is_parsed(self, fitted: FittedModel, tmp_path: Path) -> None:
        save(fitted, tmp_path / "model")
        path = _payload(tmp_path / "model")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ArtifactError):
            Manifest.read(tmp_path / "model")

    def test_a_payload_cut_short_is_never_loaded_and_never_hangs(self, fitted: FittedModel, tmp_path: Path) -> None:
        shares = (0.0, 0.1, 0.5, 0.9)
        folders = [tmp_path / f"cut-{share}" for share in shares]
        for share, folder in zip(shares, folders, strict=True):
            save(fitted, folder)
            content = _payload(folder).read_bytes()
            _payload(folder).write_bytes(content[: int(share * len(content))])
        save(fitted, tmp_path / "whole")
        outcomes = load_in_a_child(self.format_spec, [tmp_path / "whole", *folders], HANG)
        assert outcomes[0] == "loaded"
        assert "loaded" not in outcomes[1:], dict(zip(shares, outcomes[1:], strict=True))


def _payload(folder: Path) -> Path:
    """Return the greatest file that a trainer saved."""
    files = describe_files(folder)
    return folder / max(files, key=lambda name: files[name].size)


class ClassificationCases(Fitting):
    """Cases of a trainer that also classifies; they come before :class:`TrainerCases`."""

    def test_classification_gives_the_probability_of_one(self, trainer: Trainer) -> None:
        fitted = self.fit(trainer, kind=TaskKind.CLASSIFICATION)
        probability = predict(fitted.predictor(), TEST)
        truth = TEST.target(TaskKind.CLASSIFICATION)
        assert probability.shape == (len(TEST),)
        assert ((probability >= 0) & (probability <= 1)).all()
        assert np.mean((probability - truth) ** 2) < 0.5 * np.mean((truth - truth.mean()) ** 2)

    def test_a_saved_classifier_predicts_the_same_bits(
        self, trainer: Trainer, model_format: ModelFormat, tmp_path: Path
    ) -> None:
        fitted = self.fit(trainer, kind=TaskKind.CLASSIFICATION)
        manifest = save(fitted, tmp_path / "model", TaskKind.CLASSIFICATION)
        loaded = model_format.load(tmp_path / "model", manifest)
        assert np.array_equal(predict(loaded, STRANGE), predict(fitted.predictor(), STRANGE))

    @pytest.mark.parametrize("value", [2.0, 0.5, -1.0])
    def test_a_class_other_than_0_and_1_is_refused(self, trainer: Trainer, value: float) -> None:
        rows = TRAIN.data(TaskKind.CLASSIFICATION, trainer.input)
        target = np.where(np.arange(len(TRAIN)) == 0, value, rows.target)
        with pytest.raises(TrainingError):
            self.fit(trainer, TrainingData(inputs=rows.inputs, target=target), kind=TaskKind.CLASSIFICATION)

    def test_rows_of_one_class_are_refused(self, trainer: Trainer) -> None:
        rows = TrainingData(inputs=TRAIN.inputs(trainer.input), target=np.zeros(len(TRAIN)))
        with pytest.raises(TrainingError):
            self.fit(trainer, rows, kind=TaskKind.CLASSIFICATION)
