"""The alert rules of a blueprint, as the journal judges by them, and the windows that they are judged in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stackwright.assembly.monitor_check import unfit
from stackwright.assembly.monitor_part import RulePart
from stackwright.assembly.stack import Stack
from stackwright_journal import list_rules
from stackwright_journal.alert_rules import DEFAULTS, AlertRule

FIRST: Final = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday, from which windows are counted."""
LOOKED_BACK: Final = 12
"""Windows that ended so long ago are not judged any more."""


def rules_for(stack: Stack, name: str) -> list[AlertRule]:
    """Return the rules that are for a model or a recommender: of the blueprint, or the usual where it names none."""
    parts, lists = stack.blueprint.monitor.rules, name in stack.blueprint.recommenders
    if not parts:
        return list(list_rules.DEFAULTS if lists else DEFAULTS)
    fitting = {rule: part for rule, part in parts.items() if not unfit(part, lists=lists)}
    return [_rule(rule, part) for rule, part in fitting.items() if not part.models or name in part.models]


def _rule(name: str, part: RulePart) -> AlertRule:
    action: Any = part.action
    return AlertRule(
        name=name,
        watch=part.watch,
        limit=part.limit,
        kind=part.kind,
        against=part.against,
        basis=part.basis,
        by=part.by,
        columns=part.columns,
        minimum=part.min_rows,
        level=part.level,
        windows=part.windows,
        clear=part.clear,
        action=action,
        cooldown=timedelta(days=part.cooldown),
        notify=part.notify,
        models=part.models,
    )


def ended(stack: Stack, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Give the windows that have ended by now and still count, oldest first: start, and end, exclusive."""
    length = timedelta(days=stack.blueprint.monitor.window)
    last = (now - FIRST) // length
    for number in range(max(last - LOOKED_BACK, 0), last):
        yield FIRST + number * length, FIRST + (number + 1) * length
