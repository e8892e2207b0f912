"""Verifying: is what answers at a URL the version that was meant, and does it answer as it should?"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from stackwright.assembly.blueprint import FILE
from stackwright.assembly.stack import Stack
from stackwright.workflows.live import verification
from stackwright.workflows.live.endpoint import Endpoint
from stackwright.workflows.live.endpoint_checks import CHECKS, Checked, Expected
from stackwright.workflows.live.scoring import model_names, resolve
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.arguments import parse_value
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import BlueprintError, ModelNotFound, ServerError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion


def verify(
    stack: Stack,
    url: str | None = None,
    *,
    model: str | None = None,
    keys: Mapping[str, Any] | None = None,
    p99_ms: float | None = None,
    requests: int = 100,
    record: bool = False,
) -> Outcome:
    """Hold a live server to what the registry says that it serves.

    Args:
        url: where it answers; ``None`` takes that of ``[deploy]``.
        model: ``NAME``, ``NAME@VERSION`` or ``NAME@ALIAS`` that must answer; without it, what the environment runs of
            each.
        keys: keys and request fields of a row to predict.
        p99_ms: milliseconds that all but a hundredth of the answers may take; ``None`` takes those of ``[deploy]``, 0
            judges none.
        requests: requests by which the latency is judged.
        record: write into the journal what was found, for ``deploy`` to go by.

    Raises:
        BlueprintError: no URL is given or set.
        ModelNotFound: nothing is promoted, or there is no such version.
        ServerError: the server cannot be asked at all.
    """
    url = url or stack.blueprint.deploy.url
    if not url:
        raise BlueprintError(f"{FILE} [deploy]", "url is not set", 'Add url = "https://...", or name the URL.')
    versions = [resolve(stack, model)] if model else _promoted(stack)
    budget = stack.blueprint.deploy.p99_ms if p99_ms is None else p99_ms
    found = {}
    with Endpoint(url, token=token(stack)) as endpoint:
        for version in versions:
            expected = expectation(stack, version, keys=keys or {}, p99_ms=budget, requests=requests)
            found[version.ref] = hold(endpoint, expected)
            if record:
                verification.write(stack, version, url, found[version.ref])
    return _outcome(url, found, {version.ref: version for version in versions})


def hold(endpoint: Endpoint, expected: Expected) -> list[Checked]:
    """Return what each check finds; where the server cannot be asked any more, that is what the rest find.

    Raises:
        ServerError: it cannot be asked at all.
    """
    found: list[Checked] = []
    for check in CHECKS:
        try:
            found.append(check(endpoint, expected))
        except ServerError as error:
            if not found:
                raise
            found.append(Checked(check.__name__, passed=False, detail=str(error)))
    return found


def expectation(
    stack: Stack,
    version: ModelVersion,
    *,
    keys: Mapping[str, Any],
    p99_ms: float,
    requests: int = 100,
) -> Expected:
    """Return what a server is held to that serves a version."""
    folder = stack.registry.fetch(version)
    manifest = Manifest.read(folder)
    service = next((item for item in stack.definitions.services if item.ref == manifest.service), None)
    return Expected(version, manifest, folder, service, _row(keys, service), p99_ms, requests)


def _row(keys: Mapping[str, Any], service: FeatureService | None) -> dict[str, Any]:
    """Return a row as JSON values; texts are read by their declared types, and what is unknown the server refuses."""
    fields = {item.name: item for item in (*service.request_keys, *service.request)} if service else {}
    read = {
        name: parse_value(value, fields[name]) if isinstance(value, str) and name in fields else value
        for name, value in keys.items()
    }
    return {name: _plain(value) for name, value in read.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, datetime) else value


def token(stack: Stack) -> str:
    """Return the bearer token of ``[deploy]``; empty where there is none.

    Raises:
        BlueprintError: it cannot be read.
    """
    secret = stack.blueprint.deploy.token
    return "" if secret is None else str(secret.reveal(f"{FILE} [deploy] token", stack.project.folder))


def _promoted(stack: Stack) -> list[ModelVersion]:
    found = []
    for name in model_names(stack):
        try:
            found.append(resolve(stack, name))
        except ModelNotFound:
            continue
    if not found:
        todo = "Run: stackwright promote NAME, or name a model."
        raise ModelNotFound("registry", "no model of this blueprint is promoted", todo)
    return found


def _outcome(url: str, found: Mapping[str, list[Checked]], versions: Mapping[str, ModelVersion]) -> Outcome:
    red = [f"{ref} {item.name}" for ref, checks in found.items() for item in checks if item.passed is False]
    title = f"{url} does not hold: {', '.join(red)}" if red else f"{url} serves {', '.join(found)} as it should"
    models = [
        {
            "model": ref,
            "digest": versions[ref].digest,
            "ok": all(item.passed is not False for item in checks),
            "checks": [item.to_json() for item in checks],
        }
        for ref, checks in found.items()
    ]
    rows = [(ref, item.name, item.state, item.detail) for ref, checks in found.items() for item in checks]
    return Outcome(title, {"url": url, "models": models}, (Table(("model", "check", "", "found"), rows),), ok=not red)
