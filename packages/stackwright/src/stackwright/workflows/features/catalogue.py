"""Features: apply definitions, ingest rows, bring them online, find what others defined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from stackwright.assembly.model_part import is_data_service
from stackwright.assembly.stack import Stack
from stackwright.workflows.features import sharing
from stackwright.workflows.features.ingestion import add_rows
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.csv_misfits import by_line
from stackwright.workflows.rows.sources import rows_of
from stackwright_interfaces.definitions import Definitions, FeatureView, Source
from stackwright_interfaces.errors import DefinitionError, UnknownName, UsageError
from stackwright_interfaces.imports import with_entities
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.types import TIMESTAMP, Type


def apply(stack: Stack) -> Outcome:
    """Run ``features.py`` in a child process and make what it defines the definitions in force.

    Raises:
        DefinitionError: the file fails, or removes a service that a served model reads.
        BlueprintProblems: a model of the blueprint reads what is no longer, or not yet, defined.
        VersionRequired: a meaning changed under an unchanged version, here or in the shared catalogue.
    """
    from stackwright_features.code import collect_in_child

    definitions = collect_in_child(stack.project.features)
    before = stack.definitions
    stack.plan_for(definitions)
    _refuse_removal(stack, definitions)
    notes = sharing.check_shared(stack, definitions)
    stack.features.apply(definitions)
    sharing.publish(stack, definitions)
    stack.project.save_definitions(definitions)
    stack.definitions = definitions
    rows = [
        ("entities", [entity.name for entity in definitions.entities]),
        ("views", [view.ref for view in definitions.views]),
        ("services", [service.ref for service in definitions.services]),
        ("targets", [target.name for target in definitions.targets]),
    ]
    changed = definitions != before
    title = "Applied" if changed else "Nothing changed since the last time"
    return Outcome(title, {"changed": changed, **dict(rows)}, (Table(("kind", "names"), rows),), notes)


def _refuse_removal(stack: Stack, definitions: Definitions) -> None:
    if "registry" not in stack.plan.choices:
        return
    kept = {service.ref for service in definitions.services}
    versions, _ = stack.registry.history()
    for version in versions:
        if version.aliases:
            service = Manifest.read(stack.registry.fetch(version)).service
            if service and service not in kept and not is_data_service(service):
                found = f"service {service!r} is gone, and {version.ref} ({', '.join(version.aliases)}) reads it"
                raise DefinitionError("features.py", found, "Keep it until no alias names a model that reads it.")


def find_view(definitions: Definitions, name: str) -> FeatureView:
    """Return a view by ``name@version``, or by name alone: its newest version.

    Raises:
        UnknownName: there is none.
    """
    found = [view for view in definitions.views if name in (view.ref, view.name)]
    if not found:
        raise UnknownName.of("view", name, [view.ref for view in definitions.views])
    return found[-1]


def in_file(source: Source, types: dict[str, Type]) -> dict[str, Type]:
    """Return the types by the names that the columns have in files."""
    renamed = {field: column for column, field in source.rename.items()}
    return {renamed.get(name, name): type_ for name, type_ in types.items()}


def ingest(stack: Stack, view: str, source: object, *, table: str | None = None, query: str | None = None) -> Outcome:
    """Add the rows of a source to a view: of files, of a table or query of a database, of a frame. All or nothing.

    Args:
        source: as :func:`stackwright.workflows.rows.sources.rows_of` has it, or rows: anything with
            ``__arrow_c_stream__``.
        table: the table of a database.
        query: a SELECT for a database, instead.

    Raises:
        UnknownName: no such view.
        UsageError: there is no such source.
        DataError: the rows are damaged or do not fit the view.
        StorageError: bucket or database cannot be reached.
    """
    chosen = find_view(stack.definitions, view)
    sharing.refuse_foreign(stack, chosen)
    if not isinstance(source, str | Path):
        if not hasattr(source, "__arrow_c_stream__"):
            found = f"rows came as {type(source).__name__}, which Arrow cannot read"
            raise UsageError(f"view {chosen.name!r}", found, "Give a frame, a table of Arrow, or where rows lie.")
        return add_rows(stack, chosen, source, origin=f"a {type(source).__name__}")
    types = in_file(chosen.source, {field.name: field.type for field in (*chosen.entity.keys, *chosen.fields)})
    times: dict[str, Type] = dict.fromkeys(
        filter(None, (chosen.source.event_time, chosen.source.created_time)), TIMESTAMP
    )
    needed = {*types, *times}
    types = times | in_file(chosen.source, times) | types
    given = rows_of(stack, source, types, table=table, query=query, nulls=chosen.source.nulls, needed=needed)
    with given as rows, by_line(rows.files, types, chosen.source):
        return add_rows(stack, chosen, rows, origin=rows.name, place=rows.place, files=rows.files, notes=rows.notes)


def materialize(stack: Stack, views: Sequence[str] = (), at: datetime | None = None) -> Outcome:
    """Bring online what was ingested or became due; of all the project's own views where none is named."""
    chosen = [find_view(stack.definitions, view) for view in views]
    for view in chosen:
        sharing.refuse_foreign(stack, view)
    own = chosen or [view for view in stack.definitions.views if not sharing.is_foreign(stack, view)]
    refs = [view.ref for view in own]
    done = stack.features.materialize(refs, at=at, progress=stack.progress) if refs else []
    rows = [(item.view, item.rows, item.written, item.watermark.position) for item in done]
    data = {
        item.view: {"rows": item.rows, "written": item.written, "position": item.watermark.position} for item in done
    }
    title = f"Brought {sum(item.written for item in done):,} rows online"
    return Outcome(title, {"views": data}, (Table(("view", "changed rows", "written", "position"), rows),))


def search(stack: Stack, words: Sequence[str] = ()) -> Outcome:
    """Find features by name, tag, owner, entity or text; every word must fit."""
    wanted = [word.casefold() for word in words]
    elsewhere = sharing.users_elsewhere(stack)
    entries = [*_entries(stack.definitions, elsewhere), *_offered(stack, elsewhere)]
    found = [entry for entry in entries if all(word in _text(entry) for word in wanted)]
    headings = ["feature", "type", "entity", "owner", "used by", "description"]
    headings += ["state"] if stack.blueprint.catalogue else []
    rows = [tuple(entry[heading] for heading in headings) for entry in found]
    notes = () if stack.definitions.views else ("Nothing is applied. Run: stackwright apply",)
    return Outcome(f"{len(found)} features", {"features": found}, (Table(headings, rows),), notes)


def _offered(stack: Stack, elsewhere: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Give the features of other teams that are not imported yet."""
    known = {view.ref for view in stack.definitions.views}
    for view, permitted in sharing.offered(stack):
        if view.ref not in known:
            state = f"stackwright import {view.ref}" if permitted else f"ask {view.owner or view.name} to share it"
            for entry in _entries(with_entities([view]), elsewhere):
                yield {**entry, "state": state}


def _users(definitions: Definitions) -> dict[tuple[str, str], list[str]]:
    """Return for each feature the services that give it and the views that are computed from it."""
    users: dict[tuple[str, str], list[str]] = {}
    for service in definitions.services:
        for selection in service.selections:
            for feature in selection.features:
                users.setdefault((selection.view.ref, feature), []).append(service.ref)
    for view in definitions.views:
        for needed in view.computed.inputs if view.computed else ():
            for field in needed.fields:
                users.setdefault((needed.ref, field.name), []).append(view.ref)
    return users


def _entries(definitions: Definitions, elsewhere: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    users = _users(definitions)
    for view in definitions.views:
        for field in view.features:
            yield {
                "feature": f"{view.ref}:{field.name}",
                "type": str(field.type),
                "entity": view.entity.name,
                "owner": view.owner,
                "used by": [*users.get((view.ref, field.name), []), *elsewhere.get(view.ref, [])],
                "description": field.description or view.description,
                "tags": {**view.tags, **field.tags},
                "state": "",
            }
    for service in definitions.services:
        for step in service.transforms:
            yield {
                "feature": f"{service.ref}:{step.name}",
                "type": str(step.type),
                "entity": "",
                "owner": step.owner or service.owner,
                "used by": [service.ref],
                "description": step.description,
                "tags": dict(step.tags),
                "state": "",
            }


def _text(entry: dict[str, Any]) -> str:
    tags = [f"{key} {value}" for key, value in entry["tags"].items()]
    parts = [
        entry["feature"],
        entry["type"],
        entry["entity"],
        entry["owner"],
        entry["description"],
        *entry["used by"],
        *tags,
    ]
    return " ".join(parts).casefold()
