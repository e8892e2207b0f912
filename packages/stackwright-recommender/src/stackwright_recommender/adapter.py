"""The recommender as the engine sees it: a trainer over tables with the contract's columns, and a format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.plugin import Context, Progress
from stackwright_interfaces.recommender import (
    FittedRecommender,
    Holdout,
    Interactions,
    Items,
    RecommenderFormat,
    RecommenderTrainer,
)
from stackwright_recommender import artifact
from stackwright_recommender.files import train
from stackwright_recommender.plugin import RecommenderConfig, RecommenderFormatConfig
from stackwright_recommender.ranker import RankerOptions
from stackwright_recommender.reading import Columns, ItemColumns
from stackwright_recommender.recommender import Recommender
from stackwright_recommender.training import Settings

FLAVOUR: Final = "recommender"


class FittedLists(FittedRecommender):
    """A trained recommender, in memory."""

    flavour: ClassVar[str] = FLAVOUR

    def __init__(self, recommender: Recommender, parameters: Mapping[str, Any]) -> None:
        self._recommender = recommender
        self.parameters = parameters

    def recommender(self) -> Recommender:
        """Return the recommender."""
        return self._recommender

    def save(self, folder: Path) -> None:
        """Write it into an existing, empty folder."""
        artifact.save(self._recommender, folder)


class ListTrainer(RecommenderTrainer):
    """Trains by :func:`stackwright_recommender.train`."""

    def __init__(self, config: RecommenderConfig, context: Context) -> None:
        del context
        self._config = config

    def fit(
        self,
        interactions: Interactions,
        items: Items | None,
        *,
        holdout: Holdout,
        seed: int,
        threads: int,
        progress: Progress,
    ) -> FittedLists:
        """Fit retrievers and ranker.

        Raises:
            TrainingError: there is too little to learn from, or a retriever lacks what it needs.
            DataError: a value cannot be used; with the row.
            PluginError: a retriever cannot be found or made.
        """
        if holdout == "last" and "time" not in interactions.columns:
            found = "the newest interactions are to be held out, and no times are known"
            raise TrainingError("recommender", found, "Name the column of times, or hold drawn ones out.")
        config = self._config
        settings = Settings(
            holdout=holdout,
            share=config.share,
            folds=config.folds or None,
            candidates=config.candidates,
            lists=config.lists,
            cold=config.cold,
            longest=config.longest,
            ranker=RankerOptions(
                trees=config.trees,
                learning_rate=config.learning_rate,
                leaves=config.leaves,
                params=config.params or None,
            ),
            seed=seed,
            threads=threads,
        )
        known: dict[str, Any] = {one: one for one in ("time", "weight", "rating") if one in interactions.columns}
        made = train(
            interactions.table,
            Columns(**known),
            items=None if items is None else items.table,
            item_columns=None if items is None else _columns_of(items),
            retrievers=config.retrievers or None,
            settings=settings,
            progress=progress,
        )
        return FittedLists(made, {**asdict(config), "retrievers": list(config.retrievers), "holdout": holdout})


def _columns_of(items: Items) -> ItemColumns:
    named: dict[str, Any] = dict(items.columns)
    return ItemColumns(attributes=items.attributes, numbers=items.numbers, **named)


class ListFormat(RecommenderFormat):
    """Loads what :class:`FittedLists` saved."""

    flavour: ClassVar[str] = FLAVOUR

    def __init__(self, config: RecommenderFormatConfig | None, context: Context) -> None:
        del config
        self._cache = context.cache

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Recommender:
        """Load a folder whose files were verified.

        Raises:
            ArtifactError: it is of another flavour, or damaged.
        """
        if manifest.flavour != FLAVOUR:
            found = f"of the flavour {manifest.flavour!r}"
            raise ArtifactError(str(folder), found, "Load it by the format of its flavour.")
        return artifact.load(folder, threads=threads, cache=self._cache)
