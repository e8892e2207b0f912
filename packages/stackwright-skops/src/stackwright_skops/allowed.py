"""Types that an archive may need beyond those that skops trusts: scikit-learn's estimators, numbers and texts.

Type → what it is for, and why it does no harm: each holds data, and none runs code when it is built. Who stores models
chooses groups, ``TREES | HISTOGRAMS`` say, and reads with the groups that it writes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TREES: Final[Mapping[str, str]] = {
    "sklearn.tree._tree.Tree": "the nodes of a decision tree, forest or boosted tree; its indexes are to be checked",
    "numpy.dtype": "kept by imputers and encoders: the kind of numbers that they were fitted on",
}
"""For decision trees and forests; :func:`stackwright_skops.trees.check_trees` belongs to them."""

HISTOGRAMS: Final[Mapping[str, str]] = {
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": (
        "the nodes of a tree of histogram gradient boosting; its indexes are to be checked"
    ),
    "functools.partial": "how histogram gradient boosting keeps its check of inputs; of an allowed function only",
    "sklearn.utils.validation.check_array": "that check: looks at an array, calls nothing it was given",
}
"""For histogram gradient boosting; :func:`stackwright_skops.trees.check_trees` belongs to them."""

LEFTOVERS: Final[Mapping[str, str]] = {
    "sklearn._loss.loss.HalfTweedieLoss": "the loss of TweedieRegressor: numbers",
    "sklearn._loss.loss.HalfTweedieLossIdentity": "the same with the identity link: numbers",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer": "kept by neural networks after a fit: numbers",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer": "kept by neural networks after a fit: numbers",
}
"""What some estimators keep of their fit."""

LIGHTGBM: Final[Mapping[str, str]] = {
    "collections.OrderedDict": "what a booster measured while it was fitted: texts and numbers in order",
    "lightgbm.basic.Booster": "LightGBM's trees, as its text form; its parser runs nothing of it",
    "lightgbm.sklearn.LGBMRegressor": "LightGBM's estimator: parameters and a booster",
    "lightgbm.sklearn.LGBMClassifier": "the same, and an encoder of classes",
}
"""For LightGBM's estimators."""

TABULAR: Final[Mapping[str, str]] = {
    "stackwright_models.encoding.TabularEncoder": "kinds and categories of columns: texts",
    "stackwright_models.pipelines.BoostedRegressor": "LightGBM's regressor, which checks its targets",
    "stackwright_models.pipelines.BoostedClassifier": "the same",
}
"""For what ``stackwright_models.tabular`` makes; goes with :data:`LIGHTGBM`."""

OUTCOMES: Final[Mapping[str, str]] = {
    "stackwright_models.survival.TimeToEvent": "a classifier and the ends of periods",
    "stackwright_models.ranking.Ranker": "a booster and an encoder of columns",
}
"""For the estimators of ``stackwright_models`` that rank, or learn times; goes with :data:`TABULAR`."""

NOTEBOOK: Final[Mapping[str, str]] = {
    "stackwright_models.intervals.IntervalRegressor": "a regressor and a table of widths",
    "stackwright_models.splitting.TemporalSplit": "options",
    "stackwright_numerics.conformal.IntervalTable": "numbers",
    "stackwright_numerics.conformal.Difficulty": "numbers",
    "datetime.timedelta": "options",
}
"""For the other estimators of ``stackwright_models``; goes with :data:`TABULAR`."""
