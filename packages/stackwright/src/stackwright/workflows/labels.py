"""Ground truth: whatever says it and whenever it comes, it goes into the one label log of its target."""

from __future__ import annotations

from pathlib import Path

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.catalogue import in_file
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.tables import read_table
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.errors import UnknownName, UsageError
from stackwright_interfaces.types import BOOL, INT64


def choose_target(stack: Stack, name: str | None) -> Target:
    """Return a target by name; the only one, or the only one a model learns, where no name is given.

    Raises:
        UnknownName: there is none of this name.
        UsageError: several could be meant.
    """
    known = {target.name: target for target in stack.definitions.targets}
    if name is not None:
        if name not in known:
            raise UnknownName.of("target", name, known)
        return known[name]
    learned = {model.target for model in stack.blueprint.models.values()} & set(known) or set(known)
    if len(learned) != 1:
        raise UsageError(
            "--target", f"{len(learned)} targets are applied", f"Name one: {', '.join(sorted(known)) or 'none'}."
        )
    return known[learned.pop()]


def label(stack: Stack, path: Path, *, target: str | None = None) -> Outcome:
    """Add the labels of a file. Rows known already are passed over; rows that cannot be labels are set apart.

    Raises:
        DataError: the file is damaged or lacks a column that every label needs.
        UnknownName: no such target.
    """
    chosen = choose_target(stack, target)
    log = journal.labels(stack, chosen)
    fields = (*chosen.entity.keys, chosen.value, *chosen.request)
    flags = {log.names.censored: BOOL, log.names.retracted: BOOL, log.names.revision: INT64}
    types = {name: type_ for name, type_ in flags.items() if name}
    types |= {field.name: field.type for field in fields}
    table = read_table(path, in_file(chosen.source, types), nulls=chosen.source.nulls)
    done = log.ingest(table, source=path.name)
    notes = [f"{count:,} rows set apart: {reason}." for reason, count in done.reasons.items()]
    if done.assumed_utc:
        notes.append(f"{done.assumed_utc:,} times without a zone were taken as UTC; declare Source(time_zone=...).")
    data = {name: getattr(done, name) for name in done.__dataclass_fields__} | {"target": chosen.name}
    rows = [(done.rows, done.added, done.revisions, done.duplicates, done.quarantined)]
    title = f"Added {done.added:,} labels of {chosen.name}"
    headings = ("rows", "added", "of them revisions", "known already", "set apart")
    return Outcome(title, data, (Table(headings, rows),), tuple(notes))
