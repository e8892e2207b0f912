"""The market's time axis: whole seconds since the opening, at midnight UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import numpy as np

from stackwright_market.options import DAYS_OF_A_MONTH, MarketOptions, whole_days
from stackwright_market.streams import Floats, Ints

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MONTH: Final = round(DAYS_OF_A_MONTH * DAY)
"""Seconds of a mean Gregorian month."""
FILLING: Final = 9
"""Months in which the market fills, so that stock, sales and interest are level when valuations begin."""

_YEAR: Final = 12 * MONTH
_HOUR_WEIGHTS: Final = np.array(
    [1, 1, 1, 1, 1, 2, 4, 8, 10, 10, 9, 9, 11, 10, 8, 8, 8, 10, 13, 16, 18, 16, 9, 4], dtype=np.float64
)
_HOURS: Final[Floats] = np.concatenate([[0.0], np.cumsum(_HOUR_WEIGHTS) / _HOUR_WEIGHTS.sum()])


@dataclass(frozen=True)
class Clock:
    """Milestones in seconds since the opening.

    Args:
        opening: the opening, in seconds since 1970.
        start: the first valuations.
        split: history ends, live requests begin.
        shift: the planted shift strikes.
        end: nothing is known after it.
    """

    opening: int
    start: int
    split: int
    shift: int
    end: int

    @classmethod
    def of(cls, options: MarketOptions) -> Self:
        """Lay the milestones around the split, each at a midnight."""
        split = datetime.fromisoformat(options.split).replace(tzinfo=UTC)
        history = DAY * whole_days(options.months - options.live_months)
        filled = DAY * whole_days(FILLING)
        return cls(
            opening=int(split.timestamp()) - history - filled,
            start=filled,
            split=filled + history,
            shift=filled + history + DAY * whole_days(options.shift_month),
            end=filled + history + DAY * whole_days(options.live_months),
        )

    def micros(self, seconds: Ints) -> Ints:
        """Return microseconds since 1970."""
        return (seconds + self.opening) * 1_000_000

    def moment(self, seconds: int) -> datetime:
        """Return the instant, in UTC."""
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds + self.opening)

    def season(self, seconds: Ints, peak: float) -> Floats:
        """Return the yearly wave, from -1 to 1; ``peak`` is the share of the year that has passed at its height."""
        phase = (seconds + self.opening) / _YEAR
        wave: Floats = np.cos(2 * np.pi * (phase - peak))
        return wave


def time_of_day(rng: np.random.Generator, count: int) -> Ints:
    """Draw seconds since midnight as people are about: few at night, most in the evening."""
    drawn = np.interp(rng.random(count), _HOURS, np.arange(25) * float(HOUR))
    seconds: Ints = np.minimum(drawn.astype(np.int64), DAY - 1)
    return seconds
