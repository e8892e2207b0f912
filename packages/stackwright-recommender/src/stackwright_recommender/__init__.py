"""Recommendations: retrieval, filters, ranking, re-ranking, evaluation, and replay of logged lists.

``train`` makes a :class:`~stackwright_recommender.recommender.Recommender` of a file of interactions; ``save`` and
``load`` keep it in a folder. Names are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stackwright_interfaces.recommender import AtMost, Boosted, Hidden, Pinned, Recommendations, Request
    from stackwright_recommender.artifact import load, save
    from stackwright_recommender.counterfactual import Logged, chosen_by, examination, replay
    from stackwright_recommender.evaluation import evaluate, evaluate_recommender
    from stackwright_recommender.files import train
    from stackwright_recommender.reading import Columns, ItemColumns
    from stackwright_recommender.recommender import Recommender
    from stackwright_recommender.training import Settings

_CONTRACT: Final = ("AtMost", "Boosted", "Hidden", "Pinned", "Recommendations", "Request")
_WHERE: Final = {
    "Columns": "reading",
    "ItemColumns": "reading",
    "Logged": "counterfactual",
    "Recommender": "recommender",
    "Settings": "training",
    "chosen_by": "counterfactual",
    "evaluate": "evaluation",
    "evaluate_recommender": "evaluation",
    "examination": "counterfactual",
    "load": "artifact",
    "replay": "counterfactual",
    "save": "artifact",
    "train": "files",
}

__all__ = [
    "AtMost",
    "Boosted",
    "Columns",
    "Hidden",
    "ItemColumns",
    "Logged",
    "Pinned",
    "Recommendations",
    "Recommender",
    "Request",
    "Settings",
    "chosen_by",
    "evaluate",
    "evaluate_recommender",
    "examination",
    "load",
    "replay",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _CONTRACT:
        return getattr(import_module("stackwright_interfaces.recommender"), name)
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
