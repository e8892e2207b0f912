"""What a challenger would have earned, from lists that were logged with positions, propensities and clicks.

A click at a place is weighted by how much likelier the challenger puts that item there than chance did (the
item-position model: Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay, Wen, "Offline evaluation of ranking policies with
click models", KDD 2018). Three estimates of clicks a list, each with a bootstrap interval over lists:

- *inverse propensity* (Horvitz, Thompson 1952): unbiased, and wide;
- *self-normalised* (Swaminathan, Joachims, "The self-normalized estimator for counterfactual learning", NIPS 2015), at
  each place: bounded, biased by ``1 / n``;
- *clipped* (Ionides 2008): no weight counts more than ``clip``: narrower, and too low by what was cut.

Only what chance gave the challenger's order a probability for can be judged: ``supported`` tells how much of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError
from stackwright_numerics.intervals import DRAWS, Interval, bootstrap

Floats = NDArray[np.float64]
CLIP: Final = 20.0
DEEPEST: Final = 100
"""Places that are judged; items behind them are left out, so that one long list costs no memory for all others."""


@dataclass(frozen=True)
class Logged:
    """Rows of logged lists, a row an item that was shown.

    Args:
        number: which list a row is of, from 0.
        position: its place, from 1.
        propensity: probability with which chance put the item there, above 0 and up to 1.
        clicked: what it earned, 0 or 1 (or any number that is not negative).
        item: identifiers.
    """

    number: NDArray[np.int64]
    position: NDArray[np.int64]
    propensity: Floats
    clicked: Floats
    item: NDArray[Any]

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            DataError: there is one, or there are no rows.
        """
        if not self.position.size:
            raise DataError("log", "no rows", "Give lists that were shown.")
        _check(self.position, self.propensity, self.clicked)
        object.__setattr__(self, "position", self.position.astype(np.int64))

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self.number.max(initial=-1)) + 1


def _check(position: NDArray[Any], propensity: Floats, clicked: Floats) -> None:
    """Refuse values out of range."""
    ranges = {
        "position": (position, (position >= 1) & (position == np.floor(position))),
        "propensity": (propensity, (propensity > 0) & (propensity <= 1)),
        "clicked": (clicked, (clicked >= 0) & np.isfinite(clicked)),
    }
    for name, (values, right) in ranges.items():
        wrong = np.flatnonzero(~right)
        if wrong.size:
            found = f"{name} is {values[wrong[0]]} in row {wrong[0] + 1}"
            todo = "Positions count from 1, propensities are above 0 and up to 1, clicks are not negative."
            raise DataError("log", found, todo)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What was found, in clicks a list.

    Args:
        logged: what the lists that were shown earned.
        inverse_propensity: of the challenger.
        self_normalised: of the challenger.
        clipped: of the challenger.
        gain: self-normalised, less what was earned, drawn together.
        effective: how many rows the weights are worth: ``(sum w)^2 / sum w^2`` (Kish 1965).
        greatest: the greatest weight.
        cut: share of the weights' sum that clipping takes.
        supported: sum of weights by rows: near 1 where chance reached all that the challenger does.
        beyond: rows that were left out, since they stand behind place :data:`DEEPEST`.
    """

    logged: Interval
    inverse_propensity: Interval
    self_normalised: Interval
    clipped: Interval
    gain: Interval
    effective: float
    greatest: float
    cut: float
    supported: float
    beyond: int = 0


def replay(
    logged: Logged, chosen: ArrayLike, *, clip: float = CLIP, draws: int = DRAWS, level: float = 0.95, seed: int = 7
) -> Replay:
    """Estimate what a challenger would have earned.

    Args:
        logged: lists as they were shown.
        chosen: for each row, the probability with which the challenger puts that item at that place of that list; for
            one without chance 1 or 0 (:func:`chosen_by`).
        clip: the greatest weight that counts in ``clipped``.
        draws: of the bootstrap.
        level: of the intervals.
        seed: of the bootstrap.

    Raises:
        DataError: as many probabilities as rows are wanted, from 0 to 1.
    """
    share = np.asarray(chosen, dtype=np.float64)
    if share.shape != logged.position.shape or not ((share >= 0) & (share <= 1)).all():
        found = f"{share.size} probabilities for {logged.position.size} rows, or one that is none"
        raise DataError("replay", found, "Give a number from 0 to 1 for each row.")
    near = logged.position <= DEEPEST
    beyond = int(near.size - np.count_nonzero(near))
    logged, share = (_some(logged, near), share[near]) if beyond else (logged, share)
    weight = share / logged.propensity
    cut = np.minimum(weight, clip)
    places = int(logged.position.max())
    table = np.column_stack([
        _sums(logged, logged.clicked, places).sum(axis=1),
        _sums(logged, weight * logged.clicked, places),
        _sums(logged, weight, places),
        _sums(logged, np.ones_like(weight), places),
        _sums(logged, cut * logged.clicked, places).sum(axis=1),
    ])  # fmt: skip

    def statistic(sums: Floats) -> Floats:
        earned, total, shown = (sums[:, 1 + part * places : 1 + (part + 1) * places] for part in range(3))
        rate = np.divide(earned, total, out=np.zeros_like(earned), where=total > 0)
        normal = (rate * shown).sum(axis=1)
        return np.column_stack([sums[:, 0], earned.sum(axis=1), normal, sums[:, -1], normal - sums[:, 0]])

    ends = bootstrap(table, statistic, draws=draws, level=level, seed=seed)
    names = ("logged", "inverse_propensity", "self_normalised", "clipped", "gain")
    total = float(weight.sum())
    return Replay(
        **dict(zip(names, ends, strict=True)),
        effective=total**2 / float((weight**2).sum()) if total else 0.0,
        greatest=float(weight.max()),
        cut=float((weight - cut).sum()) / total if total else 0.0,
        supported=total / weight.size,
        beyond=beyond,
    )


def chosen_by(logged: Logged, score: ArrayLike) -> Floats:
    """Return what :func:`replay` wants of a challenger that orders the same items by score, the highest first.

    Args:
        logged: lists as they were shown.
        score: the challenger's, of each row; equal ones stay in the order of their positions.
    """
    values = np.asarray(score, dtype=np.float64)
    order = np.lexsort((logged.position, -values, logged.number))
    by_place = np.lexsort((logged.position, logged.number))
    wanted = np.empty(values.size, dtype=np.int64)
    wanted[order] = logged.position[by_place]
    return np.asarray(wanted == logged.position, dtype=np.float64)


def examination(logged: Logged, *, draws: int = DRAWS, level: float = 0.95, seed: int = 7) -> Mapping[int, Interval]:
    """Return place → how likely it is looked at, by the first, from lists that chance put in order.

    Places behind :data:`DEEPEST` are left out.

    Where any item is as likely at any place, clicks differ between places by the look alone (Joachims, Swaminathan,
    Schnabel, "Unbiased learning-to-rank with biased feedback", WSDM 2017).

    Raises:
        DataError: nothing at the first place was clicked.
    """
    logged = _some(logged, logged.position <= DEEPEST)
    places = int(logged.position.max())
    table = np.column_stack([
        _sums(logged, logged.clicked, places), _sums(logged, np.ones(logged.clicked.size), places)
    ])  # fmt: skip
    if not table[:, 0].any():
        raise DataError("examination", "nothing at the first place was clicked", "Log more lists in random order.")

    def statistic(sums: Floats) -> Floats:
        clicks, shown = sums[:, :places], sums[:, places:]
        rate = np.divide(clicks, shown, out=np.full_like(clicks, np.nan), where=shown > 0)
        first = np.where(rate[:, :1] > 0, rate[:, :1], np.nan)
        return np.asarray(rate / first)

    found = bootstrap(table, statistic, draws=draws, level=level, seed=seed)
    return dict(enumerate(found, start=1))


def _some(logged: Logged, rows: NDArray[np.bool_]) -> Logged:
    """Return some rows.

    Raises:
        DataError: there are none.
    """
    return Logged(
        logged.number[rows], logged.position[rows], logged.propensity[rows], logged.clicked[rows], logged.item[rows]
    )


def _sums(logged: Logged, values: Floats, places: int) -> Floats:
    """Return lists × places: the sum of a column."""
    cell = logged.number * places + logged.position - 1
    sums: Floats = np.bincount(cell, values, minlength=logged.lists * places).astype(np.float64)
    return sums.reshape(logged.lists, places)
