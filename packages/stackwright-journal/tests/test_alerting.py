"""Alerts: opened by a row of alarms, closed by a row of calm, acted on once."""

from datetime import UTC, datetime, timedelta

from stackwright_journal.alerting import alerts, due

AT = datetime(2026, 6, 1, tzinfo=UTC)


def history(performance, data=None, version=1):
    data = data or ["ok"] * len(performance)
    return [
        {
            "model": "avm",
            "version": version,
            "start": f"2026-01-{place + 1:02}",
            "at": "",
            "performance": {"state": one},
            "data": {"state": two},
        }
        for place, (one, two) in enumerate(zip(performance, data, strict=True))
    ]


def test_one_alarm_is_not_enough():
    assert alerts(history(["ok", "alarm"])) == []
    assert alerts([]) == []


def test_two_in_a_row_call_for_a_retraining_since_the_first():
    (alert,) = alerts(history(["ok", "alarm", "alarm"]))
    assert (alert.subject, alert.action, alert.since) == ("performance", "retrain", "2026-01-02")


def test_drift_alone_calls_for_an_investigation():
    (alert,) = alerts(history(["ok", "ok"], ["alarm", "alarm"]))
    assert (alert.subject, alert.action) == ("data", "investigate")


def test_an_ok_window_breaks_the_row_an_insufficient_one_does_not():
    assert alerts(history(["alarm", "ok", "alarm"])) == []
    assert len(alerts(history(["alarm", "insufficient", "alarm"]))) == 1


def test_an_alert_keeps_its_key_until_it_closes():
    keys = {
        alerts(history(["alarm", "alarm", *more]))[0].key for more in ([], ["alarm"], ["warn", "ok"], ["ok", "warn"])
    }
    assert keys == {"avm@1:performance:2026-01-01"}


def test_two_calm_windows_close_an_alert_and_it_may_open_again():
    assert alerts(history(["alarm", "alarm", "ok", "ok"])) == []
    (again,) = alerts(history(["alarm", "alarm", "ok", "ok", "alarm", "alarm"]))
    assert again.since == "2026-01-05"


def test_a_new_version_begins_with_a_clean_slate():
    assert alerts([*history(["alarm", "alarm"]), *history(["alarm"], version=2)]) == []


def test_an_alert_is_acted_on_once():
    opened = alerts(history(["alarm", "alarm"]))
    assert due(opened, {}, at=AT) == opened
    assert due(opened, {opened[0].key: AT - timedelta(days=99)}, at=AT) == []


def test_after_an_action_the_next_of_its_kind_waits_for_the_cool_down():
    opened = alerts(history(["alarm", "alarm"], ["alarm", "alarm"], version=2))
    before = {"avm@1:performance:2025-12-01": AT - timedelta(hours=5)}
    assert [alert.subject for alert in due(opened, before, at=AT)] == ["data"]
    assert len(due(opened, before, at=AT + timedelta(days=1))) == 2
