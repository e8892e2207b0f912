"""A feature store that stores nothing: every feature comes with the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from stackwright_features.values import count_rows, typed_columns
from stackwright_interfaces.definitions import Definitions, FeatureService
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import FeatureRows, FeatureStore, Status
from stackwright_numerics.columns import to_model_array


class RequestStore(FeatureStore):
    """Answers for a service whose every feature comes with the request; it stores nothing."""

    def __init__(self, service: FeatureService) -> None:
        self._service = service

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        """Return the request fields as features."""
        del keys, timeout
        where = f"read of {service}"
        columns = typed_columns(self._service.request, request or {}, where=where)
        count_rows(where, columns)
        present, null = np.array(Status.PRESENT), np.array(Status.NULL)
        return FeatureRows(
            names=tuple(columns),
            columns={field.name: to_model_array(columns[field.name], field.type) for field in self._service.request},
            statuses={name: np.where(column.valid, present, null) for name, column in columns.items()},
            at=at or datetime.now(UTC),
        )

    def join(self, service: str, labels: Any, **options: Any) -> Any:
        """Return the labels: they hold the features."""
        del service, options
        return labels

    def apply(self, definitions: Definitions) -> None:
        """Take note of nothing."""

    def ingest(self, view: str, table: Any) -> Any:
        """Refuse.

        Raises:
            FeatureStoreError: always.
        """
        del view, table
        raise self._empty()

    def materialize(self, views: Sequence[str] = (), **options: Any) -> Any:
        """Refuse.

        Raises:
            FeatureStoreError: always.
        """
        del views, options
        raise self._empty()

    def delete(self, entity: str, keys: Mapping[str, Sequence[Any]]) -> int:
        """Remove nothing: nothing is stored."""
        del entity, keys
        return 0

    def close(self) -> None:
        """Release nothing."""

    def _empty(self) -> FeatureStoreError:
        return FeatureStoreError(self._service.ref, "its features come with the request", "Send them there.")
