"""What a server's processes say of themselves, and where they log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from stackwright.assembly.secrets import redact
from stackwright.assembly.stack import Stack


def identity(stack: Stack, name: str, blueprint: str) -> dict[str, str]:
    """Return what logs and traces say of a server.

    Args:
        name: of the service; without it the blueprint's.
        blueprint: digest of the plan, whose beginning is the version.
    """
    return {"service.name": name or stack.blueprint.name, "service.version": blueprint.partition(":")[2][:12]}


def log_as(fields: Mapping[str, str], level: str) -> None:
    """Send the logs of this process to standard error, as JSON lines that hold these fields."""
    from stackwright_serving.logs import configure

    configure(logging.getLevelNamesMapping()[level.upper()], redact=redact, fields=fields)
