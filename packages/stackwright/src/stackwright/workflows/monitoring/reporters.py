"""The reporters of the blueprint: each writes its page, and one that fails keeps back nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.spreading import rows_in
from stackwright.workflows.monitoring.subject import Watched
from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.monitor import MonitorResult

ROWS: Final = 20_000
"""Rows of either side that reporters are shown."""


def run(
    stack: Stack, watched: Watched, current: pa.Table, folder: Path
) -> tuple[dict[str, MonitorResult], dict[str, str]]:
    """Return reporter → what it made, and reporter → why it made nothing.

    Args:
        current: rows of the window, under the names of the model's inputs.
        folder: where the pages go.
    """
    pages: dict[str, MonitorResult] = {}
    problems: dict[str, str] = {}
    if not stack.blueprint.monitor.reports:
        return pages, problems
    reference = _reference(stack, watched)
    for done, (name, monitor) in enumerate(stack.reporters().items()):
        stack.progress(f"report {name}", done, len(stack.blueprint.monitor.reports))
        try:
            pages[name] = monitor.compare(reference, current, watched.signature, folder)
        except StackwrightError as error:
            problems[name] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the numbers are not its to hold back
            problems[name] = f"it failed ({type(error).__name__}: {error})"
    stack.progress("report", 1, 1)
    return pages, problems


def _reference(stack: Stack, watched: Watched) -> pa.Table:
    """Return rows as the model learned them, with its answers and the truth."""
    with rows_in(stack, stack.model(watched.name), known_at=watched.version.created) as build:
        rows = build().thinned(ROWS)
    columns = {field.name: pa.array(rows.columns[field.name], from_pandas=True) for field in watched.signature.inputs}
    answer = watched.model.predict(rows.columns).value
    return pa.table({**columns, "prediction": answer, "target": rows.target})
