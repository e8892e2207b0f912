"""What became of a test, in a word and a line, and what each store met of the specification's cases."""

from __future__ import annotations

from typing import Any

import pytest

from stackwright_interfaces.testing.matrix import Found, note


def outcome(report: pytest.TestReport) -> tuple[str, str]:
    """Return what became of a test, and why in one line; nothing where it passed."""
    if report.passed:
        return "passed", ""
    if report.skipped:
        expected = getattr(report, "wasxfail", None)
        skipped = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        skipped = skipped.removeprefix("Skipped: ")
        return ("not applicable", skipped) if expected is None else ("expected failure", str(expected))
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(report.longrepr) if crash is None else str(crash.message)
    return "failed", message.strip().partition("\n")[0] or "failed"


def stated(report: pytest.TestReport) -> list[dict[str, Any]]:
    """Return the ``store`` that a test was run on, and which ``cases`` of the specification it states, if any."""
    return [about for name, about in report.user_properties if name == "matrix" and isinstance(about, dict)]


class Gathering:
    """Gathers what each store met, from whichever process ran its tests.

    Attributes:
        found: what was gathered until now.
    """

    def __init__(self) -> None:
        self.found: Found = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that passed, or why it did not."""
        if report.when != "call" and report.passed:
            return
        result, reason = outcome(report)
        why = None if result == "not applicable" else reason
        for about in stated(report):
            note(self.found, about["store"], about["cases"], report.nodeid.rpartition("::")[2], why)
