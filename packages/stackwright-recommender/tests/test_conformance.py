from typing import ClassVar

from stackwright_interfaces.recommender import RecommenderFormat, RecommenderTrainer
from stackwright_interfaces.testing.adapters import AdapterCases, spec_of
from stackwright_interfaces.testing.recommender import RecommenderCases
from stackwright_recommender import plugin


class TestRecommender(RecommenderCases):
    spec = spec_of(plugin, RecommenderTrainer)
    format_spec = spec_of(plugin, RecommenderFormat)
    quick: ClassVar = {"folds": 2, "candidates": 20, "trees": 20}


class TestFormat(AdapterCases):
    spec = spec_of(plugin, RecommenderFormat)
