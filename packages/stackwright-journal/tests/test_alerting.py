"""Alerts: opened by a row of alarms, closed by a row of calm, acted on and told of once by whoever reads the events."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from stackwright_interfaces.errors import StorageError
from stackwright_journal.alert_rules import AlertRule
from stackwright_journal.alerting import ATTEMPTS, Situation, changes, due_action, due_notices, open_since
from stackwright_journal.decisions import DecisionLog, Event, Forestalled

AT = datetime(2026, 6, 1, tzinfo=UTC)
LOSS = AlertRule(name="loss", watch="performance", action="retrain")
DRIFT = AlertRule(name="drift", watch="data", action="investigate")
WORSE = AlertRule(name="worse", watch="mdape", against="previous", action="rollback")


class Story:
    """Events of a model, a window after the other; each window's end is the present of what is decided on it."""

    def __init__(self, *rules):
        self.rules = rules or (LOSS, DRIFT)
        self.events = []
        self.now = AT
        self.version = 1

    def add(self, kind, **data):
        self.events.append(Event(len(self.events) + 1, self.now, kind, "me", data))
        return self

    def window(self, version=1, day=None, **states):
        self.version = version
        start = self.now if day is None else AT + timedelta(days=day)
        self.now = max(self.now, start + timedelta(days=1))
        verdicts = {rule.name: {"state": states.get(rule.name, "ok"), "words": rule.name} for rule in self.rules}
        end = start + timedelta(days=1)
        self.add("window", start=start.isoformat(), end=end.isoformat(), version=version, verdicts=verdicts)
        return self.decide()

    def decide(self):
        for kind, data in changes(self.situation, self.rules, "avm", self.version):
            self.add(kind, **data)
        return self

    @property
    def situation(self):
        return Situation.of(self.events)

    @property
    def open(self):
        return {alert.rule: alert.since[:10] for alert in self.situation.open.values()}

    @property
    def due(self):
        found = due_action(self.situation, self.rules, self.now)
        return found and found[0].action

    def act(self, **result):
        alert, _ = due_action(self.situation, self.rules, self.now)
        self.add("action", action=alert.action, rule=alert.rule, window=self.situation.newest().data["end"])
        return self.add("result", of=len(self.events), **({"ok": True} | result))


def test_one_alarm_is_not_enough_and_two_in_a_row_open_an_alert_since_the_first():
    story = Story().window(loss="alarm")
    assert story.open == {}
    assert story.window(loss="alarm").open == {"loss": "2026-06-01"}
    assert Story().open == {}


def test_an_alert_is_opened_once_however_long_it_lasts():
    story = Story()
    for _ in range(5):
        story.window(drift="alarm").decide()
    assert [event.kind for event in story.events].count("opened") == 1


def test_an_ok_window_breaks_the_row_an_insufficient_one_does_not():
    assert Story().window(loss="alarm").window().window(loss="alarm").open == {}
    assert Story().window(loss="alarm").window(loss="insufficient").window(loss="alarm").open
    assert Story().window(loss="alarm").window(loss="warn").window(loss="alarm").open == {}


def test_two_calm_windows_close_an_alert_one_does_not_and_it_may_open_again():
    story = Story().window(loss="alarm").window(loss="alarm").window()
    assert story.open
    assert story.window().open == {}
    assert story.window(loss="alarm").window(loss="alarm").open == {"loss": "2026-06-05"}


def test_a_new_version_begins_with_a_clean_slate():
    story = Story().window(loss="alarm").window(loss="alarm").window(version=2, loss="alarm")
    assert story.open == {}
    assert story.events[-1].data["why"] == "version 2 serves now"


def test_an_alert_ends_as_soon_as_another_version_serves():
    story = Story().window(loss="alarm").window(loss="alarm")
    story.version = 2
    assert story.decide().open == {}


def test_a_rule_that_left_the_blueprint_closes_its_alert():
    story = Story().window(loss="alarm").window(loss="alarm")
    story.rules = (DRIFT,)
    assert story.decide().open == {}


def test_windows_count_in_the_order_of_their_time_whenever_they_were_judged():
    story = Story()
    story.window(day=400, loss="insufficient")
    story.window(day=0, loss="alarm").window(day=1, loss="alarm")
    assert story.open == {"loss": "2026-06-01"}


def test_a_proven_loss_calls_for_a_retraining_and_drift_alone_for_none():
    assert Story().window(drift="alarm").window(drift="alarm").due is None
    assert Story().window(loss="alarm").window(loss="alarm").due == "retrain"


def test_an_action_is_taken_once_for_a_window_and_not_within_the_cool_down():
    story = Story().window(loss="alarm").window(loss="alarm").act(ok=False)
    assert story.due is None
    for _ in range(6):
        assert story.window(loss="alarm").due is None
    assert story.window(loss="alarm").due == "retrain"


def test_what_is_being_done_is_not_begun_again_and_what_was_lost_is():
    story = Story().window(loss="alarm").window(loss="alarm")
    story.add("action", action="retrain", rule="loss", window=story.situation.newest().data["end"])
    assert story.due is None
    assert [done.number for done in story.situation.unfinished()] == [len(story.events)]
    assert story.add("result", of=len(story.events), ok=False, lost=True).due == "retrain"


def test_a_version_that_is_rolled_back_is_not_trained_anew_at_the_same_time():
    story = Story(LOSS, WORSE)
    story.window(loss="alarm", worse="alarm").window(loss="alarm", worse="alarm")
    assert story.due == "rollback"


def test_a_clock_that_steps_back_neither_repeats_nor_blocks():
    story = Story().window(loss="alarm").window(loss="alarm").act()
    story.now -= timedelta(days=300)
    assert story.due is None


def test_people_are_told_once_of_what_opened_what_was_done_and_what_closed():
    story = Story().window(loss="alarm").window(loss="alarm").act()
    notices = list(due_notices(story.situation, story.rules, ["log", "mail"], story.now))
    assert [(event.kind, name) for event, name, _ in notices] == [
        ("opened", "log"), ("opened", "mail"), ("result", "log"), ("result", "mail"),
    ]  # fmt: skip
    for event, name, _ in notices:
        story.add("notice", of=event.number, to=name, state="sending")
        story.add("notice", of=event.number, to=name, state="sent")
    assert not list(due_notices(story.situation, story.rules, ["log", "mail"], story.now))


def test_a_notice_that_failed_is_tried_again_for_a_while():
    story = Story().window(loss="alarm").window(loss="alarm")
    number = len(story.events)
    for attempt in range(1, ATTEMPTS + 1):
        ((_, _, found),) = due_notices(story.situation, story.rules, ["mail"], story.now)
        assert found == attempt
        story.add("notice", of=number, to="mail", state="sending").add("notice", of=number, to="mail", state="failed")
    assert not list(due_notices(story.situation, story.rules, ["mail"], story.now))


def test_a_notice_that_another_sends_is_left_to_it_unless_it_died():
    story = Story().window(loss="alarm").window(loss="alarm")
    story.add("notice", of=len(story.events), to="mail", state="sending")
    assert not list(due_notices(story.situation, story.rules, ["mail"], story.now))
    assert list(due_notices(story.situation, story.rules, ["mail"], story.now + timedelta(minutes=11)))


def test_a_rule_may_name_whom_it_tells():
    story = Story(AlertRule(name="loss", watch="performance", notify=("ops",)))
    story.window(loss="alarm").window(loss="alarm")
    told = [name for _, name, _ in due_notices(story.situation, story.rules, ["ops", "team"], story.now)]
    assert told == ["ops"]


def test_rows_may_be_longer_or_shorter():
    days = [("1", "alarm"), ("2", "alarm"), ("3", "alarm"), ("4", "ok")]
    assert open_since(days[:1], windows=1, clear=1) == "1"
    assert open_since(days, windows=1, clear=1) is None
    assert open_since(days, windows=3, clear=2) == "1"
    assert open_since(days[:2], windows=3, clear=2) is None


def test_of_two_that_decide_at_once_one_comes_first_and_the_other_is_told(storage):
    one, two = (DecisionLog(storage, "avm", clock=lambda: AT, who=name) for name in ("one", "two"))
    first = one.append("opened", {"rule": "loss"}, after=0)
    with pytest.raises(Forestalled):
        two.append("opened", {"rule": "loss"}, after=0)
    assert two.events() == one.events() == [first]
    assert first.who == "one"


def test_events_of_many_watchers_are_in_one_order_without_a_gap(tmp_path, storage):
    def work():
        log = DecisionLog(storage, "avm", clock=lambda: AT)
        for number in range(5):
            log.add("notice", {"of": number, "to": "log", "state": "sent"})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.number for event in DecisionLog(storage, "avm").events()] == list(range(1, 21))


def test_models_of_a_namespace_have_events_of_their_own(storage):
    DecisionLog(storage, "pricing/avm", clock=lambda: AT).add("opened", {"rule": "loss"})
    assert DecisionLog(storage, "pricing").events() == []


def test_a_damaged_event_is_named(tmp_path, storage):
    DecisionLog(storage, "avm", clock=lambda: AT).add("opened", {"rule": "loss"})
    (path,) = tmp_path.glob("decisions/avm/*.json")
    path.write_text("{}")
    with pytest.raises(StorageError, match=r"decisions/avm/000000000001\.json"):
        DecisionLog(storage, "avm").events()
