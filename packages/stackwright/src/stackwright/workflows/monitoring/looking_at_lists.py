"""What is found of a recommender in a window that has ended: its lists, judged by every rule that is for lists."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring.lists import catalogue_of, seen_of
from stackwright.workflows.monitoring.subject import Moves, champion_at, version_before
from stackwright.workflows.versions.resolving import find
from stackwright_journal.alert_rules import AlertRule
from stackwright_journal.list_numbers import describe
from stackwright_journal.list_reading import NO_LISTS, ListReader, ShownLists
from stackwright_journal.list_rules import PREVIOUS, START, ListWindow, evaluate_lists
from stackwright_journal.records import rfc3339


def looked_at_lists(
    stack: Stack, name: str, rules: Sequence[AlertRule], moves: Moves, start: datetime, end: datetime
) -> tuple[dict[str, Any] | None, Sequence[str]]:
    """Judge a window of a recommender's lists, with the clicks on them that were observed by its end.

    ``start`` of a rule is the first days of the version, as many as a window has, once they are over when the window
    begins; ``previous`` the last ones of the version before.

    Returns:
        What is written down of it, ``None`` where no list was shown up to its end; and no problems.
    """
    version = find(stack, f"{name}@{champion_at(moves, end)}")
    promoted = max(at for at, number in moves if number == version.version and (at <= end or at == moves[0][0]))
    length = timedelta(days=stack.blueprint.monitor.window)
    before = version_before(moves, version.version, end)
    wanted = {rule.against or START for rule in rules}
    with closing(journal.lists(stack)) as reader:
        everyone = seen_of(reader.read(name, start=start, end=end, known_at=end))
        earlier = not len(everyone) and bool(len(seen_of(reader.read(name, end=start))))
        if not len(everyone) and not earlier:
            return None, ()
        first = _of(reader, name, version.version, promoted, promoted + length) if START in wanted else NO_LISTS
        last = _of(reader, name, before, promoted - length, promoted) if PREVIOUS in wanted and before else NO_LISTS
    shown = everyone.of_version(version.version)
    catalogue = catalogue_of(version)
    k = stack.recommender(name).k
    window = ListWindow(
        shown=shown,
        before=earlier,
        start=first if promoted + length <= start else NO_LISTS,
        previous=last,
        k=k,
        catalogue=catalogue,
    )
    found = {
        "start": rfc3339(start),
        "end": rfc3339(end),
        "version": version.version,
        "digest": version.digest,
        "verdicts": {rule.name: evaluate_lists(rule, window) for rule in rules},
        "numbers": describe(shown, k=k, catalogue=catalogue),
    }
    return found, ()


def _of(reader: ListReader, name: str, version: int, start: datetime, end: datetime) -> ShownLists:
    """Return the lists of a version in a span that somebody was shown, with the clicks on them known at its end."""
    return seen_of(reader.read(name, start=start, end=end, known_at=end)).of_version(version)
