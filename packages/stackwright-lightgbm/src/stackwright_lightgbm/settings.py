"""Which parameters a fit runs with: defaults, then the blueprint's options, then those of the call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from stackwright_interfaces.errors import TrainingError, did_you_mean
from stackwright_interfaces.trainer import Distribution, Task, TaskKind
from stackwright_lightgbm.plugin import LightGBMConfig

OBJECTIVES: Final[Mapping[TaskKind, tuple[str, ...]]] = {
    TaskKind.REGRESSION: (
        *("regression", "l1", "huber", "quantile", "fair", "mape", "poisson", "gamma", "tweedie"),
        *("l2", "mean_squared_error", "mse", "regression_l2", "mae", "mean_absolute_error", "regression_l1"),
        "mean_absolute_percentage_error",
    ),
    TaskKind.CLASSIFICATION: ("binary", "cross_entropy", "xentropy"),
    TaskKind.RANKING: ("lambdarank", "rank_xendcg", "xendcg"),
    TaskKind.TIME_TO_EVENT: ("binary", "cross_entropy", "xentropy"),
}
"""The objectives of each task; the first is the default."""

_USUAL: Final = {"num_iterations": 800, "learning_rate": 0.04, "num_leaves": 31, "min_data_in_leaf": 20}
_DEFAULTS: Final[Mapping[TaskKind, Mapping[str, Any]]] = {
    TaskKind.REGRESSION: _USUAL,
    TaskKind.CLASSIFICATION: _USUAL,
    TaskKind.RANKING: {**_USUAL, "num_iterations": 100},
    TaskKind.TIME_TO_EVENT: {"num_iterations": 150, "learning_rate": 0.03, "num_leaves": 8, "min_data_in_leaf": 40},
}
"""What a task takes where nothing is said."""

WORKERS: Final = "dask_workers"
"""The parameter that tells how many workers of a cluster grew the trees; ``workers`` is one of LightGBM's."""

_OURS: Final = ("monotone", "periods", WORKERS)
"""Parameters that LightGBM does not know by these names."""

_TRUNCATION: Final = 30

_DECIDED: Final = {
    "seed": "the seed of the fit",
    "num_threads": "the threads of the fit",
    "verbosity": "the adapter, which reports progress by itself",
    "deterministic": "the adapter: the same seed gives the same model",
    "force_col_wise": "the adapter: the same seed gives the same model",
    "force_row_wise": "the adapter: the same seed gives the same model",
    "categorical_feature": "the signature's categories",
    "monotone_constraints": "the option monotone, by the names of inputs",
    "num_class": "the task, which has one output",
    "device_type": "the adapter, which trains on the processor",
    "input_model": "the adapter, which starts each fit anew",
}

_NUMBERS: Final = frozenset(
    {
        *("num_iterations", "learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction", "bagging_fraction"),
        *("lambda_l1", "lambda_l2", "alpha", "early_stopping_round", "periods", WORKERS),
    }
)

_SPACE: Final[Mapping[str, Distribution]] = {
    "num_leaves": Distribution(low=8, high=128, log=True, integer=True),
    "learning_rate": Distribution(low=0.01, high=0.2, log=True),
    "num_iterations": Distribution(low=50, high=2000, log=True, integer=True),
    "min_data_in_leaf": Distribution(low=5, high=200, log=True, integer=True),
    "feature_fraction": Distribution(low=0.2, high=1.0),
    "bagging_fraction": Distribution(low=0.4, high=1.0),
    "lambda_l2": Distribution(low=0.0, high=20.0),
}


@dataclass(frozen=True)
class Settings:
    """Parameters under LightGBM's canonical names.

    Args:
        params: canonical name → value; ``monotone``, ``periods`` and ``dask_workers`` are ours.
        spelled: canonical name → the name the user gave it.
    """

    params: Mapping[str, Any]
    spelled: Mapping[str, str]

    def where(self, name: str) -> str:
        """The place in the user's words."""
        return f"parameter {self.spelled.get(name, name)!r}"

    @property
    def trees(self) -> int:
        """How many trees are grown at most."""
        return self._whole("num_iterations", least=1)

    @property
    def patience(self) -> int:
        """How many trees without a gain end the fit; 0 never ends it."""
        return self._whole("early_stopping_round", least=0)

    @property
    def periods(self) -> int:
        """How many periods time is cut into."""
        return self._whole("periods", least=1)

    @property
    def workers(self) -> int | None:
        """On how many workers of a cluster the trees are to grow; ``None`` is all."""
        return self._whole(WORKERS, least=1) if WORKERS in self.params else None

    def _whole(self, name: str, *, least: int) -> int:
        value = self.params[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < least:
            raise TrainingError(self.where(name), f"{value!r}", f"Give a whole number of at least {least}.")
        return int(value)

    def of_quantile(self, share: float) -> Settings:
        """Return what the trees of a quantile are grown with. LightGBM holds them to no direction."""
        other = {"objective": "quantile", "alpha": share, "metric": "quantile", "reg_sqrt": False, "monotone": {}}
        return replace(self, params={**self.params, **other})

    def native(self, inputs: Sequence[str], *, seed: int, threads: int) -> dict[str, Any]:
        """Return what LightGBM is given. Trees are counted by the caller, which also stops early."""
        ours = {"num_iterations", "early_stopping_round", *_OURS}
        params = {name: value for name, value in self.params.items() if name not in ours}
        monotone = self.params["monotone"]
        if monotone:
            params["monotone_constraints"] = [monotone.get(name, 0) for name in inputs]
        if params["bagging_fraction"] != 1.0:
            params.setdefault("bagging_freq", 1)
        return {
            **params,
            "seed": seed,
            "num_threads": threads,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }


def resolve(
    config: LightGBMConfig, task: Task, params: Mapping[str, Any], aliases: Mapping[str, list[str]]
) -> Settings:
    """Lay the layers over each other.

    Args:
        config: the adapter's options.
        task: its ``options`` go over ``config``; there ``None`` and empty values count as not given.
        params: go over both.
        aliases: canonical name of each parameter of LightGBM → its other names.

    Raises:
        TrainingError: a name that LightGBM does not know, a parameter that is not the user's to set, or an objective of
            another task.
    """
    canonical = {alias: name for name, others in aliases.items() for alias in (name, *others)}
    merged: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    options = {name: value for name, value in task.options.items() if value not in (None, "", {})}
    for layer in (asdict(config), options, params):
        for given, value in _flat(layer):
            name = _canonical(given, canonical)
            merged[name], spelled[name] = value, given
    merged |= {name: value for name, value in _DEFAULTS[task.kind].items() if merged[name] is None}
    merged["objective"] = merged["objective"] or OBJECTIVES[task.kind][0]
    if task.kind is TaskKind.RANKING:
        merged.setdefault("eval_at", [task.k])
        if task.k >= _TRUNCATION:
            merged.setdefault("lambdarank_truncation_level", task.k + 5)
    settings = Settings(merged, spelled)
    _check_objective(settings, task)
    _check_monotone(settings, task)
    _check_values(settings)
    return settings


def _flat(layer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give a layer's own entries but where the fit runs, then those of its ``params``."""
    yield from ((name, value) for name, value in layer.items() if name not in ("params", "distributed"))
    yield from dict(layer.get("params") or {}).items()


def _canonical(given: str, canonical: Mapping[str, str]) -> str:
    name = given if given in _OURS else canonical.get(given)
    if name is None:
        todo = did_you_mean(given, [*canonical, *_OURS]) or "LightGBM's documentation lists its parameters."
        raise TrainingError(f"parameter {given!r}", "LightGBM knows no such parameter", todo)
    if name in _DECIDED:
        raise TrainingError(f"parameter {given!r}", f"it is set by {_DECIDED[name]}", "Leave it out.")
    return name


def _check_objective(settings: Settings, task: Task) -> None:
    objective, allowed = settings.params["objective"], OBJECTIVES[task.kind]
    if objective not in allowed:
        todo = did_you_mean(str(objective), allowed) or f"Use one of: {', '.join(allowed)}."
        raise TrainingError(settings.where("objective"), f"{objective!r} is none for {task.kind.value}", todo)


def _check_monotone(settings: Settings, task: Task) -> None:
    numeric = [field.name for field in task.signature.inputs if field.name not in task.signature.categories]
    for name, sign in dict(settings.params["monotone"]).items():
        if name not in numeric:
            todo = did_you_mean(name, numeric) or f"Numeric inputs are: {', '.join(numeric)}."
            raise TrainingError("parameter 'monotone'", f"{name!r} is no numeric input", todo)
        if sign not in (-1, 0, 1):
            raise TrainingError("parameter 'monotone'", f"{name!r} is {sign!r}", "Give 1 for rising, -1 for falling.")


def _check_values(settings: Settings) -> None:
    for name, value in settings.params.items():
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TrainingError(settings.where(name), f"{value!r}", "Give a number.")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TrainingError(settings.where(name), f"{value!r} is no JSON value ({error})") from error


def search_space(config: LightGBMConfig, task: Task, aliases: Mapping[str, list[str]]) -> dict[str, Distribution]:
    """Return the parameters worth tuning, around the values that would be used without tuning.

    Raises:
        TrainingError: as :func:`resolve`.
    """
    chosen = resolve(config, task, {}, aliases).params
    return {name: _around(given, chosen[name]) for name, given in _SPACE.items()}


def _around(given: Distribution, value: float) -> Distribution:
    """Widen a range to hold a value, which becomes its default."""
    low, high = min(given.low, value), max(given.high, value)
    return Distribution(low=low, high=high, log=given.log, integer=given.integer, default=value)
