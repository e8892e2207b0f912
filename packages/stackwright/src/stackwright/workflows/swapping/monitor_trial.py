"""Reporters on trial: each compares the rows a model learns from with newer ones, and with none at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from stackwright.assembly.plan import Choice
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.spreading import rows_in
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.swapping.trial import Workload, now, timed
from stackwright.workflows.training.train import check_enough, takes
from stackwright_interfaces.errors import MonitorError
from stackwright_interfaces.model import Signature
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.plugin import Progress
from stackwright_numerics.split import TemporalSplit

ROWS: Final = 20_000
"""Rows of either side."""


@dataclass(frozen=True)
class MonitorWorkload(Workload):
    """Two sets of rows.

    Args:
        reference: ``pyarrow.Table`` of rows as a model learns them.
        current: newer ones.
        signature: the model's inputs.
        origin: where all this comes from, for people.
    """

    reference: Any
    current: Any
    signature: Signature
    origin: str

    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Report on newer rows, of which a page must come, on none, and on rows that are all null."""
        monitor: Monitor = scratch.build(choice, now)
        empty = pa.table({name: pa.nulls(len(self.current), column.type) for name, column in _columns(self.current)})
        asked = {"no rows": self.current.slice(0, 0), "rows that are all null": empty}
        try:
            self._report(monitor, "newer rows", self.current, scratch.folder, answers)
            for done, (case, rows) in enumerate(asked.items(), 1):
                progress(f"trial of {choice.spec.name}", done, 1 + len(asked))
                try:
                    self._report(monitor, case, rows, scratch.folder, answers)
                except MonitorError:
                    answers.add("report", case, **{"a page is made": False})
        finally:
            monitor.close()
        progress(f"trial of {choice.spec.name}", 1, 1)

    def _report(self, monitor: Monitor, case: str, rows: Any, folder: Path, answers: Answers) -> None:
        out = folder / case.replace(" ", "_")
        out.mkdir()
        found = timed(answers, f"report on {case}", monitor.compare, self.reference, rows, self.signature, out)
        size = found.page.stat().st_size if found.page.is_file() else 0
        answers.add("report", case, **{"a page is made": size > 0})
        answers.told[f"columns found on, {case}"] = float(len(found.findings))
        answers.told[f"columns skipped, {case}"] = float(len(found.skipped))
        answers.told[f"bytes of the page, {case}"] = float(size)


def record(stack: Stack) -> MonitorWorkload:
    """Take down rows of the blueprint's first model, cut by time.

    Raises:
        BlueprintError: the blueprint has no model.
        TrainingError: there are too few labels.
    """
    part = next(iter(stack.blueprint.models.values()), None) or stack.model()
    stack.progress("recording", 0, 1)
    with rows_in(stack, part) as build:
        rows = build()
        check_enough(part, rows, "Bring more labels: stackwright label FILE")
        ((older, newer),) = rows.split(TemporalSplit(folds=1, holdout=part.holdout))
        signature = takes(stack, part, older)
        before, after = (_table(some.thinned(ROWS), signature) for some in (older, newer))
    stack.progress("recording", 1, 1)
    return MonitorWorkload(before, after, signature, f"{len(rows):,} rows of {part.name}")


def _table(rows: Dataset, signature: Signature) -> Any:
    columns = {field.name: pa.array(rows.columns[field.name], from_pandas=True) for field in signature.inputs}
    return pa.table({**columns, "target": rows.target})


def _columns(table: Any) -> list[tuple[str, Any]]:
    return list(zip(table.column_names, table.columns, strict=True))
