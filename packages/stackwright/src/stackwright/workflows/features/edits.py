"""What an edited feature file changes of the definitions in force. What it adds changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from stackwright.lineage import Node, feature_of
from stackwright_interfaces.catalogue import canonical, meaning, to_json
from stackwright_interfaces.definitions import Definitions, FeatureService, FeatureView
from stackwright_interfaces.forms import field_to_json
from stackwright_interfaces.types import Field


class Edit(NamedTuple):
    """Something that is changed or gone."""

    node: Node
    how: str


def edits(before: Definitions, after: Definitions) -> list[Edit]:
    """Return what is changed or gone, of what was there before.

    Owners, descriptions and tags are no change. A field that a view gains is none either.
    """
    return [
        *_of_entities(before, after),
        *(edit for view in before.views for edit in _of_view(view, {item.ref: item for item in after.views})),
        *(edit for item in before.services for edit in _of_service(item, {new.ref: new for new in after.services})),
        *_of_targets(before, after),
    ]


def _of_entities(before: Definitions, after: Definitions) -> Iterator[Edit]:
    known = {entity.name: entity for entity in after.entities}
    for entity in before.entities:
        if entity.name not in known:
            yield Edit(Node("entity", entity.name), "is gone")
        elif meaning(known[entity.name]) != meaning(entity):
            yield Edit(Node("entity", entity.name), "has other keys")


def _of_targets(before: Definitions, after: Definitions) -> Iterator[Edit]:
    known = {target.name: target for target in after.targets}
    for target in before.targets:
        if target.name not in known:
            yield Edit(Node("target", target.name), "is gone")
        elif meaning(known[target.name]) != meaning(target):
            yield Edit(Node("target", target.name), "means something else")


def _of_view(old: FeatureView, known: Mapping[str, FeatureView]) -> Iterator[Edit]:
    node = Node("view", old.ref)
    new = known.get(old.ref)
    if new is None:
        yield Edit(node, "is gone")
        return
    for what in _whole_view(old, new):
        yield Edit(node, f"{what} changed")
    fields = {field.name: field for field in new.fields}
    for field in old.fields:
        if field.name not in fields:
            yield Edit(feature_of(old, field.name), "is gone")
        elif _bare(field) != _bare(fields[field.name]):
            yield Edit(feature_of(old, field.name), "has another type or default")
    windows = {window.name: replace(window, description="") for window in new.windows}
    for window in old.windows:
        if windows.get(window.name) != replace(window, description=""):
            yield Edit(feature_of(old, window.name), "changed" if window.name in windows else "is gone")


def _whole_view(old: FeatureView, new: FeatureView) -> Iterator[str]:
    """Give what changed of a view as a whole: its JSON form but for names, fields, windows, and what describes it."""
    left_out = {"name", "version", "fields", "windows", "owner", "description", "tags"}
    was, now = (_document(view) for view in (old, new))
    for key in sorted(({*was, *now}) - left_out):
        if canonical(was.get(key)) != canonical(now.get(key)):
            yield key.removesuffix("_us")


def _document(view: FeatureView) -> dict[str, Any]:
    found: dict[str, Any] = to_json(Definitions(entities=(view.entity,), views=(view,)))["views"][0]
    return found


def _bare(field: Field) -> bytes:
    return canonical(field_to_json(replace(field, description="", tags={})))


def _of_service(old: FeatureService, known: Mapping[str, FeatureService]) -> Iterator[Edit]:
    node = Node("service", old.ref)
    new = known.get(old.ref)
    if new is None:
        yield Edit(node, "is gone")
        return
    steps = {step.name: step for step in new.transforms}
    for step in old.transforms:
        now = steps.get(step.name)
        if now is None:
            yield Edit(Node("feature", f"{old.ref}:{step.name}"), "is gone")
        elif (now.inputs, now.type, now.code) != (step.inputs, step.type, step.code):
            yield Edit(Node("feature", f"{old.ref}:{step.name}"), "computes something else")
    if _shape(old) != _shape(new):
        yield Edit(node, "selects, asks for or gives something else")


def _shape(service: FeatureService) -> tuple[Any, ...]:
    chosen = [(item.view.ref, item.features, item.prefix, dict(item.keys)) for item in service.selections]
    steps = [step.name for step in service.transforms]
    return chosen, [_bare(field) for field in service.request], service.outputs, steps
