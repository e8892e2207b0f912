"""The rows that a published version learned from, built again as they were known then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import Rows
from stackwright.workflows.datasets.pins import Pin
from stackwright.workflows.datasets.rules import Learned
from stackwright.workflows.datasets.spreading import rows_in
from stackwright.workflows.rows.tables import write_tables
from stackwright.workflows.training.publishing import REFIT
from stackwright.workflows.versions import provenance
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.errors import TrainingError, UsageError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_numerics.split import TemporalSplit


@dataclass(frozen=True)
class Rebuilt:
    """Rows built again.

    Args:
        part: the settings of the training.
        rows: all rows, as they go into a training.
        learned: those that were learned from.
        differences: why they are not the rows that the version learned from; empty where they are.
    """

    part: ModelPart
    rows: Rows
    learned: Rows
    differences: tuple[str, ...] = ()


@contextmanager
def rebuilt(stack: Stack, version: ModelVersion, *, files: bool | None = None) -> Iterator[Rebuilt]:
    """Build the rows of a version's training again: its settings, labels and features as they were known then.

    Args:
        files: as :func:`~stackwright.workflows.datasets.spreading.rows_in` has it; rows in files last as long.

    Raises:
        TrainingError: it was not trained by ``train``, or there are no such labels any more.
        UnknownName: its service or target is not applied any more.
    """
    origin = version.record.get("origin")
    if isinstance(origin, Mapping):
        found = f"it was published from a {origin.get('kind', 'notebook')}, which keeps its rows and its estimator"
        raise TrainingError(version.ref, found, "Run the notebook again.")
    manifest = Manifest.read(stack.registry.fetch(version))
    part = provenance.part_of(stack, version)
    pinned = provenance.of(version).get("pin")
    with rows_in(stack, part, pin=Pin.from_json(pinned) if pinned else None, files=files) as build:
        rows = learned = build()
        if not manifest.parameters.get(REFIT):
            ((learned, _),) = rows.split(TemporalSplit(folds=1, holdout=part.holdout))
        learned = learned.through(Learned.of(part, learned))
        yield Rebuilt(part, rows, learned, tuple(_differences(stack, manifest, learned, pinned)))


def _differences(stack: Stack, manifest: Manifest, learned: Rows, pinned: Any) -> Iterator[str]:
    now = learned.fingerprint()
    if now["sha256"] == manifest.data.get("sha256"):
        return
    then = manifest.data
    if now["rows"] != then.get("rows"):
        yield f"There are {now['rows']:,} rows to learn from; there were {then.get('rows'):,}."
    else:
        yield f"There are as many rows to learn from as then ({now['rows']:,}), with other values."
    changed = changed_definitions(stack, manifest)
    yield from changed
    if built_of_own_data(stack, manifest):
        yield "Its rows come from elsewhere than the feature store, and were read as they are there now."
    elif not pinned:
        yield "The version's record does not say how much was known then: everything known now was taken."
    elif pinned["views"] is None:
        yield "The feature store cannot say what it knew then: every row it has now was taken."
    elif not changed:
        yield "Nothing says why: rows of it were deleted since, or the store was written past stackwright."


def built_of_own_data(stack: Stack, manifest: Manifest) -> bool:
    """Return whether a model learned from a file or database of its own."""
    return any(service.ref == manifest.service for service in stack.implied.services)


def changed_definitions(stack: Stack, manifest: Manifest) -> list[str]:
    """Return which definitions mean something else now than when a model learned from them."""
    services = (*stack.definitions.services, *stack.implied.services)
    targets = (*stack.definitions.targets, *stack.implied.targets)
    kinds: tuple[tuple[str, Any], ...] = (
        ("service", {item.ref: item for item in services}),
        ("view", {item.ref: item for item in stack.definitions.views}),
        ("target", {item.name: item for item in targets}),
    )
    found = []
    for name, then in manifest.definitions.items():
        known = [(kind, items[name]) for kind, items in kinds if name in items]
        if not known:
            found.append(f"{name} is not defined any more.")
        elif then not in [meaning(item) for _, item in known]:
            found.append(f"The {known[0][0]} {name} means something else now.")
    applied = {step.name: step.code for item in services for step in item.transforms}
    return found + [
        f"The transform {name} is other code now."
        for name, code in manifest.transforms.items()
        if applied.get(name) != code
    ]


def check_parquet(path: Path) -> None:
    """See that rows can be written into a file.

    Raises:
        UsageError: it does not end in ``.parquet``.
    """
    if path.suffix.lower() != ".parquet":
        raise UsageError(str(path), "is no Parquet file", "Give a file that ends in .parquet: it keeps the types.")


def write_rows(built: Rebuilt, path: Path) -> None:
    """Write what was learned from: keys, the instants asked and observed, inputs, and the target.

    Raises:
        DataError: it cannot be written.
    """
    learned, target = built.learned, built.part.target
    schemas = [_table(rows, target).schema for rows in learned.datasets(keys=True)]  # a part may hold no value of a key
    schema = pa.unify_schemas(schemas, promote_options="permissive")
    write_tables(schema, (_table(rows, target).cast(schema) for rows in learned.datasets(keys=True)), path)


def _table(rows: Dataset, target: str) -> pa.Table:
    columns: dict[str, Any] = {**rows.keys, "asked_at": rows.asked, "observed_at": rows.observed, **rows.columns}
    columns[target] = rows.target
    return pa.table({name: _array(values) for name, values in columns.items()})


def _array(values: Any) -> pa.Array:
    if values.dtype.kind == "f":
        return pa.array(values, from_pandas=True)
    return pa.array(values.tolist() if values.dtype == object else np.ascontiguousarray(values))
