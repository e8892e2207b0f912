"""Evidence: what a registry's journal says of the gates that a version passed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from stackwright.assembly.blueprint import Trained
from stackwright.assembly.gate_options import configured
from stackwright.assembly.stack import Stack
from stackwright.workflows.gates import GateResult
from stackwright.workflows.identity import who
from stackwright.workflows.versions.resolving import retirement_of
from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.registry import Event, ModelVersion


def record(stack: Stack, part: Trained, version: ModelVersion, gates: Sequence[GateResult], key: str) -> None:
    """Write into the journal what the gates found of a version.

    Args:
        key: what the training depended on, as one hash.
    """
    evidence = {
        "digest": version.digest,
        "key": key,
        "configuration": gate_configuration(stack, part),
        "gates": [result.to_json() for result in gates],
    }
    stack.registry.record(
        Event(
            at=stack.clock(),
            kind="evidence",
            name=version.name,
            version=version.version,
            who=who(),
            why="gates",
            evidence=evidence,
        )
    )


def gate_configuration(stack: Stack, part: Trained) -> str:
    """Return the SHA-256 of the gates that a model must pass: their options, and the files that these name."""
    chosen = configured(part, stack.plugins)
    files = [stack.project.folder / options["file"] for options in chosen.values() if options.get("file")]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in files]
    return hashlib.sha256(canonical([chosen, contents])).hexdigest()


def gates_of(stack: Stack, version: ModelVersion) -> Mapping[str, Any]:
    """Return the newest evidence for a version's digest; empty where there is none."""
    return evidence_of(stack.registry.history(version.name)[1], version)


def evidence_of(events: Sequence[Event], version: ModelVersion) -> Mapping[str, Any]:
    """Return the newest evidence for a version's digest among lines of the journal; empty where there is none."""
    about = (event for event in reversed(events) if event.kind == "evidence")
    found = (event.evidence for event in about if (event.name, event.version) == (version.name, version.version))
    return next((evidence for evidence in found if evidence.get("digest") == version.digest), {})


def trained_on(stack: Stack, name: str, key: str) -> ModelVersion | None:
    """Return the newest version that such a training would make again, a retired one only where there is no other.

    A training that was cut off has no evidence. One with a red gate is worth another: what the gate found may be mended
    where no key looks, features that were not online say.
    """
    versions, events = stack.registry.history(name)
    found = [version for version in reversed(versions) if evidence_of(events, version).get("key") == key]
    in_use = [version for version in found if retirement_of(events, version) is None]
    if in_use:
        passed = all(gate["passed"] for gate in evidence_of(events, in_use[0])["gates"])
        return in_use[0] if passed else None
    return found[0] if found else None
