"""Which definitions may replace which under the same version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from stackwright_interfaces.catalogue import canonical, field_to_json, meaning
from stackwright_interfaces.definitions import Definitions, FeatureService, FeatureView, Transform
from stackwright_interfaces.errors import DefinitionError, VersionRequired
from stackwright_interfaces.types import Field


def check_closed(definitions: Definitions) -> None:
    """Check that every view that a service selects or another view is computed from is among the definitions.

    Raises:
        DefinitionError: a view is missing, or another one is there under its name and version.
    """
    views = {view.ref: view for view in definitions.views}
    for service in definitions.services:
        where = f"service {service.ref!r}"
        for selection in service.selections:
            ref = selection.view.ref
            if ref not in views:
                raise DefinitionError(where, f"view {ref!r} is not among the definitions", "Add the view.")
            if meaning(views[ref]) != meaning(selection.view):
                raise DefinitionError(where, f"selects another {ref!r} than is defined", "Raise a version.")
    for view in definitions.views:
        for needed in view.computed.inputs if view.computed else ():
            if needed.ref not in views:
                found = f"view {needed.ref!r}, which it is computed from, is not among the definitions"
                raise DefinitionError(f"view {view.ref!r}", found, "Add the view.")


def check_versions(before: Definitions, after: Definitions) -> None:
    """Check that nothing means something else than before under the same name and version.

    A view may gain fields. Owners, descriptions, tags, sources, expectations and schedules change freely. The code of a
    transform is compared where both definitions know it, and how a view is computed where both say it.

    Raises:
        VersionRequired: a view or service changed its meaning.
    """
    views = {view.ref: view for view in before.views}
    for view in after.views:
        if view.ref in views:
            _refuse(f"view {view.ref!r}", _view_changes(views[view.ref], view))
    services = {service.ref: service for service in before.services}
    for service in after.services:
        if service.ref in services:
            _refuse(f"service {service.ref!r}", _service_changes(services[service.ref], service))


def _refuse(where: str, changes: Iterator[str]) -> None:
    found = "; ".join(changes)
    if found:
        raise VersionRequired(where, f"it means something else than before: {found}", "Raise its version.")


def _view_changes(old: FeatureView, new: FeatureView) -> Iterator[str]:
    if old.entity.name != new.entity.name:
        yield f"its entity was {old.entity.name!r} and is {new.entity.name!r}"
    if _bare(old.entity.keys) != _bare(new.entity.keys):
        yield f"its keys were {_shown(old.entity.keys)} and are {_shown(new.entity.keys)}"
    yield from _field_changes(old.fields, new.fields)
    if _windows(old) != _windows(new):
        yield "its windows changed"
    if old.max_age != new.max_age:
        yield f"max_age was {old.max_age} and is {new.max_age}"
    if old.event_id != new.event_id:
        yield f"event_id was {old.event_id!r} and is {new.event_id!r}"
    if old.computed is not None and new.computed is not None and _computation(old) != _computation(new):
        yield "how it is computed changed"


def _computation(view: FeatureView) -> list[Any]:
    step = view.computed
    assert step is not None
    return [[item.ref for item in step.inputs], " ".join(step.sql.split()), step.code, step.frame, step.lookback]


def _service_changes(old: FeatureService, new: FeatureService) -> Iterator[str]:
    if _selections(old) != _selections(new):
        yield "its selections changed"
    if _bare(old.request) != _bare(new.request):
        yield f"its request fields were {_shown(old.request)} and are {_shown(new.request)}"
    if old.outputs != new.outputs:
        yield "its outputs changed"
    if [step.name for step in old.transforms] != [step.name for step in new.transforms]:
        yield "its transforms changed"
        return
    for before, after in zip(old.transforms, new.transforms, strict=True):
        if (before.inputs, before.type) != (after.inputs, after.type):
            yield f"the inputs or type of transform {before.name!r} changed"
        if _other_code(before, after):
            yield f"the code of transform {before.name!r} changed"


def _field_changes(old: Sequence[Field], new: Sequence[Field]) -> Iterator[str]:
    present = {field.name: field for field in new}
    for field in old:
        if field.name not in present:
            yield f"field {field.name!r} is gone"
        elif present[field.name].type != field.type:
            yield f"field {field.name!r} was a {field.type} and is a {present[field.name].type}"
        elif _bare([present[field.name]]) != _bare([field]):
            yield f"the default of field {field.name!r} changed"


def _other_code(old: Transform, new: Transform) -> bool:
    return bool(old.code and new.code and old.code != new.code)


def _bare(fields: Sequence[Field]) -> bytes:
    return canonical([field_to_json(replace(field, description="", tags={})) for field in fields])


def _shown(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in fields) or "none"


def _windows(view: FeatureView) -> list[Any]:
    return [replace(window, description="") for window in view.windows]


def _selections(service: FeatureService) -> list[Any]:
    return [(item.view.ref, item.features, item.prefix, dict(item.keys)) for item in service.selections]
