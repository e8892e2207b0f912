"""Searching for better parameters, the curated ones first, with an end in sight and no trial lost."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pandas as pd
from lightgbm.basic import LightGBMError
from sklearn.base import clone

from stackwright_interfaces.errors import PluginError, did_you_mean
from stackwright_interfaces.trainer import Distribution
from stackwright_models import charts
from stackwright_models.errors import InvalidData, InvalidParameter
from stackwright_models.evaluation import fit_on, make_folds
from stackwright_models.inputs import rows_at
from stackwright_models.scoring import answers_of, loss, loss_name, read_truths, task_of

_BOOSTED: Final[Mapping[str, Distribution]] = {
    "learning_rate": Distribution(low=0.01, high=0.2, log=True),
    "n_estimators": Distribution(low=100, high=2000, log=True, integer=True),
    "num_leaves": Distribution(low=7, high=127, log=True, integer=True),
    "min_child_samples": Distribution(low=5, high=200, log=True, integer=True),
    "colsample_bytree": Distribution(low=0.2, high=1.0),
    "reg_lambda": Distribution(low=0.0, high=20.0),
}
_HISTOGRAM: Final[Mapping[str, Distribution]] = {
    "learning_rate": Distribution(low=0.01, high=0.3, log=True),
    "max_iter": Distribution(low=50, high=1000, log=True, integer=True),
    "max_leaf_nodes": Distribution(low=7, high=127, log=True, integer=True),
    "min_samples_leaf": Distribution(low=5, high=200, log=True, integer=True),
    "l2_regularization": Distribution(low=0.0, high=20.0),
}
_FOREST: Final[Mapping[str, Distribution]] = {
    "max_features": Distribution(low=0.1, high=1.0),
    "min_samples_leaf": Distribution(low=1, high=50, log=True, integer=True),
}
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_RIDGE: Final = {"alpha": Distribution(low=1e-3, high=1e3, log=True)}

CURATED: Final[Mapping[str, tuple[Mapping[str, Distribution], Sequence[Mapping[str, Any]]]]] = {
    "num_leaves": (
        _BOOSTED,
        (
            {"learning_rate": 0.04, "n_estimators": 800, "num_leaves": 31, "colsample_bytree": 0.5},
            {"learning_rate": 0.04, "n_estimators": 800, "num_leaves": 15, "min_child_samples": 40},
            {"learning_rate": 0.02, "n_estimators": 1600, "num_leaves": 63, "colsample_bytree": 0.3},
        ),
    ),
    "max_leaf_nodes l2_regularization": (
        _HISTOGRAM,
        ({"learning_rate": 0.05, "max_iter": 400}, {"learning_rate": 0.05, "max_iter": 400, "max_leaf_nodes": 15}),
    ),
    "n_estimators max_features min_samples_leaf": (_FOREST, ({"max_features": 0.33}, {"min_samples_leaf": 5})),
    "alpha fit_intercept": (_RIDGE, ({"alpha": 1.0}, {"alpha": 30.0})),
    "C fit_intercept": ({"C": Distribution(low=1e-3, high=1e2, log=True)}, ({"C": 1.0}, {"C": 0.1})),
}
"""Parameters that an estimator has, all of these → the space worth searching, and sets that are tried first."""


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        best: a clone with the best parameters, fitted on all rows.
        params: these parameters.
        loss: their mean loss over the folds.
        metric: what the loss is; lower is better.
        trials: a row each: ``number``, ``state`` (``complete``, ``pruned``, ``failed``), ``loss``, ``seconds``, the
            parameters.
    """

    best: Any
    params: Mapping[str, Any]
    loss: float
    metric: str
    trials: pd.DataFrame

    def __str__(self) -> str:
        return f"{len(self.trials)} trials, best {self.metric} {charts.show(self.loss)} by {dict(self.params)}"

    def _repr_html_(self) -> str:
        shown = self.trials.sort_values("loss", kind="stable").head(10)
        rows = [tuple(_plain(value) for value in row) for row in shown.itertuples(index=False)]
        return f"<div><p>{escape(str(self))}</p>{charts.table([str(name) for name in shown.columns], rows)}</div>"


def tune(
    estimator: Any,
    X: Any,  # noqa: N803 (scikit-learn's name)
    y: Any,
    *,
    cv: Any = 5,
    trials: int = 30,
    space: Mapping[str, Distribution | Sequence[Any]] | None = None,
    first: Sequence[Mapping[str, Any]] | None = None,
    time: Any = None,
    observed: Any = None,
    group: Any = None,
    metadata: Mapping[str, Any] | None = None,
    scoring: Callable[[Any, Any, Any], float] | None = None,
    storage: Path | str | None = None,
    name: str = "tune",
    seed: int = 7,
    timeout: float | None = None,
    progress: bool = True,
    refit: bool = True,
) -> Tuned:
    """Search for the parameters of least loss over the folds of a cross-validation.

    The estimator as it stands is tried first, then sets that are known to be good, then what Optuna proposes. A trial
    that falls behind the median of the others after a fold is ended. The loss is that of :func:`evaluate`.

    Args:
        cv: a splitter or a number of folds, as in :func:`evaluate`.
        trials: trials in all, those of an earlier call with this ``storage`` included.
        space: parameter, as ``set_params`` names it → range or choices; ``None`` takes the curated space.
        first: sets of parameters to try after the estimator's own; ``None`` takes the curated ones.
        time: when each row was asked, for splitters and fits that take it.
        observed: when each truth became known, for splitters that take it.
        group: the query of each row, for rankings.
        metadata: further columns of the rows for the estimator's ``fit``.
        scoring: ``scoring(fitted, X, y)``, higher is better; goes before the loss of the task.
        storage: a file that keeps the trials, written by SQLite, so that a search that was cut off goes on.
        name: of the search in that file.
        timeout: seconds after which no trial is begun.
        progress: show a bar.
        refit: fit the best on all rows.

    Raises:
        PluginError: Optuna is not installed.
        InvalidParameter: there is no curated space for the estimator and none is given; a parameter it does not have;
            or the storage holds a search of other rows, space, score or folds.
        InvalidData: no trial came to an end.
    """
    optuna = _optuna()
    chosen = {key: _distribution(given) for key, given in (space or curated_space(estimator)).items()}
    _check_space(estimator, chosen)
    judge = _Judge(estimator, X, y, cv, time, observed, group, metadata, scoring)
    study = _open(optuna, storage, name, seed, judge.fingerprint(chosen))
    with _quiet(optuna):
        _enqueue(study, estimator, chosen, curated_first(estimator) if first is None else first)
    left = trials - sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    if left > 0:
        with _quiet(optuna):
            study.optimize(
                lambda trial: judge(optuna, trial, {key: _draw(trial, key, given) for key, given in chosen.items()}),
                n_trials=left,
                timeout=timeout,
                show_progress_bar=progress,
                catch=(ValueError, TypeError, ArithmeticError, LightGBMError),
            )
    table = _table(study)
    done = table[table["state"] == "complete"]
    if done.empty:
        raise InvalidData("tune", f"none of {len(table)} trials came to an end", _reason(study))
    params = dict(study.best_trial.params)
    best = clone(estimator).set_params(**params)
    if refit:
        best = fit_on(best, X, y, np.arange(judge.rows), judge.given)
    return Tuned(best, params, float(study.best_value), judge.metric, table)


def curated_space(estimator: Any) -> dict[str, Distribution]:
    """Return the parameters worth tuning of the estimator inside of pipelines and of estimators around it.

    Raises:
        InvalidParameter: none is curated for it.
    """
    prefix, key = _curated(estimator)
    space = {f"{prefix}{parameter}": given for parameter, given in CURATED[key][0].items()}
    known = estimator.get_params(deep=True)
    return {name: given for name, given in space.items() if name in known}


def curated_first(estimator: Any) -> list[dict[str, Any]]:
    """Return sets of parameters that are worth trying first; none for an estimator that is not curated."""
    try:
        prefix, key = _curated(estimator)
    except InvalidParameter:
        return []
    return [{f"{prefix}{parameter}": value for parameter, value in given.items()} for given in CURATED[key][1]]


def _curated(estimator: Any) -> tuple[str, str]:
    """Return the prefix of the innermost curated estimator's parameters, and its key."""
    names = sorted(estimator.get_params(deep=True), key=lambda name: (name.count("__"), name))
    prefixes = dict.fromkeys(name[: -len(name.rpartition("__")[2])] for name in names)
    for prefix in sorted(prefixes, key=lambda text: -text.count("__")):
        own = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        for key in CURATED:
            if set(key.split()) <= own:
                return prefix, key
    todo = "Give space=, parameter → range or choices."
    raise InvalidParameter("tune", f"no curated space for {type(estimator).__name__}", todo)


def _optuna() -> ModuleType:
    try:
        return import_module("optuna")
    except ImportError as error:
        todo = 'Run: pip install "stackwright-models[tune]"'
        raise PluginError("tune", "Optuna is not installed", todo) from error


def _distribution(given: Distribution | Sequence[Any]) -> Distribution:
    return given if isinstance(given, Distribution) else Distribution(choices=tuple(given))


def _check_space(estimator: Any, space: Mapping[str, Distribution]) -> None:
    known = estimator.get_params(deep=True)
    for name in space:
        if name not in known:
            raise InvalidParameter("tune space", f"the estimator has no parameter {name!r}", did_you_mean(name, known))


def _draw(trial: Any, name: str, given: Distribution) -> Any:
    if given.choices:
        return trial.suggest_categorical(name, list(given.choices))
    if given.integer:
        return trial.suggest_int(name, int(given.low), int(given.high), log=given.log)
    return trial.suggest_float(name, given.low, given.high, log=given.log)


class _Judge:
    """Fits and judges one set of parameters, fold by fold."""

    def __init__(
        self,
        estimator: Any,
        X: Any,  # noqa: N803
        y: Any,
        cv: Any,
        time: Any,
        observed: Any,
        group: Any,
        metadata: Mapping[str, Any] | None,
        scoring: Callable[[Any, Any, Any], float] | None,
    ) -> None:
        self.estimator, self.X, self.y, self.scoring = estimator, X, y, scoring
        self.truths = read_truths(task_of(estimator), y, group)
        self.rows = len(self.truths.value)
        self.given = {"time": time, "group": group, **(metadata or {})}
        self.folds = list(make_folds(cv, X, y, self.truths, time=time, observed=observed))
        self.metric = "negative score" if scoring is not None else loss_name(self.truths)

    def __call__(self, optuna: ModuleType, trial: Any, params: Mapping[str, Any]) -> float:
        losses: list[float] = []
        for fold, (learned, left) in enumerate(self.folds):
            fitted = fit_on(clone(self.estimator).set_params(**params), self.X, self.y, learned, self.given)
            losses.append(self._loss(fitted, left))
            mean = float(np.mean(losses))
            trial.report(mean, fold)
            if fold + 1 < len(self.folds) and trial.should_prune():
                raise optuna.TrialPruned
        return mean

    def _loss(self, fitted: Any, rows: Any) -> float:
        inputs = rows_at(self.X, rows)
        if self.scoring is not None:
            return -float(self.scoring(fitted, inputs, rows_at(self.y, rows)))
        truths = self.truths.take(rows)
        return loss(self.metric, truths, answers_of(fitted, inputs, truths))

    def fingerprint(self, space: Mapping[str, Distribution]) -> str:
        """Return what a search depends on, as one hash."""
        digest = hashlib.sha256()
        frame = self.X if isinstance(self.X, pd.DataFrame) else pd.DataFrame(np.asarray(self.X))
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        digest.update(self.truths.value.tobytes())
        if self.truths.event is not None:
            digest.update(self.truths.event.tobytes())
        for name, given in sorted(self.given.items()):
            if given is not None:
                column = pd.Series(np.asarray(given).ravel()).astype(str)
                digest.update(name.encode() + pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
        for learned, left in self.folds:
            digest.update(np.asarray(learned, dtype=np.int64).tobytes() + np.asarray(left, dtype=np.int64).tobytes())
        columns = [str(name) for name in frame.columns]
        ranges = {name: repr(given) for name, given in sorted(space.items())}
        settings = {name: _named(value) for name, value in sorted(self.estimator.get_params(deep=True).items())}
        document = [columns, ranges, _named(self.estimator), settings, self.metric, _named(self.scoring)]
        digest.update(json.dumps(document).encode())
        return digest.hexdigest()


def _named(value: Any) -> str:
    """Return a setting as text that is the same in every process; an estimator's own settings come beside it."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        return f"{type(value).__module__}.{type(value).__qualname__}"
    return _ADDRESS.sub("", repr(value))


def _open(optuna: ModuleType, storage: Path | str | None, name: str, seed: int, fingerprint: str) -> Any:
    where: Any = None
    if storage is not None:
        file = Path(storage)
        file.parent.mkdir(parents=True, exist_ok=True)
        where = f"sqlite:///{file.resolve()}"
    with _quiet(optuna):
        study = optuna.create_study(storage=where, study_name=name, load_if_exists=True, direction="minimize")
    done = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=seed + done, multivariate=False)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0)
    known = study.user_attrs.get("fingerprint")
    if known is None:
        study.set_user_attr("fingerprint", fingerprint)
    elif known != fingerprint:
        found = f"holds a search named {name!r} of other rows, estimator, space, score or folds"
        raise InvalidParameter(str(storage), found, "Give another name or storage.")
    return study


def _enqueue(study: Any, estimator: Any, space: Mapping[str, Distribution], first: Sequence[Mapping[str, Any]]) -> None:
    """Put the estimator as it stands and the curated sets before what the sampler will propose, once."""
    if study.get_trials(deepcopy=False):
        return
    now = estimator.get_params(deep=True)
    own = {name: now[name] for name in space}
    for given in ({}, *first):
        params = {name: value for name, value in {**own, **given}.items() if name in space}
        inside = {name: value for name, value in params.items() if _inside(value, space[name])}
        study.enqueue_trial(inside, skip_if_exists=True)


def _inside(value: Any, given: Distribution) -> bool:
    if given.choices:
        return value in given.choices
    return isinstance(value, int | float) and not isinstance(value, bool) and given.low <= value <= given.high


@contextmanager
def _quiet(optuna: ModuleType) -> Iterator[None]:
    """Let Optuna tell of warnings alone: the bar and the table say the rest."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


_STATES: Final = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def _table(study: Any) -> pd.DataFrame:
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in _STATES]
    return pd.DataFrame(
        [
            {
                "number": trial.number,
                "state": _STATES[trial.state.name],
                "loss": trial.value if trial.value is not None else float("nan"),
                "seconds": trial.duration.total_seconds() if trial.duration else float("nan"),
                **trial.params,
            }
            for trial in finished
        ],
        columns=None if finished else ["number", "state", "loss", "seconds"],
    )


def _reason(study: Any) -> str:
    reasons = [trial.system_attrs.get("fail_reason", "") for trial in study.get_trials(deepcopy=False)]
    return next((f"The first said: {reason}" for reason in reasons if reason), "")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
