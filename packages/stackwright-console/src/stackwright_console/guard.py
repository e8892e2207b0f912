"""Who may look and who may change: a token opens a session, kept in a cookie that no other site can send."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from stackwright_interfaces.errors import UsageError

SHORTEST: Final = 16
"""Characters of a token: fewer could be guessed."""

COOKIE: Final = "stackwright_console"

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""Sent with every page: nothing runs in it, and nothing is loaded from elsewhere."""

REPORT_HEADERS: Final = {
    **HEADERS,
    "content-security-policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data:; font-src data:"
    ),
}
"""Sent with a reporter's page: its scripts run apart from the console, and reach nothing."""


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class Guard:
    """Sessions of those who know the token.

    Args:
        token: opens changes; and, where the console is reached from other machines, the pages. Empty: nothing is
            changed.
        open_pages: whether pages are shown without it.

    Raises:
        UsageError: the token is too short, or pages would be open to other machines.
    """

    token: str = field(repr=False)
    open_pages: bool = True
    _sessions: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self.token and len(self.token) < SHORTEST:
            raise UsageError("the console's token", f"has fewer than {SHORTEST} characters", "Choose a longer one.")
        if not self.open_pages and not self.token:
            todo = "Give a token: STACKWRIGHT_CONSOLE_TOKEN or --token-file, or leave out --host."
            raise UsageError("--host", "other machines could read the console, and there is no token", todo)

    def unlock(self, token: str) -> str | None:
        """Return a new session where the token fits."""
        if not self.token or not compare_digest(token.encode(), self.token.encode()):
            return None
        session = secrets.token_urlsafe(32)
        self._sessions.add(session)
        return session

    def lock(self, session: str) -> None:
        """End a session."""
        self._sessions.discard(session)

    def is_unlocked(self, session: str) -> bool:
        """Tell whether a session is open."""
        return session in self._sessions

    def may_look(self, session: str) -> bool:
        """Tell whether pages are shown to a session."""
        return self.open_pages or self.is_unlocked(session)


def is_own(headers: Headers) -> bool:
    """Tell whether a form was sent by a page of the console: browsers say where they send from."""
    origin = headers.get("origin", "")
    try:
        return bool(origin) and urlsplit(origin).netloc == headers.get("host", "")
    except ValueError:  # it is no URL
        return False
