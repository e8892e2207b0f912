"""Machine learning in a notebook: plain scikit-learn in and out, and a stack's data and registry at both ends."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stackwright_models.evaluation import evaluate as evaluate
    from stackwright_models.explaining import explain as explain
    from stackwright_models.intervals import IntervalRegressor as IntervalRegressor
    from stackwright_models.pipelines import tabular as tabular
    from stackwright_models.publishing import publish as publish
    from stackwright_models.ranking import Ranker as Ranker
    from stackwright_models.splitting import TemporalSplit as TemporalSplit
    from stackwright_models.survival import TimeToEvent as TimeToEvent
    from stackwright_models.training import training_set as training_set
    from stackwright_models.tuning import tune as tune

_HOMES: Final = {
    "training_set": "training",
    "tabular": "pipelines",
    "IntervalRegressor": "intervals",
    "TimeToEvent": "survival",
    "Ranker": "ranking",
    "TemporalSplit": "splitting",
    "evaluate": "evaluation",
    "tune": "tuning",
    "explain": "explaining",
    "publish": "publishing",
}
"""Public name → module, imported when the name is first used: scikit-learn alone takes a second."""

__all__ = [
    "IntervalRegressor",
    "Ranker",
    "TemporalSplit",
    "TimeToEvent",
    "evaluate",
    "explain",
    "publish",
    "tabular",
    "training_set",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
