"""From a user's own files to a trained recommender."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackwright_interfaces.errors import TrainingError
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.reading import Columns, ItemColumns, Source, read_interactions, read_items
from stackwright_recommender.recommender import Recommender
from stackwright_recommender.retrieval import finding
from stackwright_recommender.training import Progress, Settings, fit, silent


def train(
    interactions: Source,
    columns: Columns | None = None,
    *,
    items: Source | None = None,
    item_columns: ItemColumns | None = None,
    retrievers: Iterable[Any] | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Recommender:
    """Train a recommender.

    Args:
        interactions: a CSV or Parquet file, or a table: one interaction a row.
        columns: which column holds what.
        items: a file or table of items, one a row, where something is known of them; items that nobody took yet belong
            into it, so that they can be shown.
        item_columns: which column holds what.
        retrievers: names, dotted paths, classes or retrievers; ``None`` takes all of ours that the data gives something
            to learn from, but ``neighbours``, whose time grows with the users.
        settings: how to train.
        progress: told about folds.

    Raises:
        DataError: a file cannot be used (see :mod:`stackwright_recommender.reading`).
        PluginError: a retriever cannot be found or made.
        TrainingError: there is too little to learn from, or a retriever lacks what it needs.
    """
    columns, settings = columns or Columns(), settings or Settings()
    known, users, ids = read_interactions(interactions, columns)
    if items is None:
        catalogue = Catalogue.bare(ids)
    else:
        catalogue = read_items(items, item_columns or ItemColumns(), ids)
        known = known.of_more(items=len(catalogue))
    if retrievers is None:
        chosen = finding.defaults(known, catalogue)
    else:
        chosen = finding.made(retrievers)
        for retriever in chosen:
            if lacking := retriever.lacks(known, catalogue):
                found = f"it needs {lacking}, and there are none"
                raise TrainingError(f"retriever {retriever.name!r}", found, "Leave it out, or name the columns.")
    stages = fit(known, catalogue, chosen, settings, progress)
    return Recommender(users, catalogue, known, stages, settings)
