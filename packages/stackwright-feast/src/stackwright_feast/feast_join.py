"""The point-in-time join by Feast's offline store: label rows whole and in order, whatever Feast makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_feast.repository import OFFLINE_LOCK
from stackwright_feast.vendor import translated
from stackwright_interfaces.errors import FeatureStoreError

ROW: Final = "stackwright_row"
_TIME: Final = "event_timestamp"


def joined(
    store: Any, view: Any, keys: Mapping[str, Any], at: Any, features: Sequence[str], there: NDArray[np.bool_]
) -> dict[str, Any]:
    """Ask Feast for features of one view as of n labels.

    Args:
        store: Feast's store.
        view: Feast's view.
        keys: join key → Arrow array of n.
        at: Arrow array of n asked instants.
        features: names of features.
        there: which labels have a whole key, of n; Feast is asked for these.

    Returns:
        Feature → Arrow array of n, null where nothing matched or the key has a null part.

    Raises:
        FeatureStoreError: Feast fails, or gives back other rows than it was asked for.
    """
    asked = np.flatnonzero(there)
    if len(asked) == 0:
        return {name: pa.nulls(len(there)) for name in features}
    places = pa.array(asked)
    frame = pd.DataFrame({name: column.take(places).to_pandas() for name, column in keys.items()})
    frame[_TIME] = at.take(places).to_pandas()
    frame[ROW] = np.arange(len(asked))
    where = f"join of the Feast view {view.name!r}"
    with OFFLINE_LOCK, translated(where):
        answer = store.provider.get_historical_features(
            config=store.config,
            feature_views=[view],
            feature_refs=[f"{view.name}:{name}" for name in features],
            entity_df=frame,
            registry=store.registry,
            project=store.project,
            full_feature_names=True,
        ).to_arrow()
    order = _order(answer, len(asked), where)
    spread = np.full(len(there), len(asked))
    spread[asked] = order
    taken = pa.array(spread, mask=~there)
    return {name: _column(answer, f"{view.name}__{name}", where).take(taken) for name in features}


def _order(answer: Any, rows: int, where: str) -> NDArray[np.int64]:
    """Where each asked row stands in the answer."""
    found = answer.column(ROW).to_numpy().astype(np.int64) if ROW in answer.column_names else np.zeros(0, np.int64)
    if len(found) != rows or not np.array_equal(np.sort(found), np.arange(rows)):
        what = f"Feast gave back {len(found)} rows of {rows}"
        raise FeatureStoreError(where, what, "Use another offline_store in feature_store.yaml: duckdb keeps them all.")
    return np.argsort(found)


def _column(answer: Any, name: str, where: str) -> Any:
    if name not in answer.column_names:
        what = f"Feast gave back no column {name!r}"
        todo = "Check the view in the repository with: feast feature-views describe"
        raise FeatureStoreError(where, what, todo)
    return answer.column(name)
