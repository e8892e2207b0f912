"""Sums without error: many overlapping segments of one array, as integers.

Numbers are cut into 32-bit digits of one long fixed-point number (R. M. Neal, "Fast exact summation using small and
large superaccumulators", 2015). Prefix sums of the digits are exact in int64, and a segment's digit is a difference of
two of them, so that the work does not grow with the length of the segments.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DIGIT: Final = np.uint64(0xFFFFFFFF)
_BITS: Final = np.uint64(32)


class Scaled(NamedTuple):
    """Numbers as ``mantissas * 2**(shifts + exponent)``: int64, int64 from 0 up, and one exponent for all."""

    mantissas: NDArray[np.int64]
    shifts: NDArray[np.int64]
    exponent: int


def scale(values: NDArray[Any]) -> Scaled:
    """Return bool, int64 or finite float64 numbers as integers times powers of two."""
    if values.dtype.kind != "f":
        return Scaled(values.astype(np.int64), np.zeros(len(values), np.int64), 0)
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    there = mantissas != 0
    lowest = int(exponents[there].min()) if there.any() else 53
    return Scaled(mantissas, np.where(there, exponents - lowest, 0).astype(np.int64), lowest - 53)


def differences(values: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums of segments in int64. Prefix sums may wrap; a sum that fits is right all the same."""
    prefix = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=prefix[1:])
    return prefix[stops] - prefix[starts]


def sums(scaled: Scaled, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> list[int]:
    """Return the sum of each segment in units of ``2**exponent``."""
    sizes = np.abs(scaled.mantissas).view(np.uint64)
    return _integers(_digit_sums(sizes, np.sign(scaled.mantissas), scaled.shifts, starts, stops))


def square_sums(scaled: Scaled, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> list[int]:
    """Return the sum of squares of each segment in units of ``4**exponent``."""
    sizes, shifts = np.abs(scaled.mantissas).view(np.uint64), 2 * scaled.shifts
    low, high = sizes & _DIGIT, sizes >> _BITS
    parts = ((low * low, shifts), (low * high, shifts + 33), (high * high, shifts + 64))
    totals = [_integers(_digit_sums(size, np.int64(1), shift, starts, stops)) for size, shift in parts]
    return [sum(terms) for terms in zip(*totals, strict=True)]


def _digit_sums(
    sizes: NDArray[np.uint64],
    signs: NDArray[np.int64] | np.int64,
    shifts: NDArray[np.int64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Sums of ``signs * sizes * 2**shifts``: (digits, m) of base 2^32, lowest first, not yet carried."""
    places, left = shifts >> 5, (shifts & 31).astype(np.uint64)
    low, high = (sizes & _DIGIT) << left, (sizes >> _BITS) << left
    parts = (low & _DIGIT, (low >> _BITS) + (high & _DIGIT), high >> _BITS)
    digits = [signs * part.view(np.int64) for part in parts]
    found = np.zeros((int(places.max(initial=0)) + 5, len(starts)), np.int64)
    for place in np.unique(places).tolist():
        here = places == place
        for above, digit in enumerate(digits):
            found[place + above] += differences(np.where(here, digit, 0), starts, stops)
    return found


def _integers(digits: NDArray[np.int64]) -> list[int]:
    """Carry digits of base 2^32, the last of which only takes the sign, and read each column as an integer."""
    for place in range(len(digits) - 1):
        digits[place + 1] += digits[place] >> 32
    data, size = np.ascontiguousarray(digits.T.astype("<u4")).tobytes(), 4 * len(digits)
    return [int.from_bytes(data[at : at + size], "little", signed=True) for at in range(0, len(data), size)]
