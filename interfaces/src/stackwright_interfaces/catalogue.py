"""Definitions as JSON, and the hash of their meaning.

The JSON form is what ``apply`` writes and every other step reads, so that no user code runs to know a feature.

Values, which are defaults of fields, have these forms: bool, int64 and string their own; float64 a number or one of
``"NaN"``, ``"Infinity"``, ``"-Infinity"``; bytes hexadecimal digits; timestamp ISO 8601 in UTC; decimal a text with all
digits after the point; list and vector a list of these, ``null`` where an item is null.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
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
from stackwright_interfaces.types import FLOAT64, NO_DEFAULT, Field, Kind, Type

FORMAT: Final = 1

_NOT_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


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
    views = [_read_view(node, by_name) for node in root["views"]]
    by_ref = {view.ref: view for view in views}
    return Definitions(
        entities=tuple(entities),
        views=tuple(views),
        services=tuple(_read_service(node, by_ref) for node in root["services"]),
        targets=tuple(_read_target(node, by_name) for node in root["targets"]),
    )


def meaning(definition: Entity | FeatureView | FeatureService | Target) -> str:
    """Return the SHA-256 (hex) of what a definition means: all of it but owner, description and tags.

    A view's meaning holds its entity's. A service's holds the code of its transforms and, of each view, what the
    service uses: a field that a view gains changes no service.
    """
    document: dict[str, Any]
    match definition:
        case Entity():
            document = _entity(definition, about=False)
        case FeatureView():
            document = _view(definition, about=False) | {"entity": _entity(definition.entity, about=False)}
            document.pop("source")
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
    return replace(view, fields=tuple(field for field in view.fields if field.name in used), windows=windows)


def canonical(document: Any) -> bytes:
    """Return the one UTF-8 JSON text of a document: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def value_to_json(value: Any, type: Type) -> Any:
    """Return the JSON form of a value that is held as :func:`stackwright_interfaces.types.fit` gives it."""
    if value is None:
        return None
    match type.kind:
        case Kind.FLOAT64 if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Kind.BYTES:
            return value.hex()
        case Kind.TIMESTAMP:
            return value.isoformat()
        case Kind.DECIMAL:
            return f"{value:f}"
        case Kind.LIST | Kind.VECTOR:
            return [value_to_json(item, type.item or FLOAT64) for item in value]
    return value


def value_from_json(form: Any, type: Type) -> Any:
    """Read the JSON form of a value; what is none is returned as it is, or as something that does not fit the type.

    Raises:
        ValueError: it is none.
        ArithmeticError: it is none.
    """
    match form, type.kind:
        case str(), Kind.FLOAT64:
            return _NOT_NUMBERS.get(form, form)
        case str(), Kind.BYTES:
            return bytes.fromhex(form)
        case str(), Kind.TIMESTAMP:
            return datetime.fromisoformat(form)
        case str(), Kind.DECIMAL:
            return Decimal(form)
        case list(), Kind.LIST | Kind.VECTOR:
            return [value_from_json(item, type.item or FLOAT64) for item in form]
    return form


def field_to_json(field: Field, *, about: bool = True) -> dict[str, Any]:
    """Return the JSON form of a field, with or without what merely describes it."""
    document: dict[str, Any] = {"name": field.name, "type": str(field.type)}
    if field.has_default:
        document["default"] = value_to_json(field.default, field.type)
    if about and field.description:
        document["description"] = field.description
    if about and field.tags:
        document["tags"] = dict(field.tags)
    return document


def field_from_json(item: Mapping[str, Any]) -> Field:
    """Read the JSON form of a field.

    Raises:
        DefinitionError: it is none.
    """
    return _read_field(Node(item, "field"))


def _read_field(node: Node) -> Field:
    type_ = Type.parse(node["type"].text())
    return Field(
        node["name"].text(),
        type_,
        _read_default(node["default"], type_) if "default" in node else NO_DEFAULT,
        node["description"].text() if "description" in node else "",
        node["tags"].text_map() if "tags" in node else {},
    )


def _read_default(node: Node, type: Type) -> Any:
    try:
        return value_from_json(node.value, type)
    except (ValueError, ArithmeticError) as error:
        raise node.expected(f"a {type}") from error


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
    return tuple(_read_field(item) for item in node)


def _span(span: timedelta | None) -> int | None:
    return None if span is None else span // timedelta(microseconds=1)


def _source(source: Source) -> dict[str, Any]:
    return {
        "event_time": source.event_time,
        "created_time": source.created_time,
        "time_format": source.time_format,
        "time_zone": source.time_zone,
        "rename": dict(source.rename),
        "nulls": list(source.nulls),
    }


def _read_source(node: Node) -> Source:
    return Source(
        event_time=node["event_time"].text(),
        created_time=node["created_time"].optional_text(),
        time_format=node["time_format"].optional_text(),
        time_zone=node["time_zone"].optional_text(),
        rename=node["rename"].text_map(),
        nulls=node["nulls"].texts(),
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
        "length_us": _span(window.length),
        "slide_us": _span(window.slide),
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
        "max_age_us": _span(view.max_age),
        "event_id": view.event_id,
        **_about(view, about=about),
    }


def _read_view(node: Node, entities: Mapping[str, Entity]) -> FeatureView:
    return FeatureView(
        name=node["name"].text(),
        version=node["version"].integer(),
        entity=node["entity"].known("entity", entities),
        fields=_read_fields(node["fields"]),
        source=_read_source(node["source"]),
        windows=tuple(_read_window(window) for window in node["windows"]),
        max_age=node["max_age_us"].optional_span(),
        event_id=node["event_id"].optional_text(),
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
        "horizon_us": _span(target.horizon),
        "censored": target.censored,
        "label_id": target.label_id,
        "request": _fields(target.request, about=about),
        "source": _source(target.source),
        **_about(target, about=about),
    }


def _read_target(node: Node, entities: Mapping[str, Entity]) -> Target:
    return Target(
        name=node["name"].text(),
        entity=node["entity"].known("entity", entities),
        value=_read_field(node["value"]),
        asked=node["asked"].text(),
        happened=node["happened"].text(),
        observed=node["observed"].optional_text(),
        horizon=node["horizon_us"].optional_span(),
        censored=node["censored"].optional_text(),
        label_id=node["label_id"].optional_text(),
        request=_read_fields(node["request"]),
        source=_read_source(node["source"]),
        **_read_about(node),
    )
