"""Parts of the interactions that are held out: to learn the ranker from, to choose by, and to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import TrainingError
from stackwright_recommender.interactions import Interactions

How = Literal["last", "random"]


@dataclass(frozen=True)
class Fold:
    """What is known and what is held out of the same users.

    Args:
        known: interactions to fit on.
        held: interactions to be found.
    """

    known: Interactions
    held: Interactions


def folds(interactions: Interactions, how: How, *, share: float, count: int, seed: int) -> list[Fold]:
    """Hold parts out.

    Args:
        how: ``"last"`` holds each user's newest pairs out: the question is what comes next. The second fold leaves
            those out and holds the newest of the rest out, and so on. ``"random"`` draws pairs, each fold others: the
            question is what else a user likes.
        share: of each user's pairs that is held out, above 0 and below 1.
        count: folds, at most ``1 / share`` where drawn.
        seed: of the draw.

    Raises:
        TrainingError: times are needed and not known, or no user has a pair to spare.
    """
    if how == "last" and not interactions.timed:
        found = "the newest interactions are to be held out, and no times are known"
        raise TrainingError("holdout", found, "Name the column of times, or set holdout to random.")
    parts = _drawn(interactions, share, count, seed) if how == "random" else _newest(interactions, share, count)
    made = [Fold(interactions.take(known), interactions.take(held)) for known, held in parts]
    made = [fold for fold in made if len(fold.held) and len(fold.known)]
    if not made:
        found = f"{len(interactions)} interactions of {interactions.users} users leave none to hold out"
        raise TrainingError("holdout", found, "Give users with several interactions each.")
    return made


def _drawn(interactions: Interactions, share: float, count: int, seed: int) -> list[tuple[Any, Any]]:
    parts = max(2, round(1 / share))
    part = np.random.default_rng(seed).permutation(np.arange(len(interactions)) % parts)
    return [(part != number, part == number) for number in range(min(count, parts))]


def _newest(interactions: Interactions, share: float, count: int) -> list[tuple[Any, Any]]:
    sizes = np.diff(interactions.offsets)[interactions.user]
    made = []
    for _ in range(count):
        left = np.floor(sizes * (1 - share) + 0.5)
        left = np.where((sizes > 1) & (left == sizes), sizes - 1, np.maximum(left, 1))
        dropped = np.diff(interactions.offsets)[interactions.user] - sizes
        known, there = interactions.back >= dropped + sizes - left, interactions.back >= dropped
        made.append((known, there & ~known))
        sizes = left
    return made


def liked(fold: Fold) -> NDArray[np.int64]:
    """Return the users that like something of what is held out."""
    return np.unique(fold.held.user[fold.held.weight > 0]).astype(np.int64)
