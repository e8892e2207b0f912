"""How a finished model is brought in, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.trainer_rows import SIGNATURE, Homes
from stackwright_interfaces.trainer import FittedModel, Task, TaskKind, TrainingData
from stackwright_onnx.plugin import OnnxConfig
from stackwright_onnx.trainer import OnnxTrainer

Bring = Callable[..., FittedModel]


@pytest.fixture
def bring(tmp_path: Path) -> Bring:
    def run(
        content: bytes | None,
        kind: TaskKind = TaskKind.REGRESSION,
        rows: TrainingData | None = None,
        valid: TrainingData | None = None,
        outputs: tuple[str, ...] = (),
    ) -> FittedModel:
        path = tmp_path / "homes.onnx"
        if content is not None:
            path.write_bytes(content)
        trainer = OnnxTrainer(OnnxConfig(file=path, outputs=outputs), make_context(tmp_path))
        rows = rows or Homes.make(100, seed=2).data(kind, "columns")
        return trainer.fit(Task(kind=kind, signature=SIGNATURE), rows, valid, {}, seed=0, threads=1)

    return run


def test_the_file_is_published_as_it_is(bring: Bring, homes_model: Any, tmp_path: Path) -> None:
    content = homes_model()
    folder = tmp_path / "model"
    folder.mkdir()
    bring(content).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.onnx": content}


def test_named_outputs_are_kept_beside_it(bring: Bring, homes_model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    bring(homes_model(), outputs=("price",)).save(folder)
    assert (folder / "outputs.json").read_text() == '["price"]\n'


def test_it_is_measured_on_the_rows(bring: Bring, homes_model: Any) -> None:
    newer = Homes.make(50, seed=9)
    fitted = bring(homes_model(), valid=newer.data(TaskKind.REGRESSION, "columns"))
    answer = fitted.predictor().predict(newer.columns)
    assert fitted.metrics["valid_mae"] == pytest.approx(np.abs(answer - newer.price).mean())
    assert set(fitted.metrics) == {"train_mae", "train_rmse", "valid_mae", "valid_rmse"}


def test_a_classifier_is_measured_by_its_probabilities(bring: Bring, homes_model: Any) -> None:
    fitted = bring(homes_model(sigmoid=True), TaskKind.CLASSIFICATION)
    assert 0 < fitted.metrics["train_log_loss"] < 0.5
    with pytest.raises(TrainingError, match=r"gives no probabilities.*outputs ="):
        bring(homes_model(), TaskKind.CLASSIFICATION)
    rows = Homes.make(20)
    with pytest.raises(TrainingError, match="not 0 and 1"):
        bring(homes_model(), TaskKind.CLASSIFICATION, TrainingData(inputs=rows.columns, target=np.zeros(20)))


def test_a_file_that_is_not_there_is_told(bring: Bring) -> None:
    with pytest.raises(TrainingError, match=r"homes\.onnx: cannot be read \(No such file.*file = "):
        bring(None)


def test_a_file_that_does_not_fit_is_told(bring: Bring, homes_model: Any) -> None:
    with pytest.raises(TrainingError, match=r"homes\.onnx: onnxruntime .* cannot load it"):
        bring(homes_model()[:-9])
    with pytest.raises(TrainingError, match="no output 'prize'"):
        bring(homes_model(), outputs=("prize",))


def test_a_model_that_bears_no_missing_values_is_told_by_the_row(bring: Bring, make_model: Any) -> None:
    plain = make_model(
        [("MatMul", ["rows", "ones"], ["out"], {})],
        {"rows": (TensorProto.DOUBLE, [None, 4])},
        {"out": (TensorProto.DOUBLE, [None, 1])},
        {"ones": np.ones((4, 1))},
    )
    rows = Homes.make(100, seed=2)
    first = int(np.flatnonzero(np.isnan(rows.inputs("matrix")).any(axis=1))[0])
    with pytest.raises(TrainingError, match=f"gives nan for row {first} .*defaults"):
        bring(plain)


def test_rows_that_do_not_fit_are_refused(bring: Bring, homes_model: Any) -> None:
    rows = Homes.make(20)
    with pytest.raises(TrainingError, match="19 targets"):
        bring(homes_model(), rows=TrainingData(inputs=rows.columns, target=rows.price[1:]))


def test_it_tells_the_hash_of_the_file(tmp_path: Path, homes_model: Any) -> None:
    (tmp_path / "a.onnx").write_bytes(homes_model())
    trainer = OnnxTrainer(OnnxConfig(file=tmp_path / "a.onnx"), make_context(tmp_path))
    assert trainer.code() == {"a.onnx": hashlib.sha256(homes_model()).hexdigest()}


def test_every_option_is_described() -> None:
    for option in dataclasses.fields(OnnxConfig):
        assert f"\n        {option.name}:" in (OnnxConfig.__doc__ or ""), option.name
