"""Deploying: one digest through the environments, each step only after the one before was verified.

The bytes are copied where environments have registries of their own, and are the same by their digest; the evidence of
the gates goes with them. What held is written into the journal of the environment, and what did not is taken back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stackwright.assembly.blueprint import FILE
from stackwright.assembly.options import places
from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright.workflows.live import verification, verify
from stackwright.workflows.live.endpoint import Endpoint
from stackwright.workflows.live.endpoint_checks import Checked
from stackwright.workflows.live.scoring import resolve
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.champions import trained_names
from stackwright.workflows.versions.evidence import evidence_of, gates_of
from stackwright.workflows.versions.models import promote, remove, rollback
from stackwright.workflows.versions.resolving import pointed
from stackwright_interfaces.errors import (
    BlueprintError,
    ModelNotFound,
    PromotionRefused,
    ServerError,
    StackwrightError,
)
from stackwright_interfaces.registry import Event, ModelVersion

_LOOK: Final = 0.5
"""Seconds between two looks at whether the servers have taken up a version."""


@dataclass(frozen=True)
class Deployed:
    """What became of one model.

    Args:
        source: the version in the environment before.
        target: the same in this one.
        before: the version that this environment ran.
        checks: what the server was held to, in the end.
        rolled_back: whether it was taken back.
    """

    source: ModelVersion
    target: ModelVersion
    before: int | None
    checks: list[Checked]
    rolled_back: bool = False

    @property
    def ok(self) -> bool:
        """Whether it runs, verified."""
        return all(check.passed is not False for check in self.checks)


def deploy(source: Stack, target: Stack, *, model: str | None = None, keys: Mapping[str, Any] | None = None) -> Outcome:
    """Move what one environment runs, and was verified there, into the next; take it back where it does not hold.

    Args:
        source: the environment before, as ``after`` of ``[deploy]`` says.
        target: the environment.
        model: only this model.
        keys: keys and request fields of a row to predict.

    Raises:
        BlueprintError: the environment has no URL, or registry and alias of the one before.
        ModelNotFound: the environment before runs nothing.
        PromotionRefused: the version was not verified there, or the evidence does not allow it here.
        ServerError: the server of this environment cannot be asked; then nothing was moved.
    """
    _check(source, target)
    names = [model] if model else [name for name in trained_names(source) if pointed(source, name, source.champion)]
    if not names:
        raise ModelNotFound(_of(source), "runs no model", f"Run: stackwright promote NAME{_option(source)}")
    versions = [resolve(source, name) for name in names]
    for version in versions:
        _check_verified(source, version)
    with Endpoint(target.blueprint.deploy.url, token=verify.token(target)) as endpoint:
        if any(pointed(target, version.name, target.champion) for version in versions):
            endpoint.get(
                "/health/live"
            )  # a server that cannot be reached moves nothing; the first version brings it up
        done = [_deployed(source, target, version, endpoint, keys or {}) for version in versions]
    return _outcome(source, target, done)


def _check(source: Stack, target: Stack) -> None:
    part = target.blueprint.deploy
    where = f"{FILE} [env.{target.project.env}.deploy]"
    if not part.url:
        raise BlueprintError(where, "url is not set", 'Add url = "https://...", where its server answers.')
    if target.champion == source.champion and _registry(source) == _registry(target):
        found = f"registry and alias {target.champion!r} are those of {_of(source)}"
        raise BlueprintError(where, found, 'Give it a registry of its own, or add: alias = "..."')


def _registry(stack: Stack) -> Any:
    choice = stack.plan.choices.get("registry")
    if choice is None:
        raise BlueprintError(f"{FILE} [registry]", "the slot is empty", 'Add [registry] with adapter = "..."')
    return choice.spec.name, places(choice.part, choice.spec, stack.project.folder)


def _check_verified(source: Stack, version: ModelVersion) -> None:
    """Refuse a version that the environment before did not verify; one without a server has nothing to verify."""
    if not source.blueprint.deploy.url:
        return
    found = verification.last(source, version)
    if found is None or not found["passed"]:
        why = "it was never verified there" if found is None else f"it did not hold there: {', '.join(found['red'])}"
        raise PromotionRefused(
            f"{version.ref} of {_of(source)}", why, f"Run: stackwright verify --record{_option(source)}"
        )


def _deployed(
    source: Stack, target: Stack, version: ModelVersion, endpoint: Endpoint, keys: Mapping[str, Any]
) -> Deployed:
    copy = _copied(source, target, version)
    before = pointed(target, copy.name, target.champion)
    known = verification.last(target, copy)
    held = before == copy.version and known is not None and bool(known["passed"])
    if before != copy.version:
        promote(target, copy.ref, reason=f"deployed from {_of(source)}", compared=False)
    checks = _verified(target, copy, endpoint, keys)
    verification.write(target, copy, endpoint.url, checks)
    red = [check.name for check in checks if check.passed is False]
    if red and not held:
        _take_back(target, copy, f"it did not hold: {', '.join(red)}")
    return Deployed(version, copy, before, checks, rolled_back=bool(red) and not held)


def _copied(source: Stack, target: Stack, version: ModelVersion) -> ModelVersion:
    """Return the version in the registry of the environment; published there, of the same bytes, where it is not."""
    if _registry(source) == _registry(target):
        return version
    evidence = gates_of(source, version)
    record = {**version.record, "deployed_from": {"env": source.project.env, "model": version.ref}}
    copy = target.registry.publish(version.name, source.registry.fetch(version), record, who=who())
    if copy.digest != version.digest:
        raise PromotionRefused(copy.ref, f"has the digest {copy.digest}", f"It should have that of {version.ref}.")
    if evidence and evidence_of(target.registry.history(copy.name)[1], copy) != evidence:
        event = Event(
            at=target.clock(),
            kind="evidence",
            name=copy.name,
            version=copy.version,
            who=who(),
            why=f"gates as in {_of(source)}",
            evidence=evidence,
        )
        target.registry.record(event)
    return copy


def _verified(stack: Stack, version: ModelVersion, endpoint: Endpoint, keys: Mapping[str, Any]) -> list[Checked]:
    """Wait until the servers have taken up the version, then hold them to it."""
    part = stack.blueprint.deploy
    deadline = time.monotonic() + part.wait
    try:
        with verify.expectation(stack, version, keys=keys, p99_ms=part.p99_ms) as expected:
            while not _takes_up(endpoint, version) and time.monotonic() < deadline:
                time.sleep(min(_LOOK, max(0.0, deadline - time.monotonic())))
            return verify.hold(endpoint, expected)
    except StackwrightError as error:
        return [Checked("reachable", passed=False, detail=str(error))]


def _takes_up(endpoint: Endpoint, version: ModelVersion) -> bool:
    """Return whether each of some looks, which may reach several workers, finds the version."""
    try:
        replies = [endpoint.send("GET", "/models", headers={"Connection": "close"}) for _ in range(4)]
    except ServerError:
        return False
    found = [
        item.get("digest")
        for reply in replies
        if reply.status == 200
        for item in reply.document["models"]
        if item.get("name") == version.name
    ]
    return len(found) == len(replies) and set(found) == {version.digest}


def _take_back(stack: Stack, version: ModelVersion, why: str) -> None:
    try:
        rollback(stack, version.name, reason=why)
    except PromotionRefused:
        remove(stack, version, stack.champion, why)


def _of(stack: Stack) -> str:
    return f"environment {stack.project.env!r}" if stack.project.env else "the blueprint as it stands"


def _option(stack: Stack) -> str:
    return f" --env {stack.project.env}" if stack.project.env else ""


def _outcome(source: Stack, target: Stack, done: list[Deployed]) -> Outcome:
    red = [item for item in done if not item.ok]
    told = ", ".join(item.target.ref for item in done)
    title = f"{_of(target)} runs {told}, verified"
    notes = []
    for item in red:
        after = pointed(target, item.target.name, target.champion)
        now = f"runs @{after} again" if after else "runs none"
        notes.append(
            f"{item.target.ref} does not hold and was taken back; the environment {now}."
            if item.rolled_back
            else f"{item.target.ref} does not hold now; it was verified before, and stays."
        )
    if red:
        title = f"{_of(target)} does not hold with {', '.join(item.target.ref for item in red)}"
    rows = [(item.target.ref, check.name, check.state, check.detail) for item in done for check in item.checks]
    models = [
        {
            "model": item.target.ref,
            "from": item.source.ref,
            "digest": item.target.digest,
            "before": item.before,
            "ok": item.ok,
            "rolled_back": item.rolled_back,
            "checks": [check.to_json() for check in item.checks],
        }
        for item in done
    ]
    data = {
        "env": target.project.env,
        "after": source.project.env,
        "url": target.blueprint.deploy.url,
        "models": models,
    }
    return Outcome(title, data, (Table(("model", "check", "", "found"), rows),), tuple(notes), ok=not red)
