from stackwright_interfaces.recommender import RecommenderFormat, RecommenderTrainer
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of
from stackwright_recommender import plugin

TestRecommender = cases_of(spec_of(plugin, RecommenderTrainer))
TestFormat = cases_of(spec_of(plugin, RecommenderFormat))
