"""What can be chosen about the market, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Final, Self

from stackwright_interfaces.errors import UsageError, did_you_mean

BLUEPRINTS: Final = ("realtime", "batch", "recommender")

DAYS_OF_A_MONTH: Final = 30.436875
"""Of a mean Gregorian month."""

_LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "seed": (0, 2**63 - 1),
    "listings": (200, 5_000_000),
    "events": (1_000, 100_000_000),
    "persons": (50, 5_000_000),
    "months": (6, 120),
    "live_months": (2, 60),
    "shift": (0.3, 3.0),
    "shift_month": (0, 59),
    "dirt": (0.0, 0.5),
}


@dataclass(frozen=True, kw_only=True)
class MarketOptions:
    """What can be chosen about the market.

    Args:
        seed: the same seed and options give the same bytes.
        listings: homes put on the market in all, those of the months that fill the market included.
        events: searches, impressions, clicks, other views, contacts and visits they lead to, met within a few percent.
            Offers, and the visits before them, follow the listings.
        persons: people who look for a home.
        months: months of valuations, before and after the split. Before them the market fills for nine more.
        live_months: how many of the months lie after the split.
        split: the day, at midnight UTC, that separates history from what is served live.
        shift: factor on prices that strikes one district; 1 plants no shift.
        shift_month: months after the split at which it strikes.
        dirt: share of the listings' rows with a fault: missing, impossible, in the wrong unit or sent twice.
    """

    seed: int = 7
    listings: int = 16_000
    events: int = 250_000
    persons: int = 4_000
    months: int = 24
    live_months: int = 8
    split: str = "2025-07-01"
    shift: float = 0.8
    shift_month: float = 1.0
    dirt: float = 0.05

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """Read options as a command line gives them: numbers, or texts of numbers.

        Raises:
            UsageError: an unknown option, or a value that is none or lies outside its limits.
        """
        defaults = {item.name: item.default for item in fields(cls)}
        for name in options:
            if name not in defaults:
                todo = did_you_mean(name, defaults) or f"Choose from: {', '.join(defaults)}."
                raise UsageError("sample market", f"no option {name!r}", todo)
        read = cls(**{name: _value(name, value, type(defaults[name])) for name, value in options.items()})
        if read.live_months > read.months - 3:
            found = f"live_months is {read.live_months} of {read.months} months"
            raise UsageError("sample market", found, "Leave at least three months of history.")
        if whole_days(read.shift_month) >= whole_days(read.live_months):
            found = f"shift_month is {read.shift_month:g}, live_months {read.live_months}"
            raise UsageError("sample market", found, "Let the shift strike a day or more before the sample ends.")
        return read


def whole_days(months: float) -> int:
    """Return how many days so many months last, to the nearest midnight."""
    return round(months * DAYS_OF_A_MONTH)


def _value(name: str, value: Any, kind: type) -> Any:
    where = f"sample market, option {name!r}"
    if kind is str:
        return _day(where, value)
    try:
        number = kind(value)
        whole = not isinstance(value, float) or number == value
    except (TypeError, ValueError, OverflowError):
        whole, number = False, kind()
    if not whole or isinstance(value, bool):
        article = "a whole number" if kind is int else "a number"
        raise UsageError(where, f"{value!r} is not {article}", f"Give {article}.")
    low, high = _LIMITS[name]
    if not low <= number <= high:
        raise UsageError(where, f"{value!r} is out of range", f"Give a number from {low:g} to {high:g}.")
    return number


def _day(where: str, value: Any) -> str:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise UsageError(where, f"{value!r} is not a date", "Write it as YYYY-MM-DD.") from error
