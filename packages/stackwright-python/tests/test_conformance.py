"""The kit of trainers and their format, on classes of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.testing.adapters import AdapterCases, spec_of
from stackwright_interfaces.testing.trainer import ClassificationCases, RankingCases, TimeToEventCases, TrainerCases
from stackwright_interfaces.trainer import Trainer
from stackwright_python import plugin

NEAREST = '''
"""The mean over the nearest rows, in numpy alone."""

import numpy as np


class Nearest:
    takes = "numpy"

    def get_parameters(self):
        return {"count": {"low": 1, "high": 25, "default": 5, "log": True}, "scaled": [True, False]}

    def train(self, inputs, target, params, weight, event, horizons):
        if event is not None:  # a row that waits is taken for one that waits as long as those which waited longer
            later = [target[event & (target > limit)] for limit in target]
            waited = [rows.mean() if rows.size else limit for rows, limit in zip(later, target)]
            target = np.where(event, target, waited)
        if horizons:
            target = np.column_stack([target, *(target <= limit for limit in horizons)]).astype(float)
        self.params = params
        self.middle = np.nanmean(inputs, axis=0)
        self.spread = np.maximum(np.nanstd(inputs, axis=0), 1e-9) if params["scaled"] else np.ones(inputs.shape[1])
        self.rows, self.target = self.scale(inputs), target
        self.weight = np.ones(len(target)) if weight is None else weight
        return self

    def scale(self, inputs):
        return (np.where(np.isnan(inputs), self.middle, inputs) - self.middle) / self.spread

    def predict(self, inputs):
        answers = []
        for row in self.scale(inputs):
            distance = ((self.rows - row) ** 2).sum(axis=1)
            count = min(self.params["count"], len(distance))
            near = distance <= np.partition(distance, count - 1)[count - 1]
            answers.append(np.average(self.target[near], axis=0, weights=self.weight[near]))
        return np.array(answers)
'''

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


def config_of(folder: Path, source: str, reference: str) -> plugin.PythonConfig:
    (folder / f"{reference.partition(':')[0]}.py").write_text(source)
    return plugin.PythonConfig(**{"class": reference})


class TestNearest(TimeToEventCases, RankingCases, ClassificationCases, TrainerCases):
    """Attributes and arrays are kept as they are."""

    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    overfit: ClassVar[dict[str, Any]] = {"count": 1}
    nonsense = ({"counts": 3}, {"count": "many"}, {"count": 2.5}, {"scaled": "perhaps"}, {"seed": 1})

    def config(self, folder: Path) -> plugin.PythonConfig:
        return config_of(folder, NEAREST, "nearest:Nearest")


class TestForest(TimeToEventCases, RankingCases, ClassificationCases, TrainerCases):
    """scikit-learn's estimator is kept by skops."""

    spec = spec_of(plugin, Trainer)
    format_spec = spec_of(plugin, ModelFormat)
    nonsense = ({"tree": 3}, {"trees": float("nan")}, {"min_leaf": float("inf")})

    def config(self, folder: Path) -> plugin.PythonConfig:
        return config_of(folder, FOREST, "forest:Forest")


class TestPythonFormat(AdapterCases):
    spec = spec_of(plugin, ModelFormat)
