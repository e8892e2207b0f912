"""Ground truth: whatever says it and whenever it comes, it goes into the one label log of its target."""

from __future__ import annotations

from pathlib import Path

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.features.catalogue import in_file
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.csv_misfits import by_line
from stackwright.workflows.rows.sources import rows_of
from stackwright_interfaces.definitions import Target
from stackwright_interfaces.errors import UnknownName, UsageError
from stackwright_interfaces.types import BOOL, INT64, TIMESTAMP


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
    if not known and stack.blueprint.recommenders:
        raise UsageError("--target", "no target is applied", "For clicks on lists add: --clicks")
    if not known:
        raise UsageError("--target", "no target is applied", "Define one in features.py and run: stackwright apply")
    if len(learned) != 1:
        raise UsageError("--target", f"{len(learned)} targets are applied", f"Name one: {', '.join(sorted(known))}.")
    return known[learned.pop()]


def label(
    stack: Stack,
    source: Path | str,
    *,
    target: str | None = None,
    table: str | None = None,
    query: str | None = None,
) -> Outcome:
    """Add the labels of a source. Rows known already are passed over; rows that cannot be labels are set apart.

    Args:
        source: as :func:`stackwright.workflows.rows.sources.rows_of` has it.
        table: the table of a database.
        query: a SELECT for a database, instead.

    Raises:
        UsageError: there is no such source.
        DataError: the rows are damaged or lack a column that every label needs.
        UnknownName: no such target.
        StorageError: bucket or database cannot be reached.
    """
    chosen = choose_target(stack, target)
    log = journal.labels(stack, chosen)
    fields = (*chosen.entity.keys, chosen.value, *chosen.request)
    names = log.names
    flags = {names.censored: BOOL, names.retracted: BOOL, names.revision: INT64}
    flags |= dict.fromkeys((names.asked, names.happened, names.observed), TIMESTAMP)
    types = {name: type_ for name, type_ in flags.items() if name}
    types |= {field.name: field.type for field in fields}
    declared = in_file(chosen.source, types)
    given = rows_of(stack, source, declared, table=table, query=query, nulls=chosen.source.nulls)
    with given as rows, by_line(rows.files, declared, chosen.source):
        done = log.ingest(rows, source=rows.name)
    notes = [*rows.notes]
    notes += [f"{count:,} rows set apart: {reason}." for reason, count in done.reasons.items()]
    if done.assumed_utc:
        notes.append(f"{done.assumed_utc:,} times without a zone were taken as UTC; declare Source(time_zone=...).")
    data = {name: getattr(done, name) for name in done.__dataclass_fields__} | {"target": chosen.name}
    counts = [(done.rows, done.added, done.revisions, done.duplicates, done.quarantined)]
    title = f"Added {done.added:,} labels of {chosen.name}"
    headings = ("rows", "added", "of them revisions", "known already", "set apart")
    return Outcome(title, data, (Table(headings, counts),), tuple(notes))
