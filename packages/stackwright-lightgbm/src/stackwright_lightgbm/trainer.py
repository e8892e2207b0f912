"""Fits LightGBM models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.trainer import (
    Distribution,
    FittedModel,
    Report,
    StopFit,
    Task,
    TaskKind,
    Trainer,
    TrainingData,
    TrainingParts,
)
from stackwright_lightgbm import spread
from stackwright_lightgbm.format import PAYLOAD, LightGBMFormat, LightGBMPredictor, QuantilePredictor
from stackwright_lightgbm.hazards import HazardPredictor, Hazards
from stackwright_lightgbm.native import parameter_aliases
from stackwright_lightgbm.plugin import LightGBMConfig
from stackwright_lightgbm.quantiles import save
from stackwright_lightgbm.rows import check_rows
from stackwright_lightgbm.settings import WORKERS, Settings, resolve, search_space

_SOURCE: Final = re.compile(r" at \S+, line \d+ \.")


class LightGBMModel(FittedModel):
    """A fitted model, held as LightGBM's text: what is saved is what predicts."""

    flavour: ClassVar[str] = LightGBMFormat.flavour

    def __init__(
        self,
        text: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        threads: int,
        hazards: Hazards | None = None,
        quantiles: Sequence[tuple[float, str]] = (),
    ) -> None:
        self._text = text
        self._threads = threads
        self._hazards = hazards
        self._quantiles = quantiles
        self.parameters = parameters
        self.metrics = metrics

    def predictor(self) -> Predictor:
        """Return a predictor over the fitted model."""
        if self._hazards is not None:
            return HazardPredictor(self._text.encode(), self._hazards, threads=self._threads)
        if self._quantiles:
            others = [text.encode() for _, text in self._quantiles]
            return QuantilePredictor(self._text.encode(), others, threads=self._threads)
        return LightGBMPredictor(self._text.encode(), threads=self._threads)

    def save(self, folder: Path) -> None:
        """Write ``model.txt``; of times to an event ``hazard.json`` too, of quantiles ``quantiles.json`` and theirs."""
        (folder / PAYLOAD).write_bytes(self._text.encode())
        if self._hazards is not None:
            self._hazards.save(folder)
        if self._quantiles:
            save(self._quantiles, folder)


class LightGBMTrainer(Trainer):
    """Gradient-boosted trees."""

    input = "matrix"
    ranks = True
    takes_censored = True
    gives_quantiles = True
    higher_is_better = frozenset({"auc", "average_precision", "map", "ndcg", "auc_mu"})

    def __init__(self, config: LightGBMConfig, context: Context) -> None:
        self._config = config
        self._executor = context.executor
        self.spreads = config.distributed

    def space(self, task: Task) -> Mapping[str, Distribution]:
        """Return the parameters worth tuning; each default is the value used without tuning."""
        return search_space(self._config, task, parameter_aliases())

    def stops_early(self, task: Task, params: Mapping[str, Any]) -> bool:
        """Tell whether ``early_stopping_round`` is set."""
        return resolve(self._config, task, params, parameter_aliases()).patience > 0

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
            valid: rows to stop early by, where ``early_stopping_round`` is set, and to measure.
            params: parameters of LightGBM under any of their names.

        Raises:
            TrainingError: a parameter or the data does not allow a fit.
        """
        settings = resolve(self._config, task, params, parameter_aliases())
        steps, patience = settings.trees, settings.patience
        check_rows(task, train, "training rows")
        if valid is not None:
            check_rows(task, valid, "validation rows")
        hazards = None
        if task.kind is TaskKind.TIME_TO_EVENT:
            hazards = Hazards.of(task, train, settings.periods)
            task, train = hazards.task(task), hazards.rows(train)
            valid = None if valid is None else hazards.rows(valid)
        if self.spreads:
            return self._spread(task, train, settings, seed=seed, threads=threads, hazards=hazards, report=report)
        boosting = _Boosting(task, train, valid, settings, seed=seed, threads=threads)
        patience = patience if valid is not None else 0
        if not task.quantiles:
            del train  # LightGBM holds its own form of the rows
        del valid
        boosting.run(steps, patience, _from(report, 0, steps * (1 + len(task.quantiles))))
        text, trees, metrics = boosting.result()
        parameters = {**settings.params, "num_iterations": trees, "early_stopping_round": 0}
        quantiles = []
        for number, share in enumerate(task.quantiles, 1):
            boosting = _Boosting(task, train, None, settings.of_quantile(share), seed=seed, threads=threads)
            boosting.run(trees, 0, _from(report, number * steps, steps * (1 + len(task.quantiles))))
            quantiles.append((share, boosting.result()[0]))
        return LightGBMModel(text, parameters, metrics, threads, hazards, quantiles)

    def fit_parts(
        self,
        task: Task,
        train: TrainingParts,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        """Fit on rows that the workers of the cluster read; without ``distributed`` here, where all are read at once.

        Raises:
            TrainingError: a parameter or the data does not allow a fit, or it is no regression or classification.
            DataError: rows cannot be read any more.
        """
        if task.kind not in (TaskKind.REGRESSION, TaskKind.CLASSIFICATION):
            found = f"those of a {task.kind.value} are not read by reference"
            raise TrainingError("training rows", found, "Give them whole.")
        if not self.spreads:
            rows = train.read(0, len(train))
            return self.fit(task, rows, None, params, seed=seed, threads=threads, report=report)
        settings = resolve(self._config, task, params, parameter_aliases())
        return self._spread(task, train, settings, seed=seed, threads=threads, hazards=None, report=report)

    def _spread(
        self,
        task: Task,
        train: TrainingData | TrainingParts,
        settings: Settings,
        *,
        seed: int,
        threads: int,
        hazards: Hazards | None,
        report: Report | None,
    ) -> FittedModel:
        """Fit on the workers of the cluster. Nothing is measured there."""
        cluster = spread.cluster_of(self._executor())
        spread.check_spreads(task, settings)
        every = [settings, *(settings.of_quantile(share) for share in task.quantiles)]
        texts, workers = [], settings.workers
        for number, each in enumerate(every, 1):
            with _translated(each):
                text, workers = spread.grow(cluster, task, train, each, seed=seed, workers=workers)
            texts.append(text)
            if report is not None:
                with suppress(StopFit):  # there is nothing to leave out any more
                    report(number * settings.trees, len(every) * settings.trees, {})
        parameters = {**settings.params, "num_iterations": settings.trees, "early_stopping_round": 0, WORKERS: workers}
        quantiles = list(zip(task.quantiles, texts[1:], strict=True))
        return LightGBMModel(texts[0], parameters, {}, threads, hazards, quantiles)


def _from(report: Report | None, done: int, steps: int) -> Report | None:
    """Return a report of one part of a fit, which was begun with others done."""
    return None if report is None else lambda step, _steps, metrics: report(done + step, steps, metrics)


class _Boosting:
    """One run of LightGBM, tree by tree."""

    def __init__(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        settings: Settings,
        *,
        seed: int,
        threads: int,
    ) -> None:
        import lightgbm

        names = [field.name for field in task.signature.inputs]
        params = settings.native(names, seed=seed, threads=threads)
        categories = [place for place, name in enumerate(names) if name in task.signature.categories]
        layout: dict[str, Any] = {"feature_name": names, "categorical_feature": categories, "params": params}
        rows = lightgbm.Dataset(data=_matrix(train), **_columns(train), **layout)
        with _translated(settings):
            self._booster = lightgbm.Booster(params, rows)
            if valid is not None:
                held = lightgbm.Dataset(data=_matrix(valid), reference=rows, **_columns(valid), **layout)
                self._booster.add_valid(held, "valid")
        self._settings = settings
        self._grown = 0
        self._best_loss = np.inf
        self._best_trees: int | None = None

    def run(self, steps: int, patience: int, report: Report | None) -> None:
        """Grow up to ``steps`` trees; fewer when no tree gained for ``patience``, or the report asks for an end."""
        for step in range(1, steps + 1):
            with _translated(self._settings):
                self._booster.update()
            self._grown = step
            if patience and self._waited() >= patience:
                break
            if report is not None:
                try:
                    report(step, steps, _Measured(self.measure))
                except StopFit:
                    break

    def _waited(self) -> int:
        """Return how many trees ago the validation rows were predicted best."""
        found = self._booster.eval_valid()
        if not found:
            raise TrainingError("parameter 'metric'", "early stopping has none to follow", "Name a metric.")
        _, _, value, higher_is_better, *_ = found[0]
        loss = -value if higher_is_better else value
        if loss < self._best_loss or self._best_trees is None:
            self._best_loss, self._best_trees = loss, self._grown
        return self._grown - self._best_trees

    def measure(self) -> dict[str, float]:
        """Return LightGBM's metrics on the training rows and the validation rows."""
        found = {"train": self._booster.eval_train(), "valid": self._booster.eval_valid()}
        return {f"{rows}_{entry[1]}": float(entry[2]) for rows, entries in found.items() for entry in entries}

    def result(self) -> tuple[str, int, dict[str, float]]:
        """Return the text, how many trees it keeps, and what they measure."""
        trees = self._grown if self._best_trees is None else self._best_trees
        text = self._booster.model_to_string(num_iteration=trees)
        for _ in range(trees, self._grown):
            self._booster.rollback_one_iter()
        return text, trees, self.measure()


class _Measured(Mapping[str, float]):
    """What is measured when it is first read: a report that only counts steps costs nothing.

    Args:
        measure: measures the fit as it is by then.
    """

    def __init__(self, measure: Callable[[], Mapping[str, float]]) -> None:
        self._measure = measure

    @cached_property
    def _found(self) -> Mapping[str, float]:
        return self._measure()

    def __getitem__(self, name: str) -> float:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _matrix(data: TrainingData) -> NDArray[np.float64]:
    return np.ascontiguousarray(data.inputs, dtype=np.float64)


def _columns(data: TrainingData) -> dict[str, Any]:
    return {"label": data.target, "weight": data.weight, "group": data.group, "position": data.position}


@contextmanager
def _translated(settings: Settings) -> Iterator[None]:
    """Turn LightGBM's errors into ours, with the parameter in the user's words where the message names one."""
    from lightgbm.basic import LightGBMError

    try:
        yield
    except (LightGBMError, ValueError, TypeError) as error:
        message = _SOURCE.sub("", str(error)).strip()
        named = _named(settings, message)
        if named is None:
            raise TrainingError("LightGBM", message, "Change the parameters or the data.") from error
        found = f"{settings.params[named]!r} is refused ({message})"
        raise TrainingError(settings.where(named), found, "LightGBM's documentation gives its range.") from error


def _named(settings: Settings, message: str) -> str | None:
    """Return the parameter whose name, or else whose value, a message holds as a word."""
    words = set(re.findall(r"\w+", message))
    by_value = [name for name in settings.params if str(settings.params[name]) in words and name in settings.spelled]
    return next((name for name in settings.params if name in words), by_value[0] if by_value else None)
