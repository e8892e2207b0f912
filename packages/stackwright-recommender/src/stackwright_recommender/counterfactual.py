"""What a challenger would have earned, from lists that were logged with positions, propensities and clicks.

The estimates are those of :mod:`stackwright_numerics.counterfactual`; a log is read from a table here.
"""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_numerics import counterfactual
from stackwright_numerics.counterfactual import CLIP, Replay, chosen_by, examination, replay

__all__ = ["CLIP", "Logged", "Replay", "chosen_by", "examination", "replay"]

_COLUMNS: Final = ("list", "position", "propensity", "clicked")


class Logged(counterfactual.Logged):
    """Rows of logged lists, a row an item that was shown."""

    @classmethod
    def of(cls, rows: Any) -> Self:
        """Read a table with columns ``list``, ``item``, ``position``, ``propensity`` and ``clicked``.

        Args:
            rows: a table (``__arrow_c_stream__``), or a sequence of mappings as ``Recommendations.log`` gives them,
                with ``clicked`` added.

        Raises:
            MissingColumn: a column is not there.
            DataError: there are no rows, a list has no name, or a value is out of range.
            WrongType: a position, propensity or click is no number.
        """
        table = pa.table(rows) if hasattr(rows, "__arrow_c_stream__") else pa.Table.from_pylist(list(rows))
        for name in (*_COLUMNS, "item"):
            if name not in table.column_names:
                raise MissingColumn.of("log", name, table.column_names)
        if not table.num_rows:
            raise DataError("log", "no rows", "Give lists that were shown.")
        if table["list"].null_count:
            raise DataError("log", f"column 'list' holds {table['list'].null_count} nulls", "Give every row its list.")
        numbers: dict[str, Any] = {name: _numbers(table, name) for name in _COLUMNS[1:]}
        lists = table["list"].combine_chunks().dictionary_encode().indices.to_numpy()
        items = np.array(table.column("item").to_pylist(), dtype=object)
        return cls(number=lists.astype(np.int64), item=items, **numbers)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(table[name].to_numpy(), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise WrongType("log", f"column {name!r} holds {table[name].type} ({error})", "Give numbers.") from error
