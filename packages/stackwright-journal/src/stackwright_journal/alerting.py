"""From the numbers of many windows to the few things that somebody should do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

Subject = Literal["performance", "data"]
Action = Literal["retrain", "investigate"]

_ACTIONS: Final[Mapping[Subject, Action]] = {"performance": "retrain", "data": "investigate"}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something that is wrong and has not become right again.

    Args:
        model: name of the model.
        version: its version.
        subject: what is wrong.
        action: what it calls for: a proven loss a retraining, drift alone an investigation.
        since: start of the window in which it began.
        key: the same as long as the alert lasts, so that it is acted on once.
    """

    model: str
    version: int
    subject: Subject
    action: Action
    since: str
    key: str


def alerts(history: Sequence[Mapping[str, Any]], *, windows: int = 2, clear: int = 2) -> list[Alert]:
    """Return the alerts that are open after these windows.

    An alert opens after ``windows`` windows in a row that alarm, and closes after ``clear`` in a row that are ok. A
    warning does neither, and neither does a window that is insufficient; it does not break a row.

    Args:
        history: results of :func:`~stackwright_journal.deciding.decide` for one model, oldest first. A new version
            begins with a clean slate.
        windows: windows in a row that must alarm.
        clear: windows in a row that must be ok.
    """
    if not history:
        return []
    newest = history[-1]
    own = [result for result in history if result["version"] == newest["version"]]
    found = []
    for subject, action in _ACTIONS.items():
        since = _open_since(
            [(result["start"] or result["at"], result[subject]["state"]) for result in own], windows, clear
        )
        if since is not None:
            key = f"{newest['model']}@{newest['version']}:{subject}:{since}"
            found.append(
                Alert(
                    model=newest["model"],
                    version=newest["version"],
                    subject=subject,
                    action=action,
                    since=since,
                    key=key,
                )
            )
    return found


def due(
    open_alerts: Sequence[Alert],
    acted: Mapping[str, datetime],
    *,
    at: datetime,
    cooldown: timedelta = timedelta(days=1),
) -> list[Alert]:
    """Return the alerts to act on now: not acted on yet, and none of that model and action within the cool-down.

    Args:
        open_alerts: from :func:`alerts`.
        acted: key of an alert → when it was acted on.
        at: the present.
        cooldown: shortest time between two actions of one kind on one model.
    """

    def rests(alert: Alert) -> bool:
        like = (f"{alert.model}@", f":{alert.subject}:")
        return any(
            key.startswith(like[0]) and like[1] in key and at - moment < cooldown for key, moment in acted.items()
        )

    return [alert for alert in open_alerts if alert.key not in acted and not rests(alert)]


def _open_since(states: Sequence[tuple[str, str]], windows: int, clear: int) -> str | None:
    """Return when the open alert began, ``None`` where there is none."""
    began: list[str] = []
    since: str | None = None
    fine = 0
    for start, state in states:
        if state == "alarm":
            began.append(start)
            fine = 0
            if since is None and len(began) >= windows:
                since = began[-windows]
        elif state in {"ok", "warn"}:
            began = []
            fine = fine + 1 if state == "ok" else 0
            if fine >= clear:
                since = None
    return since
