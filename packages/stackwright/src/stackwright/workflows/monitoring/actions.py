"""What is done about a proven loss: train anew and promote what the gates allow, or go back to the version before."""

from __future__ import annotations

from typing import Any

from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows.monitoring.subject import champions
from stackwright.workflows.training.any_model import train
from stackwright.workflows.versions.models import promote, rollback
from stackwright.workflows.versions.resolving import pointed
from stackwright_interfaces.errors import PromotionRefused, StackwrightError
from stackwright_interfaces.model import ModelRef


def perform(stack: Stack, action: str, model: str, why: str) -> dict[str, Any]:
    """Carry out an action.

    Args:
        action: ``"retrain"`` or ``"rollback"``.
        why: written into the registry's journal.

    Returns:
        ``ok``, ``words`` and what there is of ``before``, ``after`` and ``trained``, JSON values; a failure is told,
        not raised.
    """
    before = pointed(stack, model, stack.champion)
    try:
        found = _retrain(stack, model, why) if action == "retrain" else _roll_back(stack, model, why)
    except StackwrightError as error:
        found = {"ok": False, "words": f"{action} failed: {redact(str(error))}"}
    except Exception as error:  # noqa: BLE001 - whatever a trainer or gate raises, the watch goes on
        found = {"ok": False, "words": f"{action} failed: {type(error).__name__}: {redact(str(error))}"}
    return {"action": action, "before": before, "after": pointed(stack, model, stack.champion), **found}


def _retrain(stack: Stack, model: str, why: str) -> dict[str, Any]:
    outcome = train(stack, model)
    trained = str(outcome.data["model"])
    if not outcome.ok:
        red = ", ".join(name for name, green in outcome.data["gates"].items() if not green)
        return {"ok": False, "trained": trained, "words": f"{trained} was trained, and not promoted: {red} is red"}
    number = ModelRef.parse(trained).version
    if number in {version for _, version in champions(stack, model)}:
        words = f"nothing was learned since {trained}, which has been the champion before"
        return {"ok": False, "trained": trained, "words": words}
    try:
        promoted = promote(stack, trained, reason=f"watch: {why}")
    except PromotionRefused as error:
        return {"ok": False, "trained": trained, "words": f"{trained} was trained, and not promoted: {error}"}
    return {"ok": True, "trained": trained, "words": f"{promoted.title}; its gates are green"}


def _roll_back(stack: Stack, model: str, why: str) -> dict[str, Any]:
    return {"ok": True, "words": rollback(stack, model, reason=f"watch: {why}").title}
