"""What a live server is held to, for one model: each check asks it, and says what it found."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from stackwright.workflows.live.endpoint import Endpoint, Reply
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.model import GOLDEN, Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.types import Field, Kind
from stackwright_serving.golden import TOLERANCE

DATATYPES: Final[Mapping[Kind, str]] = {
    Kind.BOOL: "BOOL",
    Kind.INT64: "INT64",
    Kind.FLOAT64: "FP64",
    Kind.STRING: "BYTES",
}
_TIMED: Final = 20
"""Fewest requests by which a latency is judged."""


@dataclass(frozen=True, kw_only=True)
class Held(ABC):
    """What a server is held to, whatever it serves.

    Args:
        version: the version that must answer.
        keys: keys and request fields to ask with; empty asks for none.
        p99_ms: milliseconds that all but a hundredth of the answers may take; 0 judges none.
        requests: requests by which the latency is judged.
    """

    version: ModelVersion
    keys: Mapping[str, Any] = field(default_factory=dict)
    p99_ms: float = 0.0
    requests: int = 100

    @property
    def path(self) -> str:
        """The model's name in a path."""
        return quote(self.version.name)

    @property
    @abstractmethod
    def checks(self) -> tuple[Check, ...]:
        """What it is held to, in order."""

    @property
    @abstractmethod
    def way(self) -> str:
        """Where it is asked."""

    @property
    @abstractmethod
    def mistakes(self) -> list[Mistake]:
        """Requests that are wrong, each in its way."""


@dataclass(frozen=True, kw_only=True)
class Expected(Held):
    """What a server of a model is held to.

    Args:
        manifest: of the version.
        folder: its model folder, which holds the golden predictions.
        service: the service that it reads, where it is applied.
    """

    manifest: Manifest
    folder: Path
    service: FeatureService | None

    @property
    def checks(self) -> tuple[Check, ...]:
        """What it is held to, in order."""
        return (ready, version, schema, golden, errors, keys, latency)

    @property
    def way(self) -> str:
        """Where it is asked by the inputs of the model themselves."""
        return f"/v2/models/{self.path}/infer"

    @property
    def mistakes(self) -> list[Mistake]:
        """Requests that are wrong, each in its way."""
        predict = f"/predict/{self.path}" if self.service is not None else self.way
        found: list[Mistake] = [
            ("no JSON", 400, ("POST", predict, b"{")),
            ("a key twice", 400, ("POST", predict, b'{"a": 1, "a": 2}')),
            ("NaN", 400, ("POST", predict, b'{"a": NaN}')),
            ("another content type", 415, ("POST", predict, b"a", {"Content-Type": "image/png"})),
            ("an unknown model", 404, ("POST", "/predict/no-such-model", b"{}")),
            ("an unknown path", 404, ("GET", "/no-such-path")),
            ("another method", 405, ("DELETE", "/models")),
        ]
        if self.service is not None:
            found.append(("an unknown field", 422, ("POST", predict, b'{"no_such_field": 1}')))
        return found

    @cached_property
    def golden(self) -> list[dict[str, Any]]:
        """The golden predictions: ``inputs`` and ``output`` of each."""
        lines = (self.folder / GOLDEN).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Args:
        passed: ``None`` where there was nothing to hold the server to.
        evidence: JSON values.
    """

    name: str
    passed: bool | None
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """What it found, in one word."""
        return "told" if self.passed is None else "green" if self.passed else "RED"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"name": self.name, "passed": self.passed, "detail": self.detail, "evidence": dict(self.evidence)}


Mistake: TypeAlias = tuple[str, int, tuple[Any, ...]]
"""A request that is wrong: what is wrong with it, the status it must have, and what :meth:`Endpoint.send` takes."""

Check: TypeAlias = Callable[[Endpoint, Any], Checked]
"""Asks a server, held to what its kind of model is held to, and says what it found."""


def ready(endpoint: Endpoint, _expected: Held) -> Checked:
    """It lives, and is ready."""
    found = {path: endpoint.get(path).status for path in ("/health/live", "/health/ready")}
    told = ", ".join(f"{path} {status}" for path, status in found.items())
    return Checked("ready", all(status == 200 for status in found.values()), told, found)


def version(endpoint: Endpoint, expected: Held) -> Checked:
    """The version that it serves is the one expected, by its digest."""
    reply = endpoint.get("/models")
    models = (reply.document or {}).get("models", []) if reply.status == 200 else []
    served = next((item for item in models if item.get("name") == expected.version.name), None)
    if served is None:
        return Checked("version", passed=False, detail=said(reply, f"{expected.version.name} is not served"))
    same = served["digest"] == expected.version.digest
    found = f"serves @{served['version']}, {served['digest'][:19]}"
    wanted = "" if same else f"; expected is @{expected.version.version}, {expected.version.digest[:19]}"
    return Checked("version", same, found + wanted, {"served": served, "expected": expected.version.digest})


def schema(endpoint: Endpoint, expected: Expected) -> Checked:
    """It describes the model's inputs and outputs, and the fields of a request, as they are."""
    found = list(_schema_faults(endpoint, expected))
    inputs = len(expected.manifest.signature.inputs)
    return Checked("schema", not found, "; ".join(found) or f"{inputs} inputs as in the manifest", {"faults": found})


def _schema_faults(endpoint: Endpoint, expected: Expected) -> Iterator[str]:
    reply = endpoint.get(f"/v2/models/{expected.path}")
    document = reply.document if reply.status == 200 else None
    if not isinstance(document, Mapping):
        yield said(reply, "the model is not described")
        return
    wanted = {item.name: DATATYPES.get(item.type.kind, "") for item in expected.manifest.signature.inputs}
    told = {item["name"]: item["datatype"] for item in document.get("inputs", [])}
    if told != wanted:
        odd = sorted(name for name in {*told, *wanted} if told.get(name) != wanted.get(name))
        yield f"inputs differ: {', '.join(odd)}"
    output = expected.manifest.signature.outputs[0].name
    if output not in [item["name"] for item in document.get("outputs", [])]:
        yield f"no output {output!r}"
    if expected.service is not None:
        yield from _request_faults(endpoint, expected, expected.service)


def _request_faults(endpoint: Endpoint, expected: Expected, service: FeatureService) -> Iterator[str]:
    reply = endpoint.get("/openapi.json")
    try:
        path = reply.document["paths"][f"/predict/{expected.version.name}"]["post"]
        row = path["requestBody"]["content"]["application/json"]["schema"]["anyOf"][0]
    except (KeyError, TypeError, IndexError):
        yield said(reply, "the request is not described")
        return
    wanted = {item.name for item in (*service.request_keys, *service.request)}
    if set(row["properties"]) != wanted:
        yield f"a request's fields differ: {', '.join(sorted(set(row['properties']) ^ wanted))}"


def golden(endpoint: Endpoint, expected: Expected) -> Checked:
    """Golden inputs get their golden outputs."""
    rows = expected.golden
    reply = endpoint.post(expected.way, tensors(rows, expected.manifest.signature.inputs))
    output = expected.manifest.signature.outputs[0].name
    try:
        given = next(item["data"] for item in reply.document["outputs"] if item["name"] == output)
        number = reply.document["model_version"]
    except (KeyError, TypeError, StopIteration):
        return Checked("golden", passed=False, detail=said(reply, "no predictions"))
    differences = [_difference(one, row["output"]) for one, row in zip(given, rows, strict=False)]
    worst = max(differences, default=math.inf) if len(given) == len(rows) else math.inf
    detail = f"{len(rows)} rows by @{number} differ by {worst:.1g} at most"
    evidence = {"rows": len(rows), "difference": worst, "version": number}
    return Checked("golden", worst <= TOLERANCE, detail, evidence)


def _difference(given: float, wanted: float) -> float:
    return abs(given - wanted) / max(abs(wanted), 1e-12)


def errors(endpoint: Endpoint, expected: Held) -> Checked:
    """What is wrong is answered with the status that says so, as JSON that names the request and no code."""
    asked = expected.mistakes
    found = [
        fault for what, status, request in asked for fault in _answer_faults(what, status, endpoint.send(*request))
    ]
    detail = "; ".join(found) or f"{len(asked)} mistakes are answered as they should be"
    return Checked("errors", not found, detail, {"faults": found})


def _answer_faults(what: str, status: int, reply: Reply) -> Iterator[str]:
    if reply.status != status:
        yield f"{what} is answered {reply.status}, not {status}"
    document = reply.document
    if not isinstance(document, Mapping) or not isinstance(document.get("error"), str):
        yield f"{what} is not answered with an error in JSON"
    elif b"Traceback" in reply.body:
        yield f"{what} is answered with a traceback"


def keys(endpoint: Endpoint, expected: Expected) -> Checked:
    """A row by its keys is predicted, with all of its features."""
    if not expected.keys:
        return Checked("keys", None, "no row to predict is given")
    reply = endpoint.post(f"/predict/{expected.path}", dict(expected.keys))
    try:
        (row,) = reply.document["predictions"]
        number, value = reply.document["version"], float(row["value"])
    except (KeyError, TypeError, ValueError):
        return Checked("keys", passed=False, detail=said(reply, "no prediction"))
    lacking = row.get("incomplete", [])
    detail = f"@{number} predicts {value:,.6g}" + (f" without: {', '.join(lacking)}" if lacking else "")
    return Checked("keys", math.isfinite(value) and not lacking, detail, {"value": value, "incomplete": lacking})


def latency(endpoint: Endpoint, expected: Expected) -> Checked:
    """All but a hundredth of the answers come within the budget."""
    rows = expected.golden
    bodies = [tensors([row], expected.manifest.signature.inputs) for row in rows[: expected.requests]]
    return timed(endpoint, expected, expected.way, bodies)


def timed(endpoint: Endpoint, expected: Held, path: str, bodies: Sequence[Mapping[str, Any]]) -> Checked:
    """Ask with the bodies in turn, and judge how long the answers took."""
    count = max(expected.requests, _TIMED)
    replies = [endpoint.post(path, bodies[number % len(bodies)]) for number in range(count)]
    failed = sum(reply.status != 200 for reply in replies)
    took = sorted(reply.seconds * 1e3 for reply in replies)
    p50, p99 = took[len(took) // 2], took[math.ceil(0.99 * len(took)) - 1]
    budget = f" (budget {expected.p99_ms:g})" if expected.p99_ms else ""
    detail = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms{budget} over {count} requests" + (f", {failed} failed" * bool(failed))
    within = p99 <= expected.p99_ms if expected.p99_ms else None
    passed = False if failed else within
    return Checked("latency", passed, detail, {"p50_ms": p50, "p99_ms": p99, "requests": count, "failed": failed})


def tensors(rows: Sequence[Mapping[str, Any]], inputs: Sequence[Field]) -> dict[str, Any]:
    """Return the body of a request for golden rows, by the Open Inference Protocol."""
    found = [
        {
            "name": item.name,
            "shape": [len(rows)],
            "datatype": DATATYPES.get(item.type.kind, ""),
            "data": [_value(row["inputs"][item.name], item.type.kind) for row in rows],
        }
        for item in inputs
    ]
    return {"inputs": found}


def _value(value: Any, kind: Kind) -> Any:
    """Return a golden input, which is a float64 or a text, as its type has it."""
    if value is None or kind is Kind.STRING or kind is Kind.FLOAT64:
        return value
    return bool(value) if kind is Kind.BOOL else int(value)


def said(reply: Reply, otherwise: str) -> str:
    """Return what a server said that went wrong, or words of one's own."""
    told = reply.document.get("error") if isinstance(reply.document, Mapping) else None
    return f"answered {reply.status}: {told}" if told else f"{otherwise} (answered {reply.status})"
