"""The scorer: keys or columns in, predictions out. The server, ``predict`` and ``score`` all call this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import FeatureRows, Status
from stackwright_serving.model import LoadedModel, Prediction
from stackwright_serving.refused import EntityNotFound

_NULL: Final = int(Status.NULL)  # enums are looked up, and compared by numpy, a hundred times as slowly


class FeatureReader(Protocol):
    """Reads features; every feature store does."""

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """See :meth:`stackwright_interfaces.feature_store.FeatureStore.read`."""
        ...


@dataclass(frozen=True)
class Scored:
    """What a scoring gives.

    Args:
        prediction: the answers.
        features: the features they came from, as read; ``None`` when the caller brought them.
        incomplete: row → names of inputs that were not found, expired or replaced by a default; and ``NAME (outside)``
            of those that lie outside of what the model answers for.
    """

    prediction: Prediction
    features: FeatureRows | None
    incomplete: Mapping[int, tuple[str, ...]]


class Scorer:
    """Scores with one model.

    Args:
        model: the model.
        features: where its features are read; ``None`` where callers bring them.
        refuse_missing: raise for a row none of whose stored features was found.
        service: the service that the model reads, where it is none of those applied.
    """

    def __init__(
        self,
        model: LoadedModel,
        features: FeatureReader | None,
        *,
        refuse_missing: bool = False,
        service: FeatureService | None = None,
    ) -> None:
        self.model = model
        self.service = service
        self._features = features
        self._refuse_missing = refuse_missing

    def by_keys(
        self,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> Scored:
        """Read the features of these keys and predict.

        Raises:
            FeatureStoreError: there is no feature store, or it failed.
            DataError: a key or request field is missing or of another type.
            EntityNotFound: nothing is stored of a row's entity, and the model refuses that.
            PredictionError: a row cannot be predicted.
        """
        if self._features is None:
            found = "there is no online store to look keys up in"
            raise FeatureStoreError("blueprint.toml [feature_store]", found, "Send the features, or add: online = ...")
        rows = self._features.read(self.model.manifest.service, keys, request, at=at, timeout=timeout)
        incomplete = _incomplete(rows, self.model.inputs)
        if self._refuse_missing:
            self._refuse_absent(rows)
        return _scored(self.model.predict(rows.columns), rows, incomplete)

    def by_rows(self, rows: FeatureRows) -> Scored:
        """Predict from features that were read for another model of the same service.

        Raises:
            PredictionError: a row cannot be predicted.
        """
        return _scored(self.model.predict(rows.columns), rows, _incomplete(rows, self.model.inputs))

    def by_columns(self, columns: Mapping[str, Any]) -> Scored:
        """Predict from features that the caller brings, as model columns.

        Raises:
            MissingColumn: an input is not there.
            PredictionError: a row cannot be predicted.
        """
        return _scored(self.model.predict(columns), None, {})

    def _refuse_absent(self, rows: FeatureRows) -> None:
        for view, events in rows.events.items():
            absent = np.flatnonzero(np.isnat(events))
            if absent.size:
                raise EntityNotFound(f"row {absent[0]}", f"no row of view {view} for its key", "Materialise it.")


def _scored(prediction: Prediction, rows: FeatureRows | None, incomplete: Mapping[int, tuple[str, ...]]) -> Scored:
    if prediction.outside:
        told = {row: tuple(f"{name} (outside)" for name in names) for row, names in prediction.outside.items()}
        both = sorted({*incomplete, *told})
        incomplete = {row: (*incomplete.get(row, ()), *told.get(row, ())) for row in both}
    return Scored(prediction, rows, incomplete)


def _any_odd(statuses: Any) -> bool:
    """Return whether a value is neither there nor null, whose codes are the lowest."""
    if len(statuses) == 1:  # where asking numpy costs more than all else here
        return bool(statuses.item() > _NULL)
    return bool(len(statuses)) and bool(statuses.max() > _NULL)


def _incomplete(rows: FeatureRows, inputs: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Return row → inputs that were not simply there; empty for a row that has all, which is the usual case.

    The statuses of many inputs are one array, as those of a view that was found; each array is looked at once.
    """
    arrays = {id(statuses): statuses for statuses in rows.statuses.values()}
    odd = {place: np.flatnonzero(array > _NULL).tolist() for place, array in arrays.items() if _any_odd(array)}
    found: dict[int, list[str]] = {}
    for name in inputs if odd else ():
        for row in odd.get(id(rows.statuses.get(name)), ()):
            found.setdefault(row, []).append(name)
    return {row: tuple(names) for row, names in found.items()}
