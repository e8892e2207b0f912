"""The watch: judges the windows that have ended, opens and closes alerts, acts on what is proven, and tells people.

Everything is written into the model's log of decisions before it is done. What was decided follows from that log alone,
so that two watchers come to the same decisions, and of two that are about to do the same one finds it claimed.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NoReturn

from stackwright.assembly.locking import held
from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring.actions import perform
from stackwright.workflows.monitoring.destinations import Notice, destinations, send
from stackwright.workflows.monitoring.looking import looked_at
from stackwright.workflows.monitoring.looking_at_lists import looked_at_lists
from stackwright.workflows.monitoring.rules import ended, rules_for
from stackwright.workflows.monitoring.subject import champions
from stackwright.workflows.outcome import Outcome, Table, finite
from stackwright.workflows.versions.champions import trained_names
from stackwright_interfaces.errors import MonitorError, StackwrightError
from stackwright_journal.alert_rules import AlertRule
from stackwright_journal.alerting import FAILED, SENDING, SENT, Situation, changes, due_action, due_notices
from stackwright_journal.decisions import DecisionLog, Event, Forestalled
from stackwright_journal.records import rfc3339, utc_day
from stackwright_journal.sealing import seal_all

ABANDONED: Final = timedelta(hours=6)
"""An action of another machine that has no result after so long is held to have died with it."""
EVERY: Final = 300.0
"""Seconds between two rounds."""

_STEPS: Final = 200


@dataclass
class Round:
    """What a round came to.

    Args:
        windows: windows judged now.
        events: events written now that people are told of.
        open: alerts that are open.
        problems: what kept a model, or a part of the work on it, from being looked after.
    """

    windows: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    open: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def watch(stack: Stack, name: str | None = None, *, act: bool = True) -> Outcome:
    """Look after one model or recommender, or all, once.

    Args:
        name: the model or recommender; all of the blueprint without it.
        act: train and roll back; otherwise an alert only tells what it calls for.

    Returns:
        An outcome that is not ok where an alert is open, or something kept the watch from its work.
    """
    return _outcome(_round(stack, [name] if name else trained_names(stack), act=act))


def watch_on(
    opened: Callable[[], AbstractContextManager[Stack]],
    name: str | None = None,
    *,
    act: bool = True,
    every: float = EVERY,
    say: Callable[[str], None] = lambda _line: None,
    wait: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Look after one model or recommender, or all, until interrupted; the project is read anew each time.

    Args:
        opened: opens the stack.
        name: the model or recommender; all of the blueprint without it.
        act: train and roll back.
        every: seconds between two rounds.
        say: told what happened, a line each.
        wait: sleeps.
    """
    while True:
        try:
            with opened() as stack:
                done = _round(stack, [name] if name else trained_names(stack), act=act)
            lines = _lines(done)
        except StackwrightError as error:  # a blueprint that is being edited may be right in the next round
            lines = [f"problem: {redact(str(error))}"]
        for line in lines:
            say(line)
        wait(every)


def _round(stack: Stack, names: Sequence[str], *, act: bool) -> Round:
    done = Round()
    try:
        seal_all(journal.storage(stack), today=utc_day(stack.clock()))
    except StackwrightError as error:
        done.problems.append(redact(str(error)))
    for name in names:
        try:
            _Watch(stack, name, done, act=act).go()
        except StackwrightError as error:
            done.problems.append(f"{name}: {redact(str(error))}")
        except Exception as error:  # noqa: BLE001 - a model that cannot be judged must not hide the others
            done.problems.append(f"{name}: {type(error).__name__}: {redact(str(error))}")
    return done


class _Watch:
    """Looks after one model or recommender."""

    def __init__(self, stack: Stack, model: str, done: Round, *, act: bool) -> None:
        self._stack = stack
        self._model = model
        self._done = done
        self._act = act
        self._log: DecisionLog = journal.decisions(stack, model)
        self._rules: list[AlertRule] = rules_for(stack, model)
        self._look = looked_at_lists if model in stack.blueprint.recommenders else looked_at

    def go(self) -> None:
        """Judge, decide, act, tell."""
        self._judge()
        self._decide()
        self._bury()
        if self._act:
            self._perform()
        self._tell()
        for alert in self._situation().open.values():
            self._done.open.append({"model": self._model, **vars(alert)})

    def _situation(self) -> Situation:
        return Situation.of(self._log.events())

    def _judge(self) -> None:
        """Judge each window that has ended and was not judged yet, by whatever watcher."""
        moves = champions(self._stack, self._model)
        if not moves:
            found = "no version is promoted"
            raise MonitorError(f"model {self._model!r}", found, f"Run: stackwright promote {self._model}")
        late = timedelta(days=self._stack.blueprint.monitor.delay)
        for start, end in ended(self._stack, self._stack.clock() - late):
            key = (rfc3339(start), rfc3339(end))
            if end <= moves[0][0] or key in self._situation().windows:
                continue
            data, problems = self._look(self._stack, self._model, self._rules, moves, start, end)
            self._done.problems += [f"{self._model}: {problem}" for problem in problems]
            event = None if data is None else self._kept(key, finite(data))
            if event is not None:
                states = {rule: verdict["state"] for rule, verdict in event.data["verdicts"].items()}
                window = {"model": self._model, "number": event.number, "start": key[0], "end": key[1]}
                self._done.windows.append({**window, "version": event.data["version"], "states": states})

    def _kept(self, key: tuple[str, str], data: dict[str, Any]) -> Event | None:
        """Write down what was found of a window; nothing where another watcher was first."""
        while key not in (situation := self._situation()).windows:
            event = self._try("window", data, situation)
            if event is not None:
                return event
        return None

    def _decide(self) -> None:
        """Open and close alerts, each decision on what all before it came to."""
        for _ in range(_STEPS):
            situation = self._situation()
            due = changes(situation, self._rules, self._model, champions(self._stack, self._model)[-1][1])
            if not due:
                return
            kind, data = due[0]
            self._try("opened" if kind == "opened" else "closed", data, situation)

    def _try(self, kind: Any, data: dict[str, Any], situation: Situation) -> Event | None:
        """Write an event that follows from a situation; nothing where that has changed meanwhile."""
        try:
            event = self._log.append(kind, finite(data), after=situation.last)
        except Forestalled:
            return None
        if kind in ("opened", "closed", "result"):
            self._done.events.append(_told(self._model, event))
        return event

    def _bury(self) -> None:
        """Say of actions whose watcher died that they are lost, so that they are taken up again."""
        for action in self._situation().unfinished():
            here = action.by.endswith(f" on {platform.node()}")
            with held(self._lock) as free:
                gone = here and free
            if gone or self._stack.clock() - action.at > ABANDONED:
                words = f"{action.action} was begun by process {action.by}, which ended before it was done"
                self._log.add("result", {"of": action.number, "ok": False, "lost": True, "words": words})

    def _perform(self) -> None:
        """Act on what is proven: claimed first, so that it is done once."""
        for _ in range(_STEPS):
            situation = self._situation()
            due = due_action(situation, self._rules, self._stack.clock())
            if due is None:
                return
            alert, rule = due
            with held(self._lock) as mine:
                if not mine:
                    return
                newest = situation.newest()
                assert newest is not None
                about = {"action": alert.action, "rule": rule.name, "alert": alert.key, "words": alert.words}
                me = f"{os.getpid()} on {platform.node()}"
                claimed = self._try("action", {**about, "window": newest.data["end"], "by": me}, situation)
                if claimed is None:
                    continue
                result = perform(self._stack, alert.action, self._model, alert.words)
                done: dict[str, Any] = {"of": claimed.number, "rule": rule.name, "version": alert.version, **result}
                event = self._log.add("result", finite(done))
                self._done.events.append(_told(self._model, event))
            self._decide()

    @property
    def _lock(self) -> Any:
        return self._stack.project.state / "watch" / f"{self._model.replace('/', '--')}.lock"

    def _tell(self) -> None:
        """Tell every destination of every event, each once; what fails is tried again in later rounds."""
        known = destinations(self._stack)
        tried: set[tuple[int, str]] = set()
        for _ in range(_STEPS):
            situation = self._situation()
            notices = due_notices(situation, self._rules, list(known), self._stack.clock())
            due = next(((event, name, n) for event, name, n in notices if (event.number, name) not in tried), None)
            if due is None:
                return
            event, name, attempt = due
            claim: dict[str, Any] = {"of": event.number, "to": name, "state": SENDING, "attempt": attempt}
            if self._try("notice", claim, situation) is None:
                continue
            tried.add((event.number, name))
            notice = Notice(
                self._stack.blueprint.name, self._model, event.kind, event.number, rfc3339(event.at), event.data
            )
            state = {"state": SENT}
            try:
                send(self._stack, known[name], notice)
            except StackwrightError as error:
                state = {"state": FAILED, "why": redact(str(error))}
                self._done.problems.append(f"{self._model}: {redact(str(error))}")
            self._log.add("notice", {"of": event.number, "to": name, **state})


def _told(model: str, event: Event) -> dict[str, Any]:
    keys = ("rule", "version", "words", "action", "ok")
    return {"model": model, "number": event.number, "kind": event.kind} | {
        key: event.data[key] for key in keys if key in event.data
    }


def _lines(done: Round) -> list[str]:
    windows = [
        f"{item['model']}@{item['version']} {item['start'][:10]} to {item['end'][:10]}: "
        + ", ".join(f"{rule} {state}" for rule, state in item["states"].items())
        for item in done.windows
    ]
    return [*windows, *(f"{item['kind']}: {item['model']}: {item.get('words', '')}" for item in done.events),
            *(f"problem: {problem}" for problem in done.problems)]  # fmt: skip


def _outcome(done: Round) -> Outcome:
    windows = [
        (item["model"], item["version"], item["start"][:10], item["end"][:10],
         ", ".join(f"{rule} {state}" for rule, state in item["states"].items()))
        for item in done.windows
    ]  # fmt: skip
    tables = (
        Table(("model", "version", "from", "to", "found"), windows),
        Table(
            ("model", "event", "about"), [(item["model"], item["kind"], item.get("words", "")) for item in done.events]
        ),
        Table(
            ("open alert", "since", "calls for", "found"),
            [(item["key"], item["since"][:10], item["action"], item["words"]) for item in done.open],
        ),
    )
    title = f"{len(done.windows)} windows judged, {len(done.open)} alerts open"
    return Outcome(title, vars(done), tables, tuple(done.problems), ok=not done.open and not done.problems)
