"""Challengers: versions on trial beside the champion, for a share of the entities or as a shadow.

The alias ``challenger`` says which version; share and shadow stand in the evidence of the line that moved it. So a
trial begins, changes and ends as an alias moves: by compare-and-set, with who, when and why, and workers learn of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions.evidence import gates_of
from stackwright.workflows.versions.models import move, refusals_of, refuse_retired, remove
from stackwright.workflows.versions.resolving import challenger_alias, find, pointed
from stackwright_interfaces.errors import ModelNotFound, PromotionRefused, UsageError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import Event, ModelVersion
from stackwright_serving.arms import Challenger

TRIAL: Final = "trial"
"""Key of a line's evidence that holds share and shadow."""


def challenger_of(stack: Stack, name: str) -> Challenger | None:
    """Return the version on trial of a model; an alias that was moved without a share is a shadow.

    Raises:
        RegistryError: the registry cannot be asked.
    """
    alias = challenger_alias(stack)
    number = pointed(stack, name, alias)
    if number is None:
        return None
    trial = _trial(stack.registry.history(name)[1], alias, number)
    return Challenger(
        version=find(stack, f"{name}@{number}"),
        share=float(trial.get("share", 0.0)),
        shadow=bool(trial.get("shadow", True)),
        by=tuple(trial.get("by", ())),
    )


def _trial(events: Sequence[Event], alias: str, number: int) -> Mapping[str, Any]:
    moves = (event for event in reversed(events) if event.kind == "alias" and event.alias == alias)
    last = next(moves, None)
    found: Mapping[str, Any] = last.evidence.get(TRIAL, {}) if last is not None and last.after == number else {}
    return found


def canary(
    stack: Stack,
    name: str,
    version: int | None = None,
    *,
    share: float | None = None,
    shadow: bool = False,
    by: Sequence[str] = (),
    end: bool = False,
    force: bool = False,
    reason: str = "",
) -> Outcome:
    """Put a version on trial beside the champion, change its share, or end the trial; servers follow by themselves.

    Args:
        name: the model.
        version: the version; without it, the one on trial.
        share: share of the entities that it answers, 0 to 1; without share and shadow, tell how the trial stands.
        shadow: let it score a copy of what the champion answers, off the reply path.
        by: request keys or fields whose values decide who is in the share; without any, all keys.
        end: end the trial.
        force: past red or missing gates; needs a reason.
        reason: written into the journal.

    Raises:
        ModelNotFound: there is no such version, no champion, or nothing is on trial.
        PromotionRefused: the evidence does not allow it, the version is retired, or it is the champion.
        UsageError: a key that the model's service does not take, any key of a recommender, or a force without a reason.
    """
    if force and not reason:
        raise UsageError("--force", "no reason is given", 'Add: --reason "..."')
    current = challenger_of(stack, name)
    if version is None and current is None:
        found, todo = "no version is on trial", f"Run: stackwright canary {name} VERSION --share 5%"
        raise ModelNotFound(f"model {name!r}", found, todo)
    if end:
        return _ended(stack, name, current, reason)
    if share is None and not shadow:
        if version is not None and (current is None or current.version.version != version):
            raise UsageError(f"{name}@{version}", "neither share nor shadow is given", "Add: --share 5%, or --shadow")
        assert current is not None
        return _told(stack, name, current, changed=False)
    chosen = current.version if version is None and current is not None else find(stack, f"{name}@{version}")
    if name in stack.blueprint.recommenders and by:
        found = "the user alone decides whose list it is"
        raise UsageError(f"recommender {name!r}", found, "Give a share, without --by.")
    _check(stack, chosen, by)
    evidence = gates_of(stack, chosen)
    refusals = refusals_of(stack, chosen, evidence)
    if refusals and not force:
        raise PromotionRefused(
            chosen.ref, "; ".join(refusals), "Mend it and train again, or use --force with --reason."
        )
    trial = {"share": share or 0.0, "shadow": shadow, "by": sorted(by)}
    event = Event(
        at=stack.clock(),
        kind="alias",
        name=name,
        version=chosen.version,
        alias=challenger_alias(stack),
        who=who(),
        why=reason or "on trial",
        after=chosen.version,
        evidence={**evidence, TRIAL: trial, **({"forced": refusals} if refusals else {})},
    )
    move(stack, chosen, event, None if current is None else current.version.version)
    begun = Challenger(version=chosen, share=share or 0.0, shadow=shadow, by=tuple(sorted(by)))
    return _told(stack, name, begun, changed=True)


def _check(stack: Stack, version: ModelVersion, by: Sequence[str]) -> None:
    refuse_retired(stack, version)
    champion = pointed(stack, version.name, stack.champion)
    if champion is None:
        todo = f"Promote one first: stackwright promote {version.name}"
        raise ModelNotFound(f"model {version.name!r}", "no version is promoted to try another beside", todo)
    if champion == version.version:
        raise PromotionRefused(version.ref, f"it is the {stack.champion} itself", "Name another version.")
    service = Manifest.read(stack.registry.fetch(find(stack, f"{version.name}@{champion}"))).service
    applied = next((item for item in stack.definitions.services if item.ref == service), None)
    known = [field.name for field in (*applied.request_keys, *applied.request)] if applied else list(by)
    for key in by:
        if key not in known:
            raise UsageError(f"--by {key}", "is neither a key nor a request field", f"Known: {', '.join(known)}.")


def _ended(stack: Stack, name: str, current: Challenger | None, reason: str) -> Outcome:
    if current is None:
        return Outcome(f"No version of {name} is on trial", {"model": name, "challenger": None, "changed": False})
    remove(stack, current.version, challenger_alias(stack), reason or "the trial ended")
    title = f"{current.version.ref} is on trial no more"
    return Outcome(title, {"model": name, "challenger": None, "was": current.version.ref, "changed": True})


def _told(stack: Stack, name: str, trial: Challenger, *, changed: bool) -> Outcome:
    champion = pointed(stack, name, stack.champion)
    parts = [f"answers {trial.share:.4g} of the entities" if trial.share else "", "shadow" if trial.shadow else ""]
    title = f"{trial.version.ref} is on trial beside @{champion}: {', '.join(part for part in parts if part)}"
    data = {
        "model": name,
        "champion": f"{name}@{champion}",
        "challenger": trial.version.ref,
        "share": trial.share,
        "shadow": trial.shadow,
        "by": list(trial.by),
        "changed": changed,
    }
    rows = [("champion", f"@{champion}", 1 - trial.share, ""), *_row(trial)]
    return Outcome(title, data, (Table(("arm", "version", "share", "shadow"), rows),))


def _row(trial: Challenger) -> list[tuple[Any, ...]]:
    return [("challenger", f"@{trial.version.version}", trial.share, trial.shadow)]
