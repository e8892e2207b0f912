"""Features of some rows, joined anew, for gates that hold them against what is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright_features.arrow import INSTANT, arrow_type, to_columns
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.feature_store import Watermark
from stackwright_numerics.columns import to_model_array

_ASKED: Final = "__asked"


def joined(
    stack: Stack,
    service: FeatureService,
    keys: Mapping[str, Any],
    asked: Any,
    *,
    known_by: bool = False,
    as_of: Mapping[str, Watermark] | datetime | None = None,
) -> dict[str, Any]:
    """Return the service's outputs as model columns.

    Args:
        keys: key and request columns of n rows.
        asked: when each row asks, ``datetime64[us]`` of n, UTC.
        known_by: pass over what was written down after the asked instant.
        as_of: pass over what was ingested after this.
    """
    fields = [*service.request_keys, *service.request]
    frame = {field.name: pa.array(list(keys[field.name]), type=arrow_type(field.type)) for field in fields}
    instants = pa.array(np.asarray(asked, dtype="datetime64[us]")).cast(INSTANT)
    table = pa.table({**frame, _ASKED: instants})
    found = pa.table(stack.features.join(service.ref, table, time=_ASKED, known_by=known_by, as_of=as_of))
    columns = to_columns(found, service.output_fields)
    return {field.name: to_model_array(columns[field.name], field.type) for field in service.output_fields}


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return column → which rows differ, a boolean array, of the columns that differ in any row; missing is equal."""
    found = {}
    for name, column in before.items():
        other = after[name]
        if column.dtype == object:
            unlike = np.array(
                [one != two for one, two in zip(column.tolist(), other.tolist(), strict=True)], dtype=bool
            )
        else:
            unlike = (column != other) & ~(_missing(column) & _missing(other))
        if unlike.any():
            found[name] = unlike
    return found


def _missing(column: Any) -> Any:
    return np.isnat(column) if column.dtype.kind == "M" else np.isnan(column)
