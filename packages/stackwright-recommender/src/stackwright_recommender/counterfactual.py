"""What a challenger would have earned, from lists that were logged with positions, propensities and clicks.

The estimates are those of :mod:`stackwright_numerics.counterfactual`; a log is read from a table here.
"""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from stackwright_interfaces.errors import DataError, MissingColumn
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
            DataError: there are no rows, or a value is out of range.
        """
        table = pa.table(rows) if hasattr(rows, "__arrow_c_stream__") else pa.Table.from_pylist(list(rows))
        for name in (*_COLUMNS, "item"):
            if name not in table.column_names:
                raise MissingColumn.of("log", name, table.column_names)
        if not table.num_rows:
            raise DataError("log", "no rows", "Give lists that were shown.")
        numbers: dict[str, Any] = {
            name: np.asarray(table.column(name).to_numpy(), dtype=np.float64) for name in _COLUMNS[1:]
        }
        lists = table.column("list").combine_chunks().dictionary_encode().indices.to_numpy()
        items = np.array(table.column("item").to_pylist(), dtype=object)
        return cls(number=lists.astype(np.int64), item=items, **numbers)
