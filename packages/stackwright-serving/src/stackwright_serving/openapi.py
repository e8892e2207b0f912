"""The application described in OpenAPI 3.1, for the models now served."""

from __future__ import annotations

from typing import Any, Final

from stackwright_interfaces.types import Field, Kind
from stackwright_serving.protocols import lists_described as lists
from stackwright_serving.protocols import sagemaker
from stackwright_serving.protocols.tensors import DATATYPES
from stackwright_serving.state import State

_TYPES: Final[dict[Kind, dict[str, Any]]] = {
    Kind.BOOL: {"type": "boolean"},
    Kind.INT64: {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
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
_FAILURES: Final = {
    "400": "Not a request",
    "401": "No token that fits",
    "404": "Unknown model, version or entity",
    "408": "Did not come whole in time",
    "413": "Too large",
    "415": "A content type that is not read",
    "422": "Does not fit the model",
    "431": "Headers too long",
    "500": "The server failed",
    "503": "Too busy, or a part is away",
    "504": "Too slow",
}
_TENSOR: Final = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
}


def document(state: State) -> dict[str, Any]:
    """Return the description."""
    settings = state.settings
    paths: dict[str, Any] = {
        "/health/live": _get("The process answers.", open_=True),
        "/health/ready": _get("A model is served.", "503", open_=True),
        "/v2/health/live": _get("The process answers.", open_=True),
        "/v2/health/ready": _get("A model is served.", "503", open_=True),
        "/ping": _get("A model is served, as SageMaker and MLflow ask.", "503", kind="text/plain", open_=True),
        "/models": _get("The models now served."),
        "/metrics": _get("Metrics in Prometheus' text format.", kind="text/plain"),
        "/v2": _get("The server, in words of the Open Inference Protocol."),
    }
    for name, version in sorted(state.host.serving.items()):
        paths[f"/predict/{name}"] = predict = _predict(state, name, version.version)
        inputs = state.host.served(name).champion.scorer.model.manifest.signature.inputs
        paths[f"/invocations/{name}"] = sagemaker.describe(predict["post"], inputs)
        paths[f"/v2/models/{name}"] = _get(f"What {name} takes and gives.", "404")
        paths[f"/v2/models/{name}/ready"] = _get(f"{name} is served.", "404")
        paths[f"/v2/models/{name}/infer"] = _infer(name, inputs)
    if state.recommenders is not None:
        paths |= lists.describe(state.lists.serving, settings.max_rows, _failed(*_FAILURES))
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "stackwright", "version": "1"},
        "paths": paths,
    }
    if settings.tokens:
        described["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        described["security"] = [{"token": []}]
    return described


def _get(summary: str, *failures: str, kind: str = "application/json", open_: bool = False) -> dict[str, Any]:
    """Return the path item of something that is only read.

    Args:
        failures: statuses that it may have beside those of every request.
        kind: content type of the answer.
        open_: whether it needs no token.
    """
    schema = {"type": "object"} if kind == "application/json" else {"type": "string"}
    common = ("431", "500") if open_ else ("401", "431", "500")
    responses = {"200": {"description": summary, "content": {kind: {"schema": schema}}}, **_failed(*common)}
    for status in failures:
        of_health = open_ and kind != "application/json"
        responses[status] = (
            {"description": _FAILURES[status], "content": {kind: {"schema": schema}}}
            if of_health or status == "503"
            else _failed(status)[status]
        )
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    return {"get": {**operation, "security": []} if open_ else operation}


def _failed(*statuses: str) -> dict[str, Any]:
    return {
        status: {"description": _FAILURES[status], "content": {"application/json": {"schema": _ERROR}}}
        for status in statuses
    }


def _predict(state: State, name: str, version: int) -> dict[str, Any]:
    service = state.host.served(name).champion.service
    keys = {field.name for field in service.request_keys} if service else set()
    fields = (*service.request_keys, *service.request) if service else ()
    row = {
        "type": "object",
        "properties": {field.name: _schema(field, nullable=field.name not in keys) for field in fields},
        "required": [field.name for field in fields if not field.has_default],
        "additionalProperties": False,
    }
    rows = {
        "type": "object",
        "properties": {"rows": {"type": "array", "items": row, "maxItems": state.settings.max_rows}},
        "required": ["rows"],
        "additionalProperties": False,
    }
    prediction = {
        "type": "object",
        "required": ["prediction_id", "value"],
        "properties": {"prediction_id": {"type": "string"}, "value": {"type": "number"}},
    }
    answered = {
        "type": "object",
        "required": ["model", "version", "digest", "predictions", "request_id"],
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "integer"},
            "predictions": {"type": "array", "items": prediction},
        },
    }
    at = {
        "name": "at",
        "in": "query",
        "schema": {"type": "string", "format": "date-time"},
        "description": "The asked instant, never a later one than now.",
    }
    explain = {
        "name": "explain",
        "in": "query",
        "schema": {"type": "string", "enum": ["0", "1"]},
        "description": "Add what each input added to the answer, and how old the features were.",
    }
    body = {"required": True, "content": {"application/json": {"schema": {"anyOf": [row, rows]}}}}
    return {
        "post": {
            "summary": f"Predict with {name}@{version}.",
            "parameters": [at, explain],
            "requestBody": body,
            "responses": {
                "200": {"description": "Predictions", "content": {"application/json": {"schema": answered}}},
                **_failed(*_FAILURES),
            },
        }
    }


def _infer(name: str, inputs: tuple[Field, ...]) -> dict[str, Any]:
    """Return the path item of the Open Inference Protocol's inference."""
    known = ", ".join(f"{field.name} ({DATATYPES.get(field.type.kind, 'of the store alone')})" for field in inputs)
    asked = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": _TENSOR, "description": f"All of: {known}."},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
    }
    answered = {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {"outputs": {"type": "array", "items": _TENSOR}},
    }
    answers = {
        "application/json": {"schema": answered},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    return {
        "post": {
            "summary": f"Infer with {name}: its inputs in, its outputs out.",
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {"200": {"description": "Outputs", "content": answers}, **_failed(*_FAILURES)},
        }
    }


def _schema(field: Field, *, nullable: bool) -> dict[str, Any]:
    """Return what a field of a row may hold; a key may not be null."""
    known: dict[str, Any] = _TYPES.get(field.type.kind, {})
    found = dict(known)
    if nullable and "type" in found:
        found["type"] = [found["type"], "null"]
    return {**found, "description": field.description}
