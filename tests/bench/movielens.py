"""SAR on MovieLens 100k, whose metrics others published: an oracle for ours.

Simple Algorithm for Recommendation with Jaccard similarity and ratings that halve in thirty days; a random 75 % of each
item's ratings are learned from, seed 42. As in Microsoft's ``recommenders``, whose benchmark gives the figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from stackwright_numerics import top_k

PUBLISHED: Final = {"map": 0.114038, "ndcg": 0.393819, "precision": 0.340615, "recall": 0.185377}
K: Final = 10
HALF_LIFE: Final = 30 * 86_400
SEED: Final = 42


def read(path: Path) -> pd.DataFrame:
    """Return the ratings."""
    return pd.read_csv(path, sep="\t", names=["user", "item", "rating", "time"])


def split(ratings: pd.DataFrame, share: float = 0.75) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a share of each item's ratings, drawn at random, and the rest."""
    drawn = np.random.RandomState(SEED).rand(len(ratings))
    ordered = ratings.assign(drawn=drawn).sort_values(["item", "drawn"])
    by_item = ordered.groupby("item")["item"]
    older = by_item.cumcount() + 1 <= np.round(by_item.transform("count") * share)
    return ordered[older], ordered[~older]


def by_time(ratings: pd.DataFrame, share: float = 0.75) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a share of each user's ratings, the oldest, and the rest."""
    ordered = ratings.sort_values(["user", "time"], kind="stable")
    by_user = ordered.groupby("user")["item"]
    older = by_user.cumcount() + 1 <= np.round(by_user.transform("count") * share)
    return ordered[older], ordered[~older]


def recommended(ratings: pd.DataFrame) -> tuple[Any, Any, Any]:
    """Return users, items and, for each user, the places of the best unseen items, best first."""
    users, user = np.unique(ratings["user"], return_inverse=True)
    items, item = np.unique(ratings["item"], return_inverse=True)
    affinity, seen = np.zeros((2, len(users), len(items)))
    age = (ratings["time"].max() - ratings["time"]).to_numpy()
    np.add.at(affinity, (user, item), ratings["rating"].to_numpy() * np.exp2(-age / HALF_LIFE))
    seen[user, item] = 1
    together = seen.T @ seen
    alone = np.diag(together)
    scores = affinity @ (together / (alone[:, None] + alone[None, :] - together))
    scores[user, item] = -np.inf
    return users, items, np.argsort(-scores, axis=1, kind="stable")[:, :K]


def scored(path: Path) -> dict[str, float]:
    """Return our metrics of the lists."""
    train, test = split(read(path))
    users, items, lists = recommended(train)
    relevant = wanted_by(train, test)
    shown = items[lists[np.searchsorted(users, list(relevant))]]
    hits = [[item in wanted for item in row] for row, wanted in zip(shown, relevant.values(), strict=True)]
    return top_k.score(hits, [len(wanted) for wanted in relevant.values()])


def lists_of_sar(train: pd.DataFrame) -> dict[Any, list[Any]]:
    """Return SAR's list of each user."""
    users, items, lists = recommended(train)
    return dict(zip(users.tolist(), items[lists].tolist(), strict=True))


def wanted_by(train: pd.DataFrame, test: pd.DataFrame) -> dict[Any, set[Any]]:
    """Return what each user that was learned from rated in the rest."""
    rated = test[test["user"].isin(set(train["user"]))].groupby("user")["item"].apply(set)
    return dict(zip(rated.index.tolist(), rated, strict=True))
