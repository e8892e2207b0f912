"""Rankings, times to an event and quantiles, as far as they are LightGBM's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackwright_interfaces.errors import ArtifactError, PredictionError, TrainingError
from stackwright_interfaces.model import Manifest, Signature
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_fits import save, signature_with
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingData
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_lightgbm.format import LightGBMFormat
from stackwright_lightgbm.plugin import LightGBMConfig, LightGBMFormatConfig
from stackwright_lightgbm.trainer import LightGBMTrainer

Fit = Callable[..., FittedModel]


def trained(task: Task, data: TrainingData, folder: Path, **params: Any) -> FittedModel:
    trainer = LightGBMTrainer(LightGBMConfig(num_iterations=40, **params), make_context(folder))
    return trainer.fit(task, data, None, {}, seed=3, threads=1)


def shown(seed: int, lists: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, clicks and places of lists of eight: an old order likes x0, people want x1 and see the top."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(lists, 8, 2))
    places = np.argsort(np.argsort(-rows[:, :, 0] - random.normal(size=(lists, 8)), axis=1), axis=1) + 1
    seen = random.random((lists, 8)) < 1 / places
    wanted = random.random((lists, 8)) < 1 / (1 + np.exp(-2 * rows[:, :, 1]))
    return rows.reshape(-1, 2), (seen & wanted).astype(float).ravel(), places.ravel()


PLACED = Signature(inputs=(Field("x0", FLOAT64), Field("x1", FLOAT64)), outputs=(Field("score", FLOAT64),))


def test_positions_take_away_what_a_place_alone_adds(tmp_path: Path) -> None:
    inputs, clicks, places = shown(1)
    task = Task(kind=TaskKind.RANKING, signature=PLACED)
    blind = TrainingData(inputs=inputs, target=clicks, group=np.full(400, 8))
    test, _, _ = shown(2)
    swayed = []
    for data in (blind, replace(blind, position=places)):
        score = trained(task, data, tmp_path, feature_fraction=1.0).predictor().predict(test)
        swayed.append(abs(np.corrcoef(score, test[:, 0])[0, 1]))
    assert swayed[1] < 0.5 * swayed[0]


def test_the_places_that_count_are_measured_and_learned_by(tmp_path: Path, homes: Homes) -> None:
    few, many = (Task(kind=TaskKind.RANKING, signature=SIGNATURE, k=k) for k in (3, 40))
    one, other = (trained(task, homes.data(TaskKind.RANKING, "matrix"), tmp_path) for task in (few, many))
    assert "train_ndcg@3" in one.metrics
    assert "lambdarank_truncation_level" not in one.parameters
    assert (other.parameters["eval_at"], other.parameters["lambdarank_truncation_level"]) == ([40], 45)


def test_what_is_said_of_places_goes_over_the_models(fit: Fit) -> None:
    assert fit({"eval_at": [1, 2]}, kind=TaskKind.RANKING).parameters["eval_at"] == [1, 2]


def test_times_are_learned_by_fewer_and_smaller_trees(tmp_path: Path, homes: Homes) -> None:
    task = Task(kind=TaskKind.TIME_TO_EVENT, signature=SIGNATURE)
    trainer = LightGBMTrainer(LightGBMConfig(num_leaves=12), make_context(tmp_path))
    fitted = trainer.fit(task, homes.data(TaskKind.TIME_TO_EVENT, "matrix"), None, {}, seed=3, threads=1)
    chosen = {name: fitted.parameters[name] for name in ("num_iterations", "num_leaves", "min_data_in_leaf", "periods")}
    assert chosen == {"num_iterations": 150, "num_leaves": 12, "min_data_in_leaf": 40, "periods": 20}


def test_weights_count_in_every_period_of_a_row(tmp_path: Path) -> None:
    rows = np.zeros((200, 2))
    duration, weight = np.repeat([1.0, 5.0], 100), np.repeat([9.0, 1.0], 100)
    task = Task(kind=TaskKind.TIME_TO_EVENT, signature=PLACED, horizons=(1.0,))
    fitted = trained(task, TrainingData(inputs=rows, target=duration, weight=weight), tmp_path, learning_rate=0.3)
    assert fitted.predictor().predict(rows[:1])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_a_horizon_beyond_what_was_seen_is_refused(tmp_path: Path, homes: Homes) -> None:
    task = Task(kind=TaskKind.TIME_TO_EVENT, signature=SIGNATURE, horizons=(10.0, 400.0))
    with pytest.raises(
        TrainingError, match=r"horizons: no event was seen later than after [\d.]+, and a horizon is 400"
    ):
        trained(task, homes.data(TaskKind.TIME_TO_EVENT, "matrix"), tmp_path)


def test_an_input_of_our_name_is_refused(tmp_path: Path) -> None:
    signature = replace(PLACED, inputs=(Field("elapsed", FLOAT64), Field("x", FLOAT64)))
    rows = TrainingData(inputs=np.ones((50, 2)), target=np.arange(50.0))
    with pytest.raises(TrainingError, match="an input is named 'elapsed', which is ours"):
        trained(Task(kind=TaskKind.TIME_TO_EVENT, signature=signature), rows, tmp_path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "cannot be read"),
        ({"ends": [1.0]}, "cannot be read"),
        ({"ends": [3.0, 1.0], "horizons": [2.0]}, "periods that do not ascend"),
        ({"ends": [], "horizons": [2.0]}, "periods that do not ascend"),
        ({"ends": [1.0, 3.0], "horizons": []}, "0 horizons; the manifest names 2 outputs"),
    ],
)
def test_damaged_periods_are_refused(tmp_path: Path, homes: Homes, document: Any, message: str) -> None:
    task = Task(kind=TaskKind.TIME_TO_EVENT, signature=signature_with((20.0,)), horizons=(20.0,))
    fitted = trained(task, homes.data(TaskKind.TIME_TO_EVENT, "matrix"), tmp_path)
    manifest: Manifest = save(fitted, tmp_path / "model", TaskKind.TIME_TO_EVENT, task.signature)
    format_ = LightGBMFormat(LightGBMFormatConfig(), make_context(tmp_path))
    format_.load(tmp_path / "model", manifest).close()
    text = document if isinstance(document, str) else json.dumps(document)
    (tmp_path / "model" / "hazard.json").write_text(text)
    with pytest.raises(ArtifactError, match=message):
        format_.load(tmp_path / "model", manifest)


def test_a_matrix_of_another_width_is_refused(tmp_path: Path, homes: Homes) -> None:
    task = Task(kind=TaskKind.TIME_TO_EVENT, signature=SIGNATURE)
    predictor = trained(task, homes.data(TaskKind.TIME_TO_EVENT, "matrix"), tmp_path).predictor()
    with pytest.raises(PredictionError, match="the model takes n × 4"):
        predictor.predict(np.ones((2, 5)))
    predictor.close()
    with pytest.raises(PredictionError, match="after it was closed"):
        predictor.predict(np.ones((2, 4)))


def of_quantiles(homes: Homes, folder: Path, **params: Any) -> tuple[FittedModel, Manifest]:
    shares = (0.2, 0.8)
    task = Task(kind=TaskKind.REGRESSION, signature=signature_with(quantiles=shares), quantiles=shares)
    fitted = trained(task, homes.data(TaskKind.REGRESSION, "matrix"), folder, **params)
    return fitted, save(fitted, folder / "model", signature=task.signature)


def test_what_holds_for_the_first_output_does_not_keep_quantiles_from_being_learned(
    tmp_path: Path, homes: Homes
) -> None:
    fitted, _ = of_quantiles(homes, tmp_path, objective="regression", monotone={"area": 1}, params={"reg_sqrt": True})
    inputs = homes.data(TaskKind.REGRESSION, "matrix").inputs
    answer = fitted.predictor().predict(inputs)
    assert (homes.price <= answer[:, 1]).mean() == pytest.approx(0.2, abs=0.1)
    assert (homes.price <= answer[:, 2]).mean() == pytest.approx(0.8, abs=0.1)
    explained = fitted.predictor().contributions(inputs[:5])
    raw = explained.values.sum(axis=1) + explained.base
    assert np.square(raw) == pytest.approx(answer[:5, 0])


def test_progress_goes_on_from_one_quantile_to_the_next(tmp_path: Path, homes: Homes) -> None:
    task = Task(kind=TaskKind.REGRESSION, signature=signature_with(quantiles=(0.5,)), quantiles=(0.5,))
    trainer = LightGBMTrainer(LightGBMConfig(num_iterations=4), make_context(tmp_path))
    seen: list[tuple[int, int]] = []
    rows = homes.data(TaskKind.REGRESSION, "matrix")
    trainer.fit(task, rows, None, {}, seed=3, threads=1, report=lambda step, steps, _: seen.append((step, steps)))
    assert seen == [(step, 8) for step in range(1, 9)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("quantiles.json", "{", "cannot be read"),
        ("quantiles.json", "{}", r"names \[\]"),
        ("quantiles.json", '{"0.2": "../quantile-0.txt", "0.8": "quantile-1.txt"}', "names"),
        ("quantiles.json", '{"0.2": "quantile-0.txt"}', "1 quantiles; the manifest names 3 outputs"),
        ("quantile-1.txt", None, "cannot be read"),
        ("quantile-1.txt", "tree", "not LightGBM's text form"),
    ],
)
def test_damaged_quantiles_are_refused(tmp_path: Path, homes: Homes, name: str, text: str | None, message: str) -> None:
    _, manifest = of_quantiles(homes, tmp_path)
    format_ = LightGBMFormat(LightGBMFormatConfig(), make_context(tmp_path))
    format_.load(tmp_path / "model", manifest).close()
    (tmp_path / "model" / name).unlink()
    if text is not None:
        (tmp_path / "model" / name).write_text(text)
    with pytest.raises(ArtifactError, match=message):
        format_.load(tmp_path / "model", manifest)
