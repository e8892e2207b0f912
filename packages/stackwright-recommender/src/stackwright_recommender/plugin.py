"""The adapters ``recommender``: a trainer of recommenders, and the format that loads what it saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stackwright_interfaces.plugin import AdapterSpec, check_options, hookimpl
from stackwright_interfaces.recommender import CONTRACT, RecommenderFormat, RecommenderTrainer


@dataclass(frozen=True, kw_only=True)
class RecommenderConfig:
    """Options of the trainer.

    Args:
        retrievers: names of retrievers, or ``package.module:Class``; none named takes all of ours that the data gives
            something to learn from, but ``neighbours``, whose time grows with the users.
        share: of each user's interactions that is held out for the ranker to learn from.
        folds: how often, each time of other interactions; 0 holds every interaction out once where they are drawn, and
            else takes 4.
        candidates: items each retriever names for a user.
        lists: most users whose lists the ranker learns from in each fold, drawn.
        cold: share of the lists that are learned from once more as if nothing were known of the user.
        longest: newest items of a history that count.
        trees: of the ranker, how many.
        learning_rate: how much of each is added.
        leaves: most leaves of a tree.
        params: any other parameter of LightGBM.
    """

    retrievers: tuple[str, ...] = ()
    share: float = 0.1
    folds: int = 0
    candidates: int = 50
    lists: int = 20_000
    cold: float = 0.1
    longest: int = 500
    trees: int = 100
    learning_rate: float = 0.05
    leaves: int = 8
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_options(
            self,
            ("share", 0 < self.share <= 0.5, "above 0 and up to 0.5"),
            ("folds", self.folds >= 0, "0 or more"),
            *((name, getattr(self, name) >= 1, "1 or more") for name in ("candidates", "lists", "longest", "trees")),
            ("cold", 0 <= self.cold <= 1, "from 0 to 1"),
            ("learning_rate", 0 < self.learning_rate <= 1, "above 0 and up to 1"),
            ("leaves", self.leaves >= 2, "2 or more"),
        )


@dataclass(frozen=True, kw_only=True)
class RecommenderFormatConfig:
    """The format has no options."""


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the trainer and the format."""
    return (
        AdapterSpec(
            name="recommender",
            provides=RecommenderTrainer,
            contract=CONTRACT,
            config=RecommenderConfig,
            factory="stackwright_recommender.adapter:ListTrainer",
            conformance="stackwright_recommender.conformance:RecommenderConformance",
            description="Retrieval by several retrievers, ranked by LightGBM.",
        ),
        AdapterSpec(
            name="recommender",
            provides=RecommenderFormat,
            contract=CONTRACT,
            config=RecommenderFormatConfig,
            factory="stackwright_recommender.adapter:ListFormat",
            description="Loads its folders: arrays, JSON and LightGBM's text.",
        ),
    )
