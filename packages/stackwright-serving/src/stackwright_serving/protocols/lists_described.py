"""What ``POST /recommend`` and ``POST /clicks`` take and give, in OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackwright_interfaces.registry import ModelVersion

_ID: Final[dict[str, Any]] = {"type": ["string", "integer"]}
_ITEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["item", "position", "score", "cold"],
    "properties": {
        "item": _ID,
        "position": {"type": "integer", "minimum": 1},
        "score": {"type": ["number", "null"]},
        "cold": {"type": "boolean", "description": "Nobody took it before."},
    },
}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["list_id", "model", "version", "items", "flags", "request_id"],
    "properties": {
        "list_id": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "items": {"type": "array", "items": _ITEM},
        "flags": {"type": "array", "items": {"type": "string"}},
        "considered": {"type": "integer"},
        "removed": {"type": "object", "additionalProperties": {"type": "integer"}},
        "unknown": {"type": "array", "items": _ID},
    },
}
_CLICK: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["list_id", "item"],
    "properties": {
        "list_id": {"type": "string"},
        "item": _ID,
        "value": {"type": "number", "minimum": 0, "default": 1},
        "observed": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": False,
}


def describe(
    serving: Mapping[str, ModelVersion], candidates: int, failures: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return path → path item.

    Args:
        serving: name → version now serving.
        candidates: most candidates of a request, and most clicks.
        failures: responses that tell of a failure.
    """
    many = {"type": "array", "items": _ID}
    asked = {
        "type": "object",
        "properties": {
            "user": {"type": ["string", "integer", "null"]},
            "session": {**many, "maxItems": 1000, "description": "Items looked at just now, oldest first."},
            "like": {**_ID, "description": "An item: what is like it is asked for."},
            "n": {"type": "integer", "minimum": 1, "maximum": 1000},
            "candidates": {**many, "maxItems": candidates, "description": "Items to choose from."},
            "exclude_seen": {"type": "boolean", "default": True},
            "area": _ID,
            "place": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            "budget": {"type": "number"},
            "diversity": {"type": "number", "minimum": 0, "maximum": 1},
            "live": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}},
                "description": "Name of a number of the items → its present value for each candidate.",
            },
        },
        "additionalProperties": False,
    }
    clicks = {
        "type": "object",
        "required": ["clicks"],
        "properties": {"clicks": {"type": "array", "items": _CLICK, "maxItems": candidates}},
        "additionalProperties": False,
    }
    taken = {"type": "object", "properties": {"taken": {"type": "integer"}}}
    found = {
        f"/recommend/{name}": _post(f"A list of {version.ref}.", asked, {"200": ("A list", _ANSWER)}, failures)
        for name, version in sorted(serving.items())
    }
    told = {"202": ("Taken", taken)}
    return {**found, "/clicks": _post("What became of lists.", {"anyOf": [_CLICK, clicks]}, told, failures)}


def _post(
    summary: str, asked: Mapping[str, Any], answers: Mapping[str, tuple[str, Any]], failures: Mapping[str, Any]
) -> dict[str, Any]:
    good = {
        status: {"description": words, "content": {"application/json": {"schema": schema}}}
        for status, (words, schema) in answers.items()
    }
    body = {"required": True, "content": {"application/json": {"schema": asked}}}
    return {"post": {"summary": summary, "requestBody": body, "responses": {**good, **failures}}}
