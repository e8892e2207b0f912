"""Verifications in the registry's journal: which version held where it ran, and which did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright.workflows.live.endpoint_checks import Checked
from stackwright_interfaces.registry import Event, ModelVersion

VERIFICATION: Final = "verification"
"""Key of a line's evidence."""


def write(stack: Stack, version: ModelVersion, url: str, checks: Sequence[Checked]) -> None:
    """Write down what was found of a version where it runs."""
    red = [check.name for check in checks if check.passed is False]
    found = {
        "passed": not red,
        "digest": version.digest,
        "env": stack.project.env,
        "url": url,
        "red": red,
        "checks": [check.to_json() for check in checks],
    }
    event = Event(
        at=stack.clock(),
        kind="evidence",
        name=version.name,
        version=version.version,
        who=who(),
        why=f"does not hold at {url}: {', '.join(red)}" if red else f"verified at {url}",
        evidence={VERIFICATION: found},
    )
    stack.registry.record(event)


def last(stack: Stack, version: ModelVersion) -> Mapping[str, Any] | None:
    """Return what was found last of a version in a stack's environment; ``None`` where it was never verified there."""
    for event in reversed(stack.registry.history(version.name)[1]):
        found = event.evidence.get(VERIFICATION, {})
        if event.version == version.version and found.get("env") == stack.project.env:
            return found if found.get("digest") == version.digest else None
    return None
