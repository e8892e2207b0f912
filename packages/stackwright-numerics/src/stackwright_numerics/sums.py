"""Correctly rounded sums and standard deviations of many overlapping segments of one array.

The exact result is rounded once, to the nearest float64, ties to even: what ``math.fsum`` and ``statistics.stdev``
give. There is but one such number, whatever stands beside the segment and however it is computed: few elements go
through Python's own arithmetic, many through :mod:`stackwright_numerics.exact`.
"""

from __future__ import annotations

import math
from operator import lshift, mul
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright_numerics import exact
from stackwright_numerics.ranges import are_few

_WHOLE: Final = 2.0**53


def segment_sums(values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of each ``values[starts[i]:stops[i]]``, correctly rounded.

    Args:
        values: bool, int64 or float64 array.
        starts: int64 array of m, not above ``stops``; segments may overlap, in any order.
        stops: int64 array of m.

    Returns:
        float64 array of m. 0.0 (never -0.0) for an empty segment; NaN where a NaN or infinities of both signs occur;
        an infinity where one occurs, or where the sum exceeds the range of float64.
    """
    if values.dtype.kind != "f":
        return _int_sums(values.astype(np.int64, copy=False), starts, stops)
    if are_few(starts, stops):
        try:
            return _few_sums(values, starts, stops)
        except (OverflowError, ValueError):  # what fsum says of a sum out of range and of infinities of both signs
            return _float_sums(values, starts, stops)
    return _float_sums(values, starts, stops)


def segment_deviations(
    values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sample standard deviation of each ``values[starts[i]:stops[i]]``, correctly rounded.

    With ``n`` elements ``x``: ``sqrt((n * sum(x * x) - sum(x)**2) / (n * (n - 1)))``, exact but for one rounding.

    Args:
        values: bool, int64 or float64 array.
        starts: int64 array of m.
        stops: int64 array of m, at least 2 above ``starts``; segments may overlap, in any order.

    Returns:
        float64 array of m; NaN where a NaN or an infinity occurs.
    """
    finite = np.isfinite(values)
    if np.count_nonzero(finite) < len(finite):
        found = segment_deviations(np.where(finite, values, 0.0), starts, stops)
        return np.where(exact.differences(~finite, starts, stops) > 0, np.nan, found)
    scaled = exact.scale(values)
    if are_few(starts, stops):
        totals, squares = _few_moments(scaled, starts, stops)
    else:
        totals, squares = exact.sums(scaled, starts, stops), exact.square_sums(scaled, starts, stops)
    moments = zip((stops - starts).tolist(), totals, squares, strict=True)
    roots = [_root(n * square - total * total, n * (n - 1), scaled.exponent) for n, total, square in moments]
    return np.array(roots, np.float64)


def _few_sums(values: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.float64]:
    segments = zip(starts.tolist(), stops.tolist(), strict=True)
    return plain(np.array([math.fsum(values[start:stop].tolist()) for start, stop in segments], np.float64))


def _int_sums(values: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.float64]:
    largest = max(-int(values.min(initial=0)), int(values.max(initial=0)))
    if largest * int((stops - starts).max(initial=0)) < 2**63:
        return exact.differences(values, starts, stops).astype(np.float64)
    return np.array(exact.sums(exact.scale(values), starts, stops), np.float64)


def _float_sums(
    values: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.float64]:
    finite = np.isfinite(values)
    if not finite.all():
        special = _special_sums(values, starts, stops)
        return np.where(special == 0.0, _float_sums(np.where(finite, values, 0.0), starts, stops), special)
    if (np.abs(values) < _WHOLE).all() and (values == np.trunc(values)).all():
        return _int_sums(values.astype(np.int64), starts, stops)
    scaled = exact.scale(values)
    return np.array([_rounded(total, scaled.exponent) for total in exact.sums(scaled, starts, stops)], np.float64)


def _special_sums(
    values: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.float64]:
    """0.0, an infinity or NaN a segment: what its infinities and NaNs make of the sum."""
    nan = exact.differences(np.isnan(values), starts, stops) > 0
    above = exact.differences(values == np.inf, starts, stops) > 0
    below = exact.differences(values == -np.inf, starts, stops) > 0
    return np.select([nan | (above & below), above, below], [np.nan, np.inf, -np.inf], 0.0)


def _few_moments(
    scaled: exact.Scaled, starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    totals, squares = [], []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        items = list(map(lshift, scaled.mantissas[start:stop].tolist(), scaled.shifts[start:stop].tolist()))
        totals.append(sum(items))
        squares.append(sum(map(mul, items, items)))
    return totals, squares


def _rounded(number: int, exponent: int) -> float:
    """``number * 2**exponent``, correctly rounded."""
    try:
        return float(number << exponent) if exponent >= 0 else number / (1 << -exponent)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _root(numerator: int, denominator: int, exponent: int) -> float:
    """``sqrt(numerator / denominator) * 2**exponent``, correctly rounded.

    The integer root has at least 55 bits, of which the last one is set where it is not exact; so the final division,
    which rounds correctly, cannot mistake it for a tie (as in the standard library's ``statistics``).
    """
    shift = (numerator.bit_length() - denominator.bit_length() - 109) // 2
    if shift >= 0:
        denominator <<= 2 * shift
    else:
        numerator <<= -2 * shift
    root = math.isqrt(numerator // denominator)
    root |= root * root * denominator != numerator
    return _rounded(root, shift + exponent)


def plain(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers with one zero (0.0) and one NaN."""
    if np.count_nonzero(found == found) == len(found):
        return found + 0.0
    return np.where(np.isnan(found), np.nan, found + 0.0)
