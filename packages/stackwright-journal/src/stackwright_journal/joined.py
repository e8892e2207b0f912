"""Predictions beside their truths: what is known of each, and how long it was watched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import microseconds
from stackwright_features.times import to_microseconds
from stackwright_journal.label_columns import Mask

_DAY_US: Final = 86_400_000_000


class Maturity(StrEnum):
    """What is known of a prediction's truth."""

    MATURED = "matured"
    """Its label is here."""

    CENSORED = "censored"
    """A label says that the truth had not come when it was last looked for."""

    SUPERSEDED = "superseded"
    """The truth came, but a later prediction of the same model, version and arm is compared with it."""

    LAPSED = "lapsed"
    """No truth came within the target's horizon."""

    PENDING = "pending"
    """The truth may still come."""


STATES: Final = pa.array([state.value for state in Maturity], pa.string())
MATURED, CENSORED, SUPERSEDED, LAPSED, PENDING = range(len(Maturity))
"""Their places."""


@dataclass(frozen=True)
class Joined:
    """Predictions with their labels.

    Args:
        table: ``pyarrow.Table``, the predictions in their order with all their columns, and behind them ``status`` (a
            :class:`Maturity`, as a dictionary array), ``label_id``, ``target`` (the truth), ``happened_at``,
            ``observed_at``, ``delay_days`` from the prediction until its truth was observed, and where the target has
            lists ``group``; null where no label was found.
        at: the instant of the report: labels observed later were passed over.
        time: the column that was taken for the predictions' time.
        labels: labels that were looked at.
        unmatched: labels that no prediction was found for, strictly before they happened and within the horizon.
        unknown: labels that name a prediction which is not among these.
        early: labels that happened before, or as, the prediction they name was made.
    """

    table: Any
    at: datetime
    time: str
    labels: int
    unmatched: int
    unknown: int
    early: int

    @cached_property
    def states(self) -> NDArray[np.int8]:
        """The place of each row's ``status`` in :class:`Maturity`."""
        return states(self.table)

    @cached_property
    def followed(self) -> Followed:
        """How long each prediction that is not superseded was watched."""
        return Followed.of(self)


@dataclass(frozen=True)
class Followed:
    """How long predictions were watched.

    Args:
        watched: days that each was watched, until its truth came or to the present.
        matured: whether its truth came then.
    """

    watched: NDArray[np.float64]
    matured: Mask

    @classmethod
    def of(cls, joined: Joined) -> Followed:
        """Read joined predictions; superseded ones are passed over."""
        state = joined.states
        made = microseconds(joined.table.column(joined.time))
        until = np.full(made.size, to_microseconds(joined.at))
        seen = np.flatnonzero((state == MATURED) | (state == CENSORED))  # few of many
        until[seen] = microseconds(joined.table.column("observed_at").take(pa.array(seen)))
        watched, counts = (until - made) / _DAY_US, state != SUPERSEDED
        return cls(watched, state == MATURED) if counts.all() else cls(watched[counts], state[counts] == MATURED)

    @cached_property
    def delays(self) -> NDArray[np.float64]:
        """Days until each truth came, in the order of the predictions."""
        return self.watched[self.matured]

    @cached_property
    def came(self) -> NDArray[np.float64]:
        """The same, ascending."""
        return np.sort(self.delays)

    @cached_property
    def waiting(self) -> NDArray[np.float64]:
        """Days that the others were watched, ascending. They come nearly in order, of which a merge sort makes use."""
        return np.sort(self.watched[~self.matured], kind="stable")


def states(table: Any) -> NDArray[np.int8]:
    """Return for each row of a joined table the place of its ``status`` in :class:`Maturity`."""
    column = table.column("status").combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    coded = pa.types.is_dictionary(column.type) and column.dictionary.equals(STATES)
    places = column.indices if coded else pc.index_in(column, value_set=STATES)
    found: NDArray[np.int8] = places.cast(pa.int8()).to_numpy()
    return found
