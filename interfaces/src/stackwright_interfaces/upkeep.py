"""What a view expects, how it is computed and when it is looked after, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackwright_interfaces.document import Node
from stackwright_interfaces.forms import read_value, span_to_json, value_to_json
from stackwright_interfaces.pipelines import Computation, Expectation, Frame, Schedule
from stackwright_interfaces.types import Field, Type
from stackwright_interfaces.views import FeatureView


def upkeep_to_json(view: FeatureView) -> dict[str, Any]:
    """Return those of a view's ``expect``, ``computed`` and ``schedule`` that it has."""
    document: dict[str, Any] = {}
    if view.expect:
        document["expect"] = [_expectation(item, view.stored(item.column).type) for item in view.expect]
    if view.computed is not None:
        document["computed"] = _computation(view.computed)
    if view.schedule is not None:
        document["schedule"] = {
            "every_us": span_to_json(view.schedule.every),
            "offset_us": span_to_json(view.schedule.offset),
            "freshness_us": span_to_json(view.schedule.freshness),
            "retries": view.schedule.retries,
        }
    return document


def _expectation(item: Expectation, type: Type) -> dict[str, Any]:
    return {
        "column": item.column,
        "required": item.required,
        "low": value_to_json(item.low, type),
        "high": value_to_json(item.high, type),
        "one_of": [value_to_json(value, type) for value in item.one_of],
        "pattern": item.pattern,
        "max_missing": item.max_missing,
    }


def read_expectation(node: Node, fields: Sequence[Field]) -> Expectation:
    """Read an expectation of a view with these fields."""
    type_ = node["column"].known("field", {field.name: field for field in fields}).type
    return Expectation(
        column=node["column"].text(),
        required=node["required"].boolean(),
        low=read_value(node["low"], type_),
        high=read_value(node["high"], type_),
        one_of=tuple(read_value(value, type_) for value in node["one_of"]),
        pattern=node["pattern"].text(),
        max_missing=node["max_missing"].number(),
    )


def _computation(item: Computation) -> dict[str, Any]:
    return {
        "inputs": [view.ref for view in item.inputs],
        "sql": item.sql,
        "function": item.function,
        "frame": item.frame.value,
        "lookback_us": span_to_json(item.lookback),
        "code": item.code,
    }


def read_computation(node: Node, views: Mapping[str, FeatureView]) -> Computation:
    """Read how rows are computed from some of these views."""
    return Computation(
        inputs=tuple(view.known("view", views) for view in node["inputs"]),
        sql=node["sql"].text(),
        function=node["function"].text(),
        frame=node["frame"].one_of(Frame),
        lookback=node["lookback_us"].span(),
        code=node["code"].text(),
    )


def read_schedule(node: Node) -> Schedule:
    """Read a schedule."""
    return Schedule(
        every=node["every_us"].span(),
        offset=node["offset_us"].span(),
        freshness=node["freshness_us"].optional_span(),
        retries=node["retries"].integer(),
    )
