"""What is found of a model in a window that has ended: judged by every rule, with the numbers that decide."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any, Final

from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring import parity
from stackwright.workflows.monitoring.report import numbers_of
from stackwright.workflows.monitoring.subject import Moves, Watched, champion_at, expected_of, version_before
from stackwright.workflows.monitoring.window import see
from stackwright.workflows.versions.resolving import find
from stackwright_interfaces.errors import StackwrightError
from stackwright_journal.alert_rules import PARITY, AlertRule, WindowData, evaluate
from stackwright_journal.records import rfc3339

_BACK: Final = timedelta(days=400)


def looked_at(
    stack: Stack, model: str, rules: Sequence[AlertRule], moves: Moves, start: datetime, end: datetime
) -> tuple[dict[str, Any] | None, Sequence[str]]:
    """Judge a window of a model.

    Args:
        moves: since when which version has been the champion, oldest first.
        start: its begin.
        end: its end, exclusive.

    Returns:
        What is written down of it, ``None`` where nothing was predicted up to its end; and what kept a part of it from
        being judged.
    """
    watched = Watched.of(stack, model, find(stack, f"{model}@{champion_at(moves, end)}"))
    with ExitStack() as opened:
        opened.callback(watched.model.close)
        by = tuple(dict.fromkeys(name for rule in rules for name in rule.by))
        horizon = watched.target.horizon or _BACK
        seen = see(stack, watched, start=start, end=end, at=end, back=horizon + timedelta(days=90), by=by)
        if not len(seen.joined.table):
            return None, ()
        compared, problems = _parity(stack, model, rules, start, end)
        data = WindowData(
            joined=seen.joined,
            counted=seen.counted,
            start=start,
            end=end,
            task=watched.model.manifest.task,
            version=watched.version.version,
            previous=version_before(moves, watched.version.version, end),
            expected=expected_of(stack, model),
            coverage=watched.coverage,
            k=watched.k,
            limits=journal.limits(stack),
            parity=compared,
        )
        found = {
            "start": rfc3339(start),
            "end": rfc3339(end),
            "version": watched.version.version,
            "digest": watched.version.digest,
            "verdicts": {rule.name: evaluate(rule, data) for rule in rules},
            "numbers": numbers_of(stack, watched, seen, start, end),
            "parity": compared,
        }
        return found, problems


def _parity(
    stack: Stack, model: str, rules: Sequence[AlertRule], start: datetime, end: datetime
) -> tuple[dict[str, Any], Sequence[str]]:
    """Compare some answers of the window with the offline path, where a rule asks for it."""
    rows = stack.blueprint.monitor.parity
    if not rows or not any(rule.watch == PARITY for rule in rules):
        return {}, ()
    try:
        return parity.compare(stack, model, start=start, end=end, rows=rows).to_json(), ()
    except StackwrightError as error:
        return {}, (f"answers could not be made again: {redact(str(error))}",)
