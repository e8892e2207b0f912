"""Rows that cannot be scored, told apart from those that can, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from stackwright.workflows.batch.answering import Answered
from stackwright_interfaces.errors import DataError, MissingColumn, ModelError, PredictionError

REASON: Final = "rejected_because"

Answer = Callable[[pa.Table], Answered]
"""Types the columns of some rows, and scores them."""


@dataclass
class Sifted:
    """Rows of a batch, told apart.

    Args:
        answered: rows with what they were answered, in order.
        rejected: rows as they came, with their reason.
    """

    answered: list[Answered] = field(default_factory=list)
    rejected: list[tuple[pa.Table, str]] = field(default_factory=list)


def sift(rows: pa.Table, answer: Answer, most: int) -> Sifted:
    """Score rows; where some cannot be, find them by halving.

    Args:
        most: rejected rows after which it is given up, since what is wrong is no matter of rows.

    Raises:
        MissingColumn: a column is not there at all.
        DataError: more rows are rejected than may be; with the first reason.
    """
    found = Sifted()
    _sift(rows, answer, most, found)
    return found


def _sift(rows: Any, answer: Answer, most: int, found: Sifted) -> None:
    try:
        found.answered.append(answer(rows))
    except MissingColumn:
        raise
    except (DataError, PredictionError, ModelError) as error:
        if rows.num_rows > 1:
            half = rows.num_rows // 2
            _sift(rows.slice(0, half), answer, most, found)
            _sift(rows.slice(half), answer, most, found)
            return
        found.rejected.append((rows, str(error)))
        if len(found.rejected) > most:
            told = f"more than {most:,} rows cannot be scored; the first: {found.rejected[0][1]}"
            raise DataError("score", told, "Mend the rows, or allow more: --max-rejected.") from error


def with_reasons(rejected: list[tuple[pa.Table, str]]) -> pa.Table:
    """Return rejected rows in one table, with their reasons in a last column."""
    tables = [table.append_column(REASON, pa.array([reason])) for table, reason in rejected]
    return pa.concat_tables(tables, promote_options="permissive")
