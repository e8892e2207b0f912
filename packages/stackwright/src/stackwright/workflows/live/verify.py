"""Verifying: is what answers at a URL the version that was meant, and does it answer as it should?"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any

from stackwright.assembly.blueprint import FILE
from stackwright.assembly.stack import Stack
from stackwright.workflows.live import verification
from stackwright.workflows.live.endpoint import Endpoint
from stackwright.workflows.live.endpoint_checks import Checked, Expected, Held
from stackwright.workflows.live.list_checks import ExpectedLists
from stackwright.workflows.live.scoring import resolve
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.recommending.loading import load
from stackwright.workflows.rows.arguments import parse_value
from stackwright.workflows.versions.champions import trained_names
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import BlueprintError, ModelNotFound, ServerError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving import golden_lists
from stackwright_serving.lists import ListOptions, LoadedLists


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
        keys: keys and request fields of a row to predict; of a recommender, fields of a request.
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
            with expectation(stack, version, keys=keys or {}, p99_ms=budget, requests=requests) as expected:
                found[version.ref] = hold(endpoint, expected)
            if record:
                verification.write(stack, version, url, found[version.ref])
    return _outcome(url, found, {version.ref: version for version in versions})


def hold(endpoint: Endpoint, expected: Held) -> list[Checked]:
    """Return what each check finds; where the server cannot be asked any more, that is what the rest find.

    Raises:
        ServerError: it cannot be asked at all.
    """
    found: list[Checked] = []
    for check in expected.checks:
        try:
            found.append(check(endpoint, expected))
        except ServerError as error:
            if not found:
                raise
            found.append(Checked(check.__name__, passed=False, detail=str(error)))
    return found


@contextmanager
def expectation(
    stack: Stack,
    version: ModelVersion,
    *,
    keys: Mapping[str, Any],
    p99_ms: float,
    requests: int = 100,
) -> Iterator[Held]:
    """Give what a server is held to that serves a version, while a block lasts."""
    folder = stack.registry.fetch(version)
    manifest = Manifest.read(folder)
    if manifest.task == TASK:
        part = stack.recommender(version.name)
        options = ListOptions(usual=part.list.request())
        with closing(LoadedLists.warmed(version, load(stack, version)[1], options)) as lists:
            yield ExpectedLists(
                version=version,
                keys=_request(keys),
                p99_ms=p99_ms,
                requests=requests,
                lists=lists,
                golden=golden_lists.requests(folder),
            )
        return
    service = next((item for item in stack.definitions.services if item.ref == manifest.service), None)
    yield Expected(
        version=version,
        keys=_row(keys, service),
        p99_ms=p99_ms,
        requests=requests,
        manifest=manifest,
        folder=folder,
        service=service,
    )


def _request(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request for a list; items are parted by commas."""
    read: dict[str, Any] = dict(keys)
    for name in ("session", "candidates"):
        if isinstance(read.get(name), str):
            read[name] = read[name].split(",")
    for name, kind in (("n", int), ("budget", float)):
        if isinstance(read.get(name), str):
            with suppress(ValueError):  # what is no number the server refuses
                read[name] = kind(read[name])
    return read


def _row(keys: Mapping[str, Any], service: FeatureService | None) -> dict[str, Any]:
    """Return a row as JSON values; texts are read by their declared types, and what is unknown the server refuses."""
    fields = {item.name: item for item in (*service.request_keys, *service.request)} if service else {}
    read = {
        name: parse_value(value, fields[name]) if isinstance(value, str) and name in fields else value
        for name, value in keys.items()
    }
    return {name: json_value(value) for name, value in read.items()}


def json_value(value: Any) -> Any:
    """Return a key or request field as a request holds it."""
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
    for name in trained_names(stack):
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
