"""Fits a class of the project."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from stackwright_interfaces.errors import PredictionError, ProjectError, TrainingError
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.project.hashing import module_hash
from stackwright_interfaces.project.modules import Project
from stackwright_interfaces.trainer import (
    Distribution,
    FittedModel,
    Report,
    StopFit,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
)
from stackwright_numerics import metrics
from stackwright_numerics.training_rows import check_rows
from stackwright_python import state
from stackwright_python.format import ARTIFACTS, HEAD, PythonFormat, PythonPredictor
from stackwright_python.hooks import Hooks
from stackwright_python.parameters import checked
from stackwright_python.plugin import PythonConfig
from stackwright_python.project import loaded
from stackwright_python.rows import Shape, check_seen

_SEEDS: Final = 2**32


class PythonModel(FittedModel):
    """What ``train`` of a class returned.

    Attributes:
        code: ``module:Class`` → SHA-256 of the project's code that it depends on.
    """

    flavour: ClassVar[str] = PythonFormat.flavour

    def __init__(self, hooks: Hooks, model: Any, task: Task, code: str, parameters: Mapping[str, Any]) -> None:
        self._hooks = hooks
        self._model = model
        self._task = task
        self.code = {hooks.reference: code}
        self.parameters = parameters
        self.metrics: dict[str, float] = {}
        self.predictor()

    def predictor(self) -> Predictor:
        """Return a predictor over the fitted model."""
        return PythonPredictor(self._hooks, self._model, self._task.signature, self._task.kind)

    def save(self, folder: Path) -> None:
        """Write ``model.json``, and the model: by ``save`` of the class into ``artifacts``, else as plain attributes.

        Raises:
            TrainingError: ``save`` failed or wrote nothing, or the model cannot be kept without it.
        """
        write = self._hooks.bound("save", self._model)
        own = write is not None
        if write is None:
            state.write(self._model, folder, self._is_kept, type(self._model).__name__)
        else:
            (folder / ARTIFACTS).mkdir()
            with self._hooks.errors("save", TrainingError), self._hooks.project.importable():
                write(folder / ARTIFACTS)
            if not any(path.is_file() for path in (folder / ARTIFACTS).rglob("*")):
                todo = "Write the model's files into the folder that it gets."
                raise TrainingError(f"{self._hooks.reference}.save", "it wrote no file", todo)
        ((reference, code),) = self.code.items()
        head = {"class": reference, "code": code, "config": self._hooks.config, "own": own}
        (folder / HEAD).write_text(json.dumps(head, sort_keys=True) + "\n", encoding="utf-8")

    def _is_kept(self, kind: type) -> bool:
        return loaded(self._hooks.project, f"{kind.__module__}:{kind.__qualname__}") is kind


class PythonTrainer(Trainer):
    """A class of the project."""

    input = "columns"
    ranks = True
    takes_censored = True

    def __init__(self, config: PythonConfig, context: Context) -> None:
        self._config = config
        self._project = Project(context.project)

    def code(self) -> Mapping[str, str]:
        """Return ``module:Class`` → SHA-256 of the project's code that a fit depends on. Nothing is run for it.

        Raises:
            TrainingError: the module is not there, or cannot be parsed.
        """
        reference = self._config.reference
        with _as_training_error():
            return {reference: module_hash(self._project, reference.partition(":")[0])}

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return the ranges of ``get_parameters``."""
        return self._hooks(task).parameters().space

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit.

        Args:
            valid: rows to measure; ``train`` may ask for them as ``valid``.
            params: over the defaults of ``get_parameters``.
            report: told once, at the end.

        Raises:
            TrainingError: the class, a parameter or the data does not allow a fit; names file and line.
        """
        code = self.code()[self._config.reference]
        hooks = self._hooks(task)
        chosen = hooks.parameters().resolve(params)
        for rows, where in ((train, "training rows"), (valid, "validation rows")):
            if rows is not None:
                check_rows(task, rows, where)
                check_seen(task, rows, where)
        model = _train(hooks, task, train, valid, chosen, seed=seed, threads=threads)
        for name, value in chosen.items():
            checked(f"{hooks.reference}.train: params[{name!r}]", value)
        fitted = PythonModel(hooks, model, task, code, chosen)
        fitted.metrics = _measure(fitted.predictor(), task, train, valid)
        if report is not None:
            with suppress(StopFit):
                report(1, 1, fitted.metrics)
        return fitted

    def _hooks(self, task: Task) -> Hooks:
        given = dict(task.options)
        given = {**given, **given.pop("config", {})}
        given.pop("class", None)
        with _as_training_error():
            return Hooks(self._project, self._config.reference, {**self._config.config, **given})


def _train(
    hooks: Hooks,
    task: Task,
    train: TrainingData,
    valid: TrainingData | None,
    params: dict[str, Any],
    *,
    seed: int,
    threads: int,
) -> Any:
    weighted = train.weight is not None
    if weighted and not hooks.takes("train", "weight"):
        todo = "Add a parameter 'weight' to it, or train without weights (no half_life)."
        raise TrainingError(f"{hooks.reference}.train", "rows have weights, and it asks for none", todo)
    if train.event is not None and not np.all(train.event) and not hooks.takes("train", "event"):
        todo = "Add a parameter 'event' to it: false for a row whose event was still to come after its duration."
        raise TrainingError(f"{hooks.reference}.train", "rows are censored, and it does not ask which", todo)
    shape = Shape(task.signature, hooks.form)
    named = {
        "params": params,
        "logger": hooks.logger,
        "config": hooks.config,
        "weight": np.array(train.weight, dtype=np.float64) if weighted else None,
        "group": train.group,
        "position": train.position,
        "event": train.event,
        "horizons": list(task.horizons),
        "k": task.k,
        "valid": None if valid is None else _rows(shape, valid, task, hooks),
        "categories": {name: list(known) for name, known in task.signature.categories.items()},
        "seed": seed,
        "threads": threads,
    }
    with hooks.errors("train", TrainingError), hooks.project.importable(), _seeded(seed):
        model = hooks.call("train", _rows(shape, train, task, hooks), named)
    if model is None:
        todo = "Return the fitted model, or self where the object itself is the model."
        raise TrainingError(f"{hooks.reference}.train", "it returned nothing", todo)
    return model


def _rows(shape: Shape, data: TrainingData, task: Task, hooks: Hooks) -> tuple[Any, Any]:
    target = np.array(data.target, dtype=np.float64)
    if hooks.form == "pandas":
        return shape(data.inputs), pd.Series(target, name=task.signature.outputs[0].name)
    return shape(data.inputs), target


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators that code uses which brings none of its own, and put them back."""
    kept = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % _SEEDS)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


@contextmanager
def _as_training_error() -> Iterator[None]:
    try:
        yield
    except ProjectError as error:
        raise TrainingError(error.where, error.found, error.todo) from error


def _measure(predictor: Predictor, task: Task, train: TrainingData, valid: TrainingData | None) -> dict[str, float]:
    """Return the errors on the training rows and the validation rows; this tries ``predict`` too."""
    found: dict[str, float] = {}
    for name, rows in (("train", train), ("valid", valid)):
        if rows is None:
            continue
        try:
            answer = predictor.predict(rows.inputs)
        except PredictionError as error:
            raise TrainingError(error.where, error.found, error.todo) from error
        if task.kind is TaskKind.CLASSIFICATION:
            found[f"{name}_log_loss"] = metrics.log_loss(rows.target, answer, rows.weight)
        elif task.kind in (TaskKind.RANKING, TaskKind.TIME_TO_EVENT):
            found |= {f"{name}_{metric}": value for metric, value in _ordered(task, rows, answer).items()}
        else:
            found[f"{name}_mae"] = metrics.mae(rows.target, answer, rows.weight)
            found[f"{name}_rmse"] = metrics.rmse(rows.target, answer, rows.weight)
    return found


def _ordered(task: Task, rows: TrainingData, answer: Any) -> dict[str, float]:
    """Return how well rows are ordered: those of a list, or times."""
    group = None if rows.group is None else np.repeat(np.arange(len(rows.group)), rows.group)
    first = answer if answer.ndim == 1 else answer[:, 0]
    found = metrics.score(task.kind.value, rows.target, first, group=group, event=rows.event, k=task.k)
    return {name: value for name, value in found.items() if name in ("ndcg", "c_index")}
