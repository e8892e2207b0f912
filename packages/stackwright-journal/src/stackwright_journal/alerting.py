"""From the events of a model to what is open, and to what is to be done next: alerts, actions, notices.

An alert opens after so many windows in a row that alarm, and closes after so many in a row that are ok. A warning does
neither, and neither does a window that is insufficient; it does not break a row. A new version begins with a clean
slate. Nothing here keeps a state: whoever reads the same events comes to the same conclusions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from stackwright_journal.alert_rules import AlertRule
from stackwright_journal.decisions import Event

SENDING: Final = "sending"
SENT: Final = "sent"
FAILED: Final = "failed"

ATTEMPTS: Final = 5
"""How often a notice is tried."""
FORGOTTEN: Final = timedelta(minutes=10)
"""After so long a notice that was begun and not finished is tried again: who sent it is dead."""
TOLD: Final = ("opened", "closed", "result")
"""Kinds of events that people are told of."""
PERFORMED: Final = ("rollback", "retrain")
"""Actions that are carried out, the one that helps sooner first."""


@dataclass(frozen=True)
class Alert:
    """Something that is wrong and has not become right again.

    Args:
        key: the same as long as it lasts.
        rule: name of the rule.
        version: the version it is about.
        since: start of the first window of its row.
        action: what it calls for.
        number: of the event that opened it.
        words: what was found, for people.
    """

    key: str
    rule: str
    version: int
    since: str
    action: str
    number: int
    words: str = ""


@dataclass(frozen=True)
class Done:
    """An action that was taken up.

    Args:
        number: of its event.
        action: ``"retrain"`` or ``"rollback"``.
        at: when.
        window: end of the window that called for it.
        by: the process that took it up.
        result: what came of it; ``None`` while that is not known.
    """

    number: int
    action: str
    at: datetime
    window: str
    by: str
    result: Mapping[str, Any] | None = None


@dataclass
class Situation:
    """What the events of a model come to.

    Args:
        last: number of the last event.
        windows: (start, end) of a window → its event.
        open: rule → its open alert.
        actions: number of an action → the action.
        told: (number of an event, destination) → states of its notices, with times.
        events: number → event, of those people are told of.
    """

    last: int = 0
    windows: dict[tuple[str, str], Event] = field(default_factory=dict)
    open: dict[str, Alert] = field(default_factory=dict)
    actions: dict[int, Done] = field(default_factory=dict)
    told: dict[tuple[int, str], list[tuple[str, datetime]]] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Sequence[Event]) -> Situation:
        """Work through events, oldest first."""
        found = cls()
        for event in events:
            found.last = event.number
            found._take(event)
        return found

    def _take(self, event: Event) -> None:
        data = event.data
        if event.kind in TOLD:
            self.events[event.number] = event
        match event.kind:
            case "window":
                self.windows.setdefault((data["start"], data["end"]), event)
            case "opened":
                self.open[data["rule"]] = Alert(
                    key=data["key"],
                    rule=data["rule"],
                    version=data["version"],
                    since=data["since"],
                    action=data["action"],
                    number=event.number,
                    words=data.get("words", ""),
                )
            case "closed":
                self.open.pop(data["rule"], None)
            case "action":
                self.actions[event.number] = Done(
                    event.number, data["action"], event.at, data["window"], data.get("by", event.who)
                )
            case "result":
                done = self.actions[data["of"]]
                self.actions[done.number] = Done(**{**vars(done), "result": data})
            case "notice":
                self.told.setdefault((data["of"], data["to"]), []).append((data["state"], event.at))

    def newest(self) -> Event | None:
        """Return the event of the newest window; ``None`` before the first."""
        return self.windows[max(self.windows)] if self.windows else None

    def unfinished(self) -> list[Done]:
        """Return the actions whose result is not known."""
        return [done for done in self.actions.values() if done.result is None]


def changes(
    situation: Situation, rules: Sequence[AlertRule], model: str, version: int
) -> list[tuple[str, dict[str, Any]]]:
    """Return the alerts to open and to close now: kind of the event (``"opened"``, ``"closed"``) and its data.

    Args:
        situation: what is known.
        rules: those in force.
        model: name of the model.
        version: the version that serves.
    """
    newest = situation.newest()
    if newest is None:
        return []
    found: list[tuple[str, dict[str, Any]]] = []
    known = {rule.name: rule for rule in rules}
    for name, alert in situation.open.items():
        why = _closes(situation, alert, known.get(name), version)
        if why:
            about = {"key": alert.key, "rule": name, "version": alert.version, "since": alert.since}
            found.append(("closed", {**about, "why": why, "of": alert.number, "words": why}))
    closing = {data["rule"] for _, data in found}
    for rule in rules:
        row = _row(situation, rule.name, version)
        since = open_since([(start, verdict["state"]) for start, verdict in row], rule.windows, rule.clear)
        if since is None or (rule.name in situation.open and rule.name not in closing):
            continue
        key = f"{model}@{version}:{rule.name}:{since}"
        alarms = [verdict for start, verdict in row if verdict["state"] == "alarm" and start >= since]
        words = f"{alarms[-1]['words']} ({len(alarms)} windows in alarm since {since[:10]})"
        opened = {"key": key, "rule": rule.name, "version": version, "since": since, "action": rule.action}
        found.append(("opened", {**opened, "words": words, "evidence": alarms[-1], "window": newest.data["end"]}))
    return found


def _closes(situation: Situation, alert: Alert, rule: AlertRule | None, version: int) -> str:
    if rule is None:
        return "the rule is no longer in the blueprint"
    if alert.version != version:
        return f"version {version} serves now"
    row = _row(situation, alert.rule, version)
    if open_since([(start, verdict["state"]) for start, verdict in row], rule.windows, rule.clear) is None:
        return f"ok for {rule.clear} windows in a row: {row[-1][1]['words']}" if row else "nothing alarms any more"
    return ""


def _row(situation: Situation, rule: str, version: int) -> list[tuple[str, Mapping[str, Any]]]:
    """Return start → verdict of a rule on a version, oldest window first."""
    return [
        (start, event.data["verdicts"][rule])
        for (start, _), event in sorted(situation.windows.items())
        if event.data["version"] == version and rule in event.data["verdicts"]
    ]


def open_since(states: Sequence[tuple[str, str]], windows: int, clear: int) -> str | None:
    """Return when the alert began that is open after windows of these states, ``None`` where there is none.

    Args:
        states: start and state of each window, oldest first.
        windows: windows in a row that must alarm.
        clear: windows in a row that must be ok.
    """
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


def due_action(situation: Situation, rules: Sequence[AlertRule], now: datetime) -> tuple[Alert, AlertRule] | None:
    """Return the alert to act on now, and its rule; ``None`` where nothing is to be done, or is being done.

    Once for a model and window, and not within the cool-down of the last action of the kind. A version that is rolled
    back need not be trained anew at the same time.
    """
    newest = situation.newest()
    if newest is None or situation.unfinished():
        return None
    known = {rule.name: rule for rule in rules}
    for action in PERFORMED:
        before = [done for done in situation.actions.values() if done.action == action and not _lost(done)]
        for alert in situation.open.values():
            rule = known.get(alert.rule)
            if rule is None or alert.action != action:
                continue
            rests = any(timedelta(0) <= now - done.at < rule.cooldown for done in before)
            if not rests and all(done.window != newest.data["end"] for done in before):
                return alert, rule
    return None


def _lost(done: Done) -> bool:
    return bool(done.result and done.result.get("lost"))


def due_notices(
    situation: Situation, rules: Sequence[AlertRule], destinations: Sequence[str], now: datetime
) -> Iterator[tuple[Event, str, int]]:
    """Give the event, the destination and the attempt of each notice to be sent now."""
    known = {rule.name: rule for rule in rules}
    for event in situation.events.values():
        rule = known.get(event.data.get("rule", ""))
        wanted = rule.notify if rule is not None and rule.notify else tuple(destinations)
        for name in wanted:
            tries = situation.told.get((event.number, name), [])
            states = [state for state, _ in tries]
            if name not in destinations or SENT in states or states.count(FAILED) >= ATTEMPTS:
                continue
            # What was begun elsewhere is left to who began it, as long as that one may be alive.
            if states and states[-1] == SENDING and timedelta(0) <= now - tries[-1][1] < FORGOTTEN:
                continue
            yield event, name, states.count(SENDING) + 1
