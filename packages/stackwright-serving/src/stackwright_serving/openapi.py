"""The application described in OpenAPI 3.1, for the models now served."""

from __future__ import annotations

from typing import Any, Final

from stackwright_interfaces.types import Field, Kind
from stackwright_serving.protocols import sagemaker
from stackwright_serving.state import State

_TYPES: Final = {
    Kind.BOOL: {"type": "boolean"},
    Kind.INT64: {"type": "integer", "format": "int64"},
    Kind.FLOAT64: {"type": "number"},
    Kind.STRING: {"type": "string"},
    Kind.BYTES: {"type": "string", "contentEncoding": "base64"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
}
_ERROR: Final = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
}


def document(state: State) -> dict[str, Any]:
    """Return the description."""
    paths: dict[str, Any] = {
        "/health/live": _get("The process answers."),
        "/health/ready": _get("A model is served."),
        "/models": _get("The models now served."),
        "/metrics": _get("Metrics in Prometheus' text format."),
        "/ping": _get("A model is served, as SageMaker and MLflow ask."),
    }
    for name, version in sorted(state.host.serving.items()):
        paths[f"/predict/{name}"] = predict = _predict(state, name, version.version)
        inputs = state.host.served(name).champion.scorer.model.manifest.signature.inputs
        paths[f"/invocations/{name}"] = sagemaker.describe(predict["post"], inputs)
    return {"openapi": "3.1.0", "info": {"title": "stackwright", "version": "1"}, "paths": paths}


def _get(summary: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": {"description": summary}}}}


def _predict(state: State, name: str, version: int) -> dict[str, Any]:
    service = state.host.served(name).champion.service
    fields = (*service.request_keys, *service.request) if service else ()
    row = {
        "type": "object",
        "properties": {field.name: _schema(field) for field in fields},
        "required": [field.name for field in fields if not field.has_default],
        "additionalProperties": False,
    }
    rows = {
        "type": "object",
        "properties": {"rows": {"type": "array", "items": row}},
        "required": ["rows"],
        "additionalProperties": False,
    }
    answers = {"200": {"description": "Predictions"}}
    failures = {
        code: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for code, text in (
            ("400", "Not a request"),
            ("404", "Unknown model"),
            ("413", "Too large"),
            ("415", "Not JSON"),
            ("422", "Does not fit the model"),
            ("503", "A part is away"),
            ("504", "Too slow"),
        )
    }
    at = {
        "name": "at",
        "in": "query",
        "schema": {"type": "string", "format": "date-time"},
        "description": "The asked instant.",
    }
    explain = {
        "name": "explain",
        "in": "query",
        "schema": {"type": "string", "enum": ["0", "1"]},
        "description": "Add what each input added to the answer, and how old the features were.",
    }
    body = {"required": True, "content": {"application/json": {"schema": {"anyOf": [row, rows]}}}}
    summary = f"Predict with {name}@{version}."
    return {
        "post": {
            "summary": summary,
            "parameters": [at, explain],
            "requestBody": body,
            "responses": {**answers, **failures},
        }
    }


def _schema(field: Field) -> dict[str, Any]:
    return {**_TYPES.get(field.type.kind, {}), "description": field.description}
