"""The ranker: a weighted sum of standings, and LightGBM's LambdaRank for what the sum leaves.

Trees are small and few enough for hundreds of candidates a request. Where nothing is known of the user, other signals
count: such lists have a sum of their own, and no trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import ArtifactError, TrainingError
from stackwright_lightgbm.compilation import booster_of
from stackwright_lightgbm.text import check_text
from stackwright_recommender import blend

Floats = NDArray[np.float64]
_LONGEST: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class RankerOptions:
    """How trees are grown. Small and slow learners carry over best from held-out lists to those of tomorrow.

    Args:
        trees: how many.
        learning_rate: how much of each is added.
        leaves: most leaves of a tree.
        smallest_leaf: share of all rows that a leaf holds at least.
        columns: share of the features that each tree may use.
        rows: share of the rows that each tree is grown on.
        k: first places that count.
        params: any other parameter of LightGBM.
    """

    trees: int = 100
    learning_rate: float = 0.05
    leaves: int = 8
    smallest_leaf: float = 0.003
    columns: float = 0.5
    rows: float = 0.5
    k: int = 10
    params: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Parts:
    """What the columns of the ranker's rows are.

    Args:
        standings: those of the signals' standings; as many of their places come before.
        history: that of how much is known of the user.
        width: how many columns there are; the last is for the sum.
    """

    standings: slice
    history: int
    width: int

    @property
    def signals(self) -> int:
        """How many standings there are."""
        return int(self.standings.stop - self.standings.start)


class Ranker:
    """A fitted ranker. Its score is the weighted sum of standings, and the trees' answer to the features and the sum.

    Args:
        text: the trees, in LightGBM's text form.
        weights: 2 × signals: of the standings, where something is known of the user and where nothing is.
        parts: what the columns are.
        threads: of LightGBM.
        cache: where the trees' machine code is kept, if they are asked for long; without it there is none.

    Raises:
        ArtifactError: the text is damaged, or the parts do not fit.
    """

    def __init__(
        self, text: bytes, weights: Floats, parts: Parts, *, threads: int = 1, cache: Path | None = None
    ) -> None:
        if weights.shape != (2, parts.signals):
            found = f"weights of shape {weights.shape} for {parts.signals} signals"
            raise ArtifactError("ranker", found, "Train the recommender again.")
        check_text(text, _columns(parts.width), "ranker")
        self.text = text
        self.weights = weights
        self._parts = parts
        self._booster = booster_of(text, threads=threads, cache=cache)

    @property
    def compiled(self) -> bool:
        """Whether the trees answer by machine code."""
        return self._booster.compiled

    @classmethod
    def fit(
        cls,
        rows: Floats,
        relevance: NDArray[Any],
        sizes: NDArray[np.int64],
        *,
        parts: Parts,
        options: RankerOptions,
        positions: NDArray[Any] | None = None,
        seed: int = 7,
        threads: int = 1,
    ) -> Self:
        """Fit.

        Args:
            rows: n × features; rows of a list follow each other.
            relevance: of each row, whole numbers from 0.
            sizes: rows of each list.
            parts: what the columns are.
            options: how trees are grown.
            positions: the place each row was shown at, where relevance comes from clicks: how much a place alone adds
                is learned apart and left out of the scores.
            seed: of the draws of rows and columns.
            threads: of LightGBM.

        Raises:
            TrainingError: a list has nothing relevant, or none has both, or LightGBM refuses an option.
        """
        import lightgbm
        from lightgbm.basic import LightGBMError

        _check(relevance, sizes)
        warm = rows[:, parts.history] > 0
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        warm_lists = warm[starts]
        if not warm_lists.any():
            raise TrainingError("ranker", "no list of a user of whom anything is known", "Give longer histories.")
        weights = np.ones((2, parts.signals))
        for number, (some, lists) in enumerate(((warm, warm_lists), (~warm, ~warm_lists))):
            if lists.any():
                weights[number] = blend.learn(rows[some, parts.standings], relevance[some], sizes[lists])
        rows = rows[warm]
        rows[:, -1] = blend.blended(rows[:, parts.standings], weights[0])
        data = lightgbm.Dataset(
            rows,
            relevance[warm],
            group=sizes[warm_lists],
            position=None if positions is None else positions[warm],
            init_score=rows[:, -1].copy(),
            feature_name=_columns(parts.width),
        )
        try:
            given = {**_native(options, len(rows), seed, threads), "monotone_constraints": _monotone(parts)}
            booster = lightgbm.train({**given, **(options.params or {})}, data, options.trees)
        except (LightGBMError, ValueError, TypeError) as error:
            raise TrainingError("ranker", str(error), "Change the ranker's options.") from error
        return cls(booster.model_to_string().encode(), weights, parts, threads=threads)

    def scores(self, rows: Floats) -> Floats:
        """Return the score of each row, the best of a list the highest; the last column is overwritten."""
        standings, warm = rows[:, self._parts.standings], rows[:, self._parts.history] > 0
        known = blend.blended(standings, self.weights[0])
        rows[:, -1] = known
        if warm.all():
            return self._booster.predict(rows) + known
        other = blend.blended(standings, self.weights[1])
        if not warm.any():
            return other
        return np.asarray(np.where(warm, self._booster.predict(rows) + known, other))

    def close(self) -> None:
        """Free the trees."""
        self._booster.close()


def _columns(width: int) -> list[str]:
    """Return names that LightGBM's text can hold, whatever the columns of a file are called."""
    return [f"column_{place}" for place in range(width)]


def _native(options: RankerOptions, rows: int, seed: int, threads: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": max(20, int(options.smallest_leaf * rows)),
        "feature_fraction": options.columns,
        "bagging_fraction": options.rows,
        "bagging_freq": 1,
        "lambdarank_truncation_level": max(30, options.k + 5),
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }


def _monotone(parts: Parts) -> list[int]:
    """Return 1 for columns with which a score may only rise, -1 where only fall: trees turn no signal round."""
    signs = [0] * parts.width
    signs[parts.standings] = [1] * parts.signals
    signs[parts.standings.start - parts.signals : parts.standings.start] = [-1] * parts.signals
    signs[-1] = 1
    return signs


def _check(relevance: NDArray[Any], sizes: NDArray[np.int64]) -> None:
    if not sizes.size or int(sizes.sum()) != relevance.size:
        raise TrainingError("ranker", "no lists to learn from", "Train on more interactions.")
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    most, least = np.maximum.reduceat(relevance, offsets), np.minimum.reduceat(relevance, offsets)
    if not (most > least).any() or not (most > 0).all():
        found = "no list holds both what was taken and what was not, or one holds nothing that was taken"
        raise TrainingError("ranker", found, "Train on more interactions, or ask retrievers for more candidates.")
    if sizes.max() > _LONGEST:
        raise TrainingError("ranker", f"a list of {sizes.max():,} rows", f"Give at most {_LONGEST:,} a list.")
