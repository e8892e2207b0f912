"""Telling people: the log, a webhook, Slack or what speaks like it, e-mail."""

from __future__ import annotations

import http.client
import json
import logging
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Final

from stackwright.assembly.monitor_part import DestinationPart
from stackwright.assembly.secrets import Secret, redact
from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import MonitorError

log = logging.getLogger("stackwright.monitor")

LOG: Final = "log"

_TITLES: Final[Mapping[str, str]] = {"opened": "Alert", "closed": "Resolved", "result": "Done"}


@dataclass(frozen=True)
class Notice:
    """What somebody is told.

    Args:
        project: name of the blueprint.
        model: name of the model.
        kind: ``"opened"``, ``"closed"`` or ``"result"``.
        number: of the event in the model's log of decisions: the same event has the same model and number.
        at: when it was written, RFC 3339.
        data: what it says, JSON values.
    """

    project: str
    model: str
    kind: str
    number: int
    at: str
    data: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line."""
        about = f"{self.model}@{self.data['version']}" if "version" in self.data else self.model
        return f"{_TITLES[self.kind]}: {about} {self.data.get('rule', self.data.get('action', ''))}".rstrip()

    @property
    def text(self) -> str:
        """A few lines: what was found, and where to read more."""
        lines = [str(self.data.get("words", ""))]
        if self.kind == "opened":
            lines.append(f"Calls for: {self.data['action']}")
        lines.append(f"Project {self.project}; evidence: stackwright decisions {self.model} --number {self.number}")
        return "\n".join(line for line in lines if line)

    def to_json(self) -> dict[str, Any]:
        """Return what a webhook gets."""
        return {**vars(self), "title": self.title, "text": self.text}


def destinations(stack: Stack) -> dict[str, DestinationPart]:
    """Return name → destination; the log alone where the blueprint names none."""
    found = dict(stack.blueprint.monitor.destinations)
    return found or {LOG: DestinationPart(where="monitor", kind=LOG)}


def send(stack: Stack, part: DestinationPart, notice: Notice) -> None:
    """Tell a destination.

    Raises:
        MonitorError: it could not be told.
        BlueprintError: a secret cannot be read.
    """
    try:
        _SENDERS[part.kind](stack, part, notice)
    except (OSError, smtplib.SMTPException, http.client.HTTPException, ValueError) as error:
        raise MonitorError(part.where, redact(f"{part.kind} cannot be told ({error})"), "It is tried again.") from None


def _log(_stack: Stack, _part: DestinationPart, notice: Notice) -> None:
    level = logging.WARNING if notice.kind == "opened" else logging.INFO
    log.log(level, "%s: %s", notice.title, notice.data.get("words", ""), extra={"notice": notice.to_json()})


def _webhook(stack: Stack, part: DestinationPart, notice: Notice) -> None:
    _post(stack, part, notice.to_json())


def _slack(stack: Stack, part: DestinationPart, notice: Notice) -> None:
    words = f"*{_escaped(notice.title)}*\n{_escaped(notice.text)}"
    _post(stack, part, {"text": words})


def _escaped(text: str) -> str:
    """Return a text in which Slack finds neither links nor names to call."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(stack: Stack, part: DestinationPart, body: Mapping[str, Any]) -> None:
    url = _revealed(stack, part, part.url, "url")
    if not url.startswith(("http://", "https://")):
        raise ValueError("its url is neither http nor https")
    data = json.dumps(body, default=str).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST")  # noqa: S310 - checked
    with urllib.request.urlopen(request, timeout=part.timeout) as answer:  # noqa: S310 - a web address, see above
        answer.read(1 << 16)


def _email(stack: Stack, part: DestinationPart, notice: Notice) -> None:
    message = EmailMessage()
    message["Subject"] = f"[{notice.project}] {notice.title}".replace("\n", " ")
    message["From"], message["To"] = part.sender, ", ".join(part.to)
    message["Message-ID"] = f"<{notice.number}.{notice.model.replace('/', '.')}@{notice.project}.stackwright>"
    message.set_content(notice.text)
    with _server(part) as server:
        if part.tls == "starttls":
            server.starttls(context=ssl.create_default_context())
        if part.user:
            server.login(part.user, _revealed(stack, part, part.password, "password"))
        server.send_message(message)


def _server(part: DestinationPart) -> smtplib.SMTP:
    if part.tls == "tls":
        return smtplib.SMTP_SSL(part.host, part.port, timeout=part.timeout, context=ssl.create_default_context())
    return smtplib.SMTP(part.host, part.port, timeout=part.timeout)


def _revealed(stack: Stack, part: DestinationPart, value: str | Secret, key: str) -> str:
    return value.reveal(f"{part.where} {key}", stack.project.folder) if isinstance(value, Secret) else value


_SENDERS: Final[Mapping[str, Callable[[Stack, DestinationPart, Notice], None]]] = {
    LOG: _log,
    "webhook": _webhook,
    "slack": _slack,
    "email": _email,
}
