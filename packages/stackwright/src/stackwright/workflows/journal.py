"""A project's journal, wherever the blueprint puts it: predictions and labels, to write and to read."""

from __future__ import annotations

from pathlib import Path

from stackwright.assembly.stack import Stack
from stackwright_interfaces.definitions import Target
from stackwright_journal.labels import LabelLog
from stackwright_journal.places import open_reader, open_segments
from stackwright_journal.reading import PredictionReader
from stackwright_journal.segments import Segments


def segments(stack: Stack) -> Segments:
    """Return where a prediction log writes to; what is no folder is written here first and shipped then."""
    return open_segments(stack.url(stack.blueprint.journal), spool=_spool(stack))


def predictions(stack: Stack) -> PredictionReader:
    """Return the reader of the predictions, those included that wait here to be shipped."""
    return open_reader(stack.url(stack.blueprint.journal), spool=_spool(stack))


def labels(stack: Stack, target: Target) -> LabelLog:
    """Return the label log of a target."""
    return LabelLog(stack.context.storage(stack.blueprint.journal), target, clock=stack.clock)


def _spool(stack: Stack) -> Path:
    return stack.project.state / "spool"
