"""Rows that bring their features: a ready feature table, or what a view stores, from which transforms are computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stackwright_features.arrow import to_column
from stackwright_features.casts import cast
from stackwright_features.code import load_transforms
from stackwright_features.times import to_microseconds
from stackwright_features.transforms import Step, run
from stackwright_features.values import typed_column
from stackwright_interfaces.definitions import AT, FeatureService, Transform
from stackwright_interfaces.errors import MissingColumn
from stackwright_interfaces.types import Field
from stackwright_numerics.columns import to_model_array


class ReadyRows:
    """Makes the inputs of a model from a table.

    Args:
        inputs: the model's inputs.
        service: the service the model learned from, where it is applied; without it, every input must be in the table.
        project: where the code of transforms lies.
        present: columns that tables hold.

    Attributes:
        reads: columns that are read of a table, as far as it holds them.

    Raises:
        MissingColumn: an input is neither there nor computable from what is.
    """

    def __init__(
        self, inputs: Sequence[Field], service: FeatureService | None, project: Path, present: Sequence[str]
    ) -> None:
        self._inputs = inputs
        self._steps = _needed(inputs, service, present)
        given = {field.name: field for field in (service.all_fields if service else ())}
        given |= {field.name: field for field in inputs if field.name not in given}
        computed = {step.name for step in self._steps}
        wanted = [*(field.name for field in inputs), *(name for step in self._steps for name in step.inputs)]
        self._read = [given[name] for name in dict.fromkeys(wanted) if name not in computed and name != AT]
        self.reads = tuple(field.name for field in self._read)
        for field in self._read:
            if field.name not in present and not field.has_default:
                raise MissingColumn.of("input", field.name, present)
        functions = load_transforms(service, project) if service and self._steps else {}
        self._run = [Step(step, functions[step.name]) for step in self._steps]

    def columns(self, table: pa.Table, at: datetime) -> dict[str, Any]:
        """Return model columns of every input.

        Args:
            at: the asked instant of all rows.

        Raises:
            WrongType: a column cannot be what it is declared to be.
        """
        arrays = {field.name: _array(field, table) for field in self._read}
        instant = np.full(table.num_rows, np.datetime64(to_microseconds(at), "us"))
        arrays |= {name: array for name, _, array in run(self._run, arrays, instant, table.num_rows)}
        return {field.name: arrays[field.name] for field in self._inputs}


def _needed(inputs: Sequence[Field], service: FeatureService | None, present: Sequence[str]) -> list[Transform]:
    """Return the transforms to run, in order: those of inputs that are not there, and what these read."""
    steps = {step.name: step for step in service.transforms} if service else {}
    wanted = {field.name for field in inputs if field.name not in present}
    found = []
    for name, step in reversed(steps.items()):
        if name in wanted:
            found.append(step)
            wanted |= {read for read in step.inputs if read not in present}
    return found[::-1]


def _array(field: Field, table: pa.Table) -> Any:
    """Return a column as models have it; where the table lacks it, its default in every row."""
    if field.name in table.column_names:
        found = cast(table.column(field.name), field.type, where="input", name=field.name)
        return to_model_array(to_column(found, field.type), field.type)
    column = typed_column([field.default] * table.num_rows, field.type, where="input", name=field.name)
    return to_model_array(column, field.type)
