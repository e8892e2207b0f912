"""A published version beside one that was trained again: what comes out otherwise, and what changed since."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stackwright.assembly.stack import Stack
from stackwright.workflows.lineage.training_rows import changed_definitions
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.training.code_version import commit_of
from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion


class Check(NamedTuple):
    """One thing that was compared.

    Args:
        what: what was compared.
        same: whether it came out alike.
        detail: what was found.
    """

    what: str
    same: bool
    detail: str


def reproduced(stack: Stack, version: ModelVersion, then: Manifest, now: Manifest, checks: Sequence[Check]) -> Outcome:
    """Tell what came out otherwise, and what may have caused it."""
    alike = all(check.same for check in checks)
    reasons = [] if alike else list(_reasons(stack, version, then, now))
    title = f"{version.ref} is reproduced, to the last bit" if alike else f"{version.ref} came out otherwise"
    data = {
        "model": version.ref,
        "reproduced": alike,
        "digest": {"then": version.digest, "now": now.digest},
        "checks": [check._asdict() for check in checks],
        "reasons": reasons,
    }
    table = Table(("compared", "state", "what was found"), [(it.what, _state(it), it.detail) for it in checks])
    return Outcome(title, data, (table,), tuple(f"Changed since: {reason}" for reason in reasons), ok=alike)


def _state(check: Check) -> str:
    return "same" if check.same else "OTHER"


def fingerprint(manifest: Manifest) -> str:
    """Say what a version learned from."""
    return f"{manifest.data.get('rows'):,} rows, sha256 {manifest.data.get('sha256')}"


def compared(then: Manifest, now: Manifest) -> Iterator[Check]:
    """Compare what the digest covers, a part at a time."""
    before, after = then.to_json(), now.to_json()
    for key in sorted({*before, *after} - {"data"}):
        old, new = before.get(key), after.get(key)
        same = canonical(old) == canonical(new)
        yield Check(key, same, "" if same else _difference(old, new))
    yield Check("digest", then.digest == now.digest, then.digest if then.digest == now.digest else now.digest)


def _difference(old: Any, new: Any) -> str:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return "it differs"
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return ", ".join(_told(key, old.get(key), new.get(key)) for key in changed)


def _told(key: str, old: Any, new: Any) -> str:
    short = all(item is None or (isinstance(item, str | int | float) and len(str(item)) < 40) for item in (old, new))
    return f"{key} was {old}, is {new}" if short else f"{key} differs"


def _reasons(stack: Stack, version: ModelVersion, then: Manifest, now: Manifest) -> Iterator[str]:
    """Give what is known to have changed since the version was trained."""
    for name in sorted({*then.code, *now.code}):
        if then.code.get(name) != now.code.get(name):
            yield f"{name} was {then.code.get(name, 'absent')}, is {now.code.get(name, 'absent')}"
    python = version.record.get("python")
    if python and python != platform.python_version():
        yield f"Python was {python}, is {platform.python_version()}"
    if then.parameters.get("threads") != now.parameters.get("threads"):
        yield f"it was fitted with {then.parameters.get('threads')} threads, now with {now.parameters.get('threads')}"
    yield from (line.rstrip(".") for line in changed_definitions(stack, then))
    yield from _commits(version.record.get("code"), commit_of(stack.project.folder))


def _commits(was: Any, now: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(was, Mapping):
        return
    if was.get("commit") != now["commit"]:
        yield f"the commit was {was.get('commit') or 'unknown'}, is {now['commit'] or 'unknown'}"
    if was.get("dirty"):
        yield "it was trained with changes that were not committed"
