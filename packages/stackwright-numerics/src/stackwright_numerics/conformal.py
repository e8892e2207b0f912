"""Prediction intervals from out-of-fold residuals: a small table that travels in the model's manifest.

The residual of a row is ``r = ln(y / p)`` (relative tables) or ``r = y - p`` (absolute ones). The interval reaches from
``b - s w`` to ``b + s w`` in residuals: ``b`` is the centre, ``s`` the *difficulty* of the row (1 without) and ``w`` a
half-width that depends on the prediction, interpolated between the centres of bins. It is widened to hold the
prediction itself where the centre lies far off.

How it is fitted:

1. The centre is the median residual under squared weights. Squared, a weight that halves in 90 days halves in 45: a
   location is known from fewer rows than a width, so it may follow a moving market faster. Widths are symmetric about
   it, since the skew of the past is no guide to where the market goes next.
2. Difficulty (optional; "normalised" conformal prediction, Papadopoulos et al. 2002): ``ln s`` is a sum of one effect
   a bin of each input and of the prediction. Each effect in turn is set so that the roots of ``|r - b| / s`` have the
   same mean in its bin as in all rows (iterative proportional fitting, with shrinkage); roots, for large residuals
   would rule the mean otherwise. For the next step the difficulty of a row comes from a fit without that row's fold.
3. Half-widths are quantiles of ``|r - b| / s`` in bins of the prediction ("Mondrian", Vovk et al. 2005) with the
   finite-sample correction: the distribution holds one more row at infinity, of the greatest weight. A bin of ``n``
   rows (Kish's effective number) is drawn towards all rows by ``k / (n + k)``: the fewer its rows, the more.
4. One factor on all half-widths, so that the table as it stands covers ``level`` of the rows, with that correction.

Give residuals as the model will meet the world: out of fold, for data in time order by forward chaining, and weigh
recent rows more (Barber et al. 2023).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import DataError, PredictionError
from stackwright_numerics.metrics import weighted_quantile

Floats = NDArray[np.float64]

FORMAT: Final = 1

_ROWS_A_BIN: Final = 200
_SHRINK_BIN: Final = 100.0
_SHRINK_EFFECT: Final = 75.0
_EFFECT_BINS: Final = 24
_ROUNDS: Final = 8
_FOLDS: Final = 5
_TINY: Final = 1e-9


@dataclass(frozen=True)
class Difficulty:
    """How uncertain a row is, from its inputs: ``ln s = sum of effects``.

    Args:
        cuts: for each input, then the prediction, ascending cuts; bin ``i`` holds ``cuts[i - 1] <= v < cuts[i]``.
        effects: for each of them the effect of each bin, and last the effect of a missing value.
    """

    cuts: tuple[tuple[float, ...], ...]
    effects: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, columns: Floats, size: Floats, weight: Floats, categorical: Collection[int] = ()) -> Self:
        """Fit to the size of residuals.

        Args:
            columns: n × d, NaN where missing.
            size: absolute residuals of n rows.
            weight: weights of n rows.
            categorical: columns that hold codes, each of which has an effect of its own.
        """
        cuts = tuple(_effect_cuts(columns[:, place], place in categorical) for place in range(columns.shape[1]))
        bins = [_bin(columns[:, place], cut) for place, cut in enumerate(cuts)]
        effects = [np.zeros(len(cut) + 2) for cut in cuts]
        root = np.sqrt(size)
        root = weight * root / max(float(np.average(root, weights=weight)), _TINY)
        shrink = _SHRINK_EFFECT * float(weight.mean())
        for _ in range(_ROUNDS):
            for where, effect in zip(bins, effects, strict=True):
                mass = np.bincount(where, weight, minlength=effect.size)
                total = np.bincount(where, root, minlength=effect.size)
                step = np.log((total + shrink * np.exp(-effect)) / (mass + shrink))
                np.add(effect, step, out=effect)
                root *= np.exp(-step)[where]
        effects = [2 * effect for effect in effects]
        return cls(cuts, tuple(tuple(effect.tolist()) for effect in effects))

    def scale(self, columns: Floats) -> Floats:
        """Return ``s`` for each row of n × d columns."""
        if len(columns) == 1:
            total = np.array([self._sum(columns[0].tolist())])
        else:
            total = np.zeros(len(columns))
            for place, (cut, effect) in enumerate(zip(self.cuts, self.effects, strict=True)):
                total += np.asarray(effect)[_bin(columns[:, place], cut)]
        return np.asarray(np.exp(total))

    def _sum(self, row: list[float]) -> float:
        """Sum the effects of one row: arrays cost ten times as much for one."""
        total = 0.0
        for value, cut, effect in zip(row, self.cuts, self.effects, strict=True):
            total += effect[bisect_right(cut, value)] if value == value else effect[-1]
        return total


@dataclass(frozen=True, kw_only=True)
class IntervalTable:
    """A fitted table.

    Args:
        level: nominal coverage.
        relative: the residuals are logarithms of ratios.
        centre: the residual in the middle of an interval.
        places: typical prediction (or its logarithm) of each bin, ascending.
        widths: half-width in each bin.
        n: rows it was fitted on.
        difficulty: how uncertain a row is, or ``None``.
    """

    level: float
    relative: bool
    centre: float
    places: tuple[float, ...]
    widths: tuple[float, ...]
    n: int
    difficulty: Difficulty | None = None

    def apply(
        self, prediction: ArrayLike, *, matrix: Floats | None = None, scale: ArrayLike | None = None
    ) -> tuple[Floats, Floats]:
        """Return the lower and upper ends of the intervals of n rows.

        Args:
            prediction: n predictions. In a relative table one that is not positive gets NaN.
            matrix: the model's inputs, n × d, where the table was fitted with inputs.
            scale: difficulties of the rows, where the table was fitted with such.

        Raises:
            PredictionError: the table needs the inputs.
        """
        answer = np.asarray(prediction, dtype=np.float64)
        if self.relative:
            answer = np.where(answer > 0, answer, np.nan)
        place = np.log(answer) if self.relative else answer
        width = np.interp(place, *self._curve)
        if self.difficulty is not None:
            width = width * self.difficulty.scale(_columns(matrix, place, len(self.difficulty.cuts)))
        elif scale is not None:
            width = width * np.asarray(scale, dtype=np.float64)
        low, high = np.minimum(self.centre - width, 0.0), np.maximum(self.centre + width, 0.0)
        if self.relative:
            return answer * np.exp(low), answer * np.exp(high)
        return answer + low, answer + high

    @cached_property
    def _curve(self) -> tuple[Floats, Floats]:
        """Places and widths as arrays, which cost more to make than to use."""
        return np.asarray(self.places, dtype=np.float64), np.asarray(self.widths, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, as manifests hold it."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "level": self.level,
            "relative": self.relative,
            "centre": self.centre,
            "places": list(self.places),
            "widths": list(self.widths),
            "n": self.n,
        }
        if self.difficulty is not None:
            document["difficulty"] = {
                "cuts": [list(cut) for cut in self.difficulty.cuts],
                "effects": [list(effect) for effect in self.difficulty.effects],
            }
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form.

        Raises:
            DataError: it is none, or of another format.
        """
        if document.get("format") != FORMAT:
            raise DataError("interval table", f"format {document.get('format')!r}, this version reads {FORMAT}")
        try:
            found = document.get("difficulty")
            return cls(
                level=float(document["level"]),
                relative=bool(document["relative"]),
                centre=float(document["centre"]),
                places=tuple(document["places"]),
                widths=tuple(document["widths"]),
                n=int(document["n"]),
                difficulty=found
                and Difficulty(
                    cuts=tuple(tuple(cut) for cut in found["cuts"]),
                    effects=tuple(tuple(effect) for effect in found["effects"]),
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("interval table", f"not a table ({error!r})", "Publish the model again.") from error


def fit(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    level: float = 0.9,
    relative: bool = True,
    weight: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    matrix: Floats | None = None,
    categorical: Collection[int] = (),
    bins: int = 10,
) -> IntervalTable:
    """Fit a table.

    Args:
        prediction: out-of-fold predictions of n rows, as the model answers (after postprocessing). Rows where it or
            the target is not finite are passed over, so that the first block of a forward chain may be NaN.
        target: their truths.
        level: nominal coverage, between 0 and 1.
        relative: use log ratios, for targets that are positive and vary in proportion; else differences.
        weight: weights of the rows, of recent ones greater.
        scale: difficulties of the rows, which :meth:`IntervalTable.apply` must then be given too.
        matrix: inputs of the rows, n × d; the table then learns their difficulty.
        categorical: columns of ``matrix`` that hold codes.
        bins: most bins of the prediction; there are fewer where a bin would have less than 200 rows.

    Raises:
        DataError: too few rows for the level (9 for 90 %), a row with no positive value in a relative table, or
            arrays of different lengths.
    """
    answer, truth = np.asarray(prediction, dtype=np.float64), np.asarray(target, dtype=np.float64)
    weights = np.ones_like(answer) if weight is None else np.asarray(weight, dtype=np.float64)
    scales = None if scale is None else np.asarray(scale, dtype=np.float64)
    lengths = {len(column) for column in (answer, truth, weights, scales, matrix) if column is not None}
    if len(lengths) > 1:
        raise DataError("intervals", f"columns of {sorted(lengths)} rows", "Give columns of one length.")
    known = np.isfinite(answer) & np.isfinite(truth) & (weights > 0)
    answer, truth, weights = answer[known], truth[known], weights[known]
    _check_rows(answer, truth, weights, level, relative)
    residual = np.log(truth / answer) if relative else truth - answer
    place = np.log(answer) if relative else answer
    centre = weighted_quantile(residual, 0.5, weights**2)
    size = np.abs(residual - centre)
    difficulty = None
    if matrix is not None:
        columns = _columns(matrix[known], place, matrix.shape[1] + 1)
        difficulty = Difficulty.fit(columns, size, weights, categorical)
        size = size / _scale_out_of_fold(columns, size, weights, categorical)
    elif scales is not None:
        size = size / scales[known]
    places, widths = _widths(place, size, weights, level, bins)
    factor = conformal_quantile(size / np.interp(place, places, widths), level, weights)
    return IntervalTable(
        level=level,
        relative=relative,
        centre=centre,
        places=tuple(places.tolist()),
        widths=tuple((widths * factor).tolist()),
        n=int(answer.size),
        difficulty=difficulty,
    )


def apply(
    table: IntervalTable | Mapping[str, Any],
    prediction: ArrayLike,
    *,
    matrix: Floats | None = None,
    scale: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Return lower and upper ends; see :meth:`IntervalTable.apply`. A scorer reads the table once, not a call."""
    read = table if isinstance(table, IntervalTable) else IntervalTable.from_json(table)
    return read.apply(prediction, matrix=matrix, scale=scale)


def conformal_quantile(score: Floats, level: float, weight: Floats) -> float:
    """Return the least score that covers ``level`` of the weight of all rows and of one more, at infinity.

    With equal weights it is the ``ceil((n + 1) level)``-th smallest score. Infinite where the rows are too few.
    """
    order = np.argsort(score)
    total = np.cumsum(weight[order])
    wanted = level * (total[-1] + weight.max())
    index = int(np.searchsorted(total, wanted * (1 - 1e-12), side="left"))
    return float(score[order[index]]) if index < score.size else float("inf")


def _check_rows(answer: Floats, truth: Floats, weight: Floats, level: float, relative: bool) -> None:
    if not 0 < level < 1:
        raise DataError("intervals", f"a nominal level of {level}", "Give a level between 0 and 1, 0.9 say.")
    needed = level / (1 - level)
    mass = float(weight.sum() / weight.max()) if weight.size else 0.0
    if mass < needed * (1 - 1e-9):
        found = f"{answer.size} rows (weighing {mass:.0f})"
        raise DataError("intervals", found, f"A level of {level:g} needs {np.ceil(needed - 1e-9):.0f} at least.")
    if relative and ((answer <= 0).any() or (truth <= 0).any()):
        found = "predictions or targets that are not positive"
        raise DataError("intervals", found, "Use absolute residuals, or leave these rows out.")


def _columns(matrix: Floats | None, place: Floats, width: int) -> Floats:
    if matrix is None or matrix.shape != (place.size, width - 1):
        found = "none" if matrix is None else f"{matrix.shape[0]} × {matrix.shape[1]}"
        todo = "Give the inputs the model was given."
        raise PredictionError("interval table", f"inputs are {found}, needed {place.size} × {width - 1}", todo)
    return np.column_stack([matrix, place])


def _scale_out_of_fold(columns: Floats, size: Floats, weight: Floats, categorical: Collection[int]) -> Floats:
    fold = np.arange(size.size) % _FOLDS
    scale = np.empty_like(size)
    for number in range(_FOLDS):
        held = fold == number
        scale[held] = Difficulty.fit(columns[~held], size[~held], weight[~held], categorical).scale(columns[held])
    return scale


def _widths(place: Floats, size: Floats, weight: Floats, level: float, bins: int) -> tuple[Floats, Floats]:
    """Return typical prediction and half-width of each bin."""
    pooled = conformal_quantile(size, level, weight)
    wanted = max(1, min(bins, size.size // _ROWS_A_BIN))
    where = np.searchsorted(np.unique(np.quantile(place, np.arange(1, wanted) / wanted)), place, side="right")
    rows: list[tuple[float, float]] = []
    for number in np.unique(where):
        inside = where == number
        mass = weight[inside]
        effective = float(mass.sum() ** 2 / (mass**2).sum())
        trust = effective / (effective + _SHRINK_BIN)
        own = conformal_quantile(size[inside], level, mass)
        width = trust * own + (1 - trust) * pooled if np.isfinite(own) else pooled
        rows.append((float(np.median(place[inside])), max(width, _TINY)))
    places, widths = np.array(rows).T
    return places, widths


def _bin(values: Floats, cuts: tuple[float, ...]) -> NDArray[np.intp]:
    where = np.searchsorted(np.asarray(cuts), values, side="right")
    where[np.isnan(values)] = len(cuts) + 1
    return where


def _effect_cuts(values: Floats, categorical: bool) -> tuple[float, ...]:
    known = values[~np.isnan(values)]
    if not known.size:
        return ()
    distinct = np.unique(known)
    if categorical or distinct.size <= _EFFECT_BINS:
        starts = distinct[1:] if not categorical else np.arange(1, int(distinct[-1]) + 2, dtype=np.float64)
        return tuple(starts.tolist())
    edges = np.unique(np.quantile(known, np.arange(1, _EFFECT_BINS) / _EFFECT_BINS))
    return tuple(edges.tolist())
