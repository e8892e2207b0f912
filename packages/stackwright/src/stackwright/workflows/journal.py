"""A project's journal, wherever the blueprint puts it: predictions and labels, to write and to read."""

from __future__ import annotations

from pathlib import Path

from stackwright.assembly.secrets import Secret
from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.storage import Storage
from stackwright_journal.decisions import DecisionLog
from stackwright_journal.labels import LabelLog
from stackwright_journal.list_reading import ListReader
from stackwright_journal.places import open_lists, open_reader, open_segments
from stackwright_journal.reading import PredictionReader
from stackwright_journal.segments import Segments
from stackwright_numerics.drift import Limits
from stackwright_storage import open_storage


def url_of(stack: Stack) -> str:
    """Return where the journal is.

    Raises:
        BlueprintError: the secret that holds it cannot be read.
    """
    place = stack.blueprint.journal
    if isinstance(place, Secret):
        return place.reveal("blueprint.toml [journal] path", stack.project.folder)
    return stack.url(place)


def storage(stack: Stack) -> Storage:
    """Return the storage of the journal."""
    return open_storage(url_of(stack))


def decisions(stack: Stack, model: str) -> DecisionLog:
    """Return what was found, decided and done about a model."""
    return DecisionLog(storage(stack), model, clock=stack.clock, who=who())


def limits(stack: Stack) -> Limits:
    """Return the limits of the columns that the blueprint sets."""
    monitor = stack.blueprint.monitor
    return Limits(psi=monitor.psi, ks=monitor.psi, missing=monitor.missing, minimum=monitor.min_rows)


def segments(stack: Stack) -> Segments:
    """Return where a prediction log writes to; what is no folder is written here first and shipped then."""
    return open_segments(url_of(stack), spool=_spool(stack))


def predictions(stack: Stack) -> PredictionReader:
    """Return the reader of the predictions, those included that wait here to be shipped."""
    return open_reader(url_of(stack), spool=_spool(stack))


def lists(stack: Stack) -> ListReader:
    """Return the reader of the lists, those included that wait here to be shipped."""
    return open_lists(url_of(stack), spool=_spool(stack))


def labels(stack: Stack, target: Target) -> LabelLog:
    """Return the label log of a target."""
    return LabelLog(storage(stack), target, clock=stack.clock)


def _spool(stack: Stack) -> Path:
    return stack.project.state / "spool"
