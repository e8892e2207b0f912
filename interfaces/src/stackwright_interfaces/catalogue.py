"""Definitions as JSON, and the hash of their meaning.

The JSON form is what ``apply`` writes and every other step reads, so that no user code runs to know a feature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from stackwright_interfaces.definitions import (
    Aggregate,
    Definitions,
    Entity,
    FeatureService,
    FeatureView,
    Selection,
    Source,
    Target,
    Transform,
    Window,
)
from stackwright_interfaces.document import Node
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.forms import field_from_json, field_to_json, read_field, span_to_json
from stackwright_interfaces.types import Field, Type
from stackwright_interfaces.upkeep import read_computation, read_expectation, read_schedule, upkeep_to_json

__all__ = ["canonical", "field_from_json", "field_to_json", "from_json", "meaning", "to_json"]

FORMAT: Final = 1


def to_json(definitions: Definitions) -> dict[str, Any]:
    """Return the JSON form: plain dictionaries, lists, texts and numbers."""
    return {
        "format": FORMAT,
        "entities": [_entity(entity) for entity in definitions.entities],
        "views": [_view(view) for view in definitions.views],
        "services": [_service(service) for service in definitions.services],
        "targets": [_target(target) for target in definitions.targets],
    }


def from_json(document: Mapping[str, Any]) -> Definitions:
    """Read the JSON form.

    Raises:
        DefinitionError: another format, not such a document, a reference to what is not there, or definitions that do
            not hold together; the message says where.
    """
    root = Node(document, "definitions.json")
    found = root.members().get("format")
    if found != FORMAT:
        what = f"format {found!r}, this version reads {FORMAT}"
        raise DefinitionError("definitions.json", what, "Run: stackwright apply")
    entities = [_read_entity(node) for node in root["entities"]]
    by_name = {entity.name: entity for entity in entities}
    views = _read_views(root["views"], by_name)
    by_ref = {view.ref: view for view in views}
    return Definitions(
        entities=tuple(entities),
        views=tuple(views),
        services=tuple(_read_service(node, by_ref) for node in root["services"]),
        targets=tuple(_read_target(node, by_name) for node in root["targets"]),
    )


def meaning(definition: Entity | FeatureView | FeatureService | Target) -> str:
    """Return the SHA-256 (hex) of what a definition means: all of it but owner, description and tags.

    A view's meaning holds its entity's, and is the same wherever its rows come from. A service's holds the code of its
    transforms and, of each view, what the service uses: a field that a view gains changes no service.
    """
    document: dict[str, Any]
    match definition:
        case Entity():
            document = _entity(definition, about=False)
        case FeatureView():
            document = _view(definition, about=False) | {"entity": _entity(definition.entity, about=False)}
            for upkeep in ("source", "expect", "computed", "schedule"):
                document.pop(upkeep, None)
        case FeatureService():
            document = _service(definition, about=False)
            document["views"] = [meaning(_as_used(item, definition)) for item in definition.selections]
            for step in document["transforms"]:
                step.pop("function")
        case Target():
            document = _target(definition, about=False) | {"entity": _entity(definition.entity, about=False)}
            document.pop("source")
    return hashlib.sha256(canonical(document)).hexdigest()


def _as_used(selection: Selection, service: FeatureService) -> FeatureView:
    """Return a selection's view with the fields and windows alone that the service depends on."""
    view = selection.view
    windows = tuple(window for window in view.windows if window.name in selection.features)
    used = {*selection.features, *(name for window in windows for name in window.columns), view.event_id}
    sources = (source for item in service.selections for source in item.key_sources)
    used |= {name for owner, _, name in (source.partition(".") for source in sources) if owner == view.name}
    fields = tuple(field for field in view.fields if field.name in used)
    return replace(view, fields=fields, windows=windows, expect=())


def canonical(document: Any) -> bytes:
    """Return the one UTF-8 JSON text of a document: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _about(item: Entity | FeatureView | FeatureService | Target | Transform, *, about: bool) -> dict[str, Any]:
    if not about:
        return {}
    return {"owner": item.owner, "description": item.description, "tags": dict(item.tags)}


def _read_about(node: Node) -> dict[str, Any]:
    return {
        "owner": node["owner"].text(),
        "description": node["description"].text(),
        "tags": node["tags"].text_map(),
    }


def _fields(fields: Sequence[Field], *, about: bool) -> list[dict[str, Any]]:
    return [field_to_json(item, about=about) for item in fields]


def _read_fields(node: Node) -> tuple[Field, ...]:
    return tuple(read_field(item) for item in node)


def _source(source: Source) -> dict[str, Any]:
    return {
        "event_time": source.event_time,
        "created_time": source.created_time,
        "time_format": source.time_format,
        "time_zone": source.time_zone,
        "rename": dict(source.rename),
        "nulls": list(source.nulls),
        **({"location": source.location} if source.location else {}),
    }


def _read_source(node: Node) -> Source:
    return Source(
        event_time=node["event_time"].text(),
        created_time=node["created_time"].optional_text(),
        time_format=node["time_format"].optional_text(),
        time_zone=node["time_zone"].optional_text(),
        rename=node["rename"].text_map(),
        nulls=node["nulls"].texts(),
        location=node["location"].text() if "location" in node else "",
    )


def _entity(entity: Entity, *, about: bool = True) -> dict[str, Any]:
    return {"name": entity.name, "keys": _fields(entity.keys, about=about), **_about(entity, about=about)}


def _read_entity(node: Node) -> Entity:
    return Entity(name=node["name"].text(), keys=_read_fields(node["keys"]), **_read_about(node))


def _window(window: Window, *, about: bool) -> dict[str, Any]:
    document = {
        "name": window.name,
        "aggregate": window.aggregate.value,
        "column": window.column,
        "length_us": span_to_json(window.length),
        "slide_us": span_to_json(window.slide),
    }
    document |= {name: value for name, value in (("n", window.n), ("over", window.over)) if value is not None}
    return document | {"description": window.description} if about else document


def _read_window(node: Node) -> Window:
    return Window(
        name=node["name"].text(),
        aggregate=node["aggregate"].one_of(Aggregate),
        column=node["column"].optional_text(),
        length=node["length_us"].span(),
        slide=node["slide_us"].optional_span(),
        n=node["n"].integer() if "n" in node else None,
        over=node["over"].text() if "over" in node else None,
        description=node["description"].text(),
    )


def _view(view: FeatureView, *, about: bool = True) -> dict[str, Any]:
    return {
        "name": view.name,
        "version": view.version,
        "entity": view.entity.name,
        "fields": _fields(view.fields, about=about),
        "source": _source(view.source),
        "windows": [_window(window, about=about) for window in view.windows],
        "max_age_us": span_to_json(view.max_age),
        "event_id": view.event_id,
        **upkeep_to_json(view),
        **_about(view, about=about),
    }


def _read_views(node: Node, entities: Mapping[str, Entity]) -> list[FeatureView]:
    """Read views, those that others are computed from first."""
    waiting = list(node)
    views: list[FeatureView] = []
    while waiting:
        known = {view.ref: view for view in views}
        ready = [item for item in waiting if not _inputs(item) - known.keys()]
        # With none ready, reading one says which input is not there.
        views += [_read_view(item, entities, known) for item in ready or waiting]
        waiting = [item for item in waiting if item not in ready]
    return views


def _inputs(node: Node) -> set[str]:
    return set(node["computed"]["inputs"].texts()) if "computed" in node else set()


def _read_view(node: Node, entities: Mapping[str, Entity], views: Mapping[str, FeatureView]) -> FeatureView:
    fields = _read_fields(node["fields"])
    return FeatureView(
        name=node["name"].text(),
        version=node["version"].integer(),
        entity=node["entity"].known("entity", entities),
        fields=fields,
        source=_read_source(node["source"]),
        windows=tuple(_read_window(window) for window in node["windows"]),
        max_age=node["max_age_us"].optional_span(),
        event_id=node["event_id"].optional_text(),
        expect=tuple(read_expectation(item, fields) for item in node["expect"]) if "expect" in node else (),
        computed=read_computation(node["computed"], views) if "computed" in node else None,
        schedule=read_schedule(node["schedule"]) if "schedule" in node else None,
        **_read_about(node),
    )


def _transform(step: Transform, *, about: bool) -> dict[str, Any]:
    return {
        "name": step.name,
        "inputs": list(step.inputs),
        "type": str(step.type),
        "function": step.function,
        "code": step.code,
        **_about(step, about=about),
    }


def _read_transform(node: Node) -> Transform:
    return Transform(
        name=node["name"].text(),
        inputs=node["inputs"].texts(),
        type=Type.parse(node["type"].text()),
        function=node["function"].text(),
        code=node["code"].text(),
        **_read_about(node),
    )


def _selection(selection: Selection) -> dict[str, Any]:
    return {
        "view": selection.view.ref,
        "features": list(selection.features),
        "prefix": selection.prefix,
        "keys": dict(selection.keys),
    }


def _read_selection(node: Node, views: Mapping[str, FeatureView]) -> Selection:
    return Selection(
        view=node["view"].known("view", views),
        features=node["features"].texts(),
        prefix=node["prefix"].text(),
        keys=node["keys"].text_map(),
    )


def _service(service: FeatureService, *, about: bool = True) -> dict[str, Any]:
    return {
        "name": service.name,
        "version": service.version,
        "selections": [_selection(selection) for selection in service.selections],
        "request": _fields(service.request, about=about),
        "transforms": [_transform(step, about=about) for step in service.transforms],
        "outputs": None if service.outputs is None else list(service.outputs),
        **_about(service, about=about),
    }


def _read_service(node: Node, views: Mapping[str, FeatureView]) -> FeatureService:
    return FeatureService(
        name=node["name"].text(),
        version=node["version"].integer(),
        selections=tuple(_read_selection(selection, views) for selection in node["selections"]),
        request=_read_fields(node["request"]),
        transforms=tuple(_read_transform(step) for step in node["transforms"]),
        outputs=None if node["outputs"].is_null else node["outputs"].texts(),
        **_read_about(node),
    )


def _target(target: Target, *, about: bool = True) -> dict[str, Any]:
    return {
        "name": target.name,
        "entity": target.entity.name,
        "value": field_to_json(target.value, about=about),
        "asked": target.asked,
        "happened": target.happened,
        "observed": target.observed,
        "horizon_us": span_to_json(target.horizon),
        "censored": target.censored,
        "label_id": target.label_id,
        "request": _fields(target.request, about=about),
        **{name: value for name, value in (("group", target.group), ("position", target.position)) if value},
        "source": _source(target.source),
        **_about(target, about=about),
    }


def _read_target(node: Node, entities: Mapping[str, Entity]) -> Target:
    return Target(
        name=node["name"].text(),
        entity=node["entity"].known("entity", entities),
        value=read_field(node["value"]),
        asked=node["asked"].text(),
        happened=node["happened"].text(),
        observed=node["observed"].optional_text(),
        horizon=node["horizon_us"].optional_span(),
        censored=node["censored"].optional_text(),
        label_id=node["label_id"].optional_text(),
        request=_read_fields(node["request"]),
        group=node["group"].text() if "group" in node else None,
        position=node["position"].text() if "position" in node else None,
        source=_read_source(node["source"]),
        **_read_about(node),
    )
