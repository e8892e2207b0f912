"""Logs as JSON lines in Elastic Common Schema."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


class EcsFormatter(logging.Formatter):
    """Formats a record as one line; ``extra={"ecs": {...}}`` adds fields.

    Args:
        redact: masks what must not be shown in a line.
    """

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": record.getMessage(),
            "ecs.version": "8.11.0",
            "process.pid": record.process,
            **getattr(record, "ecs", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error.type"] = record.exc_info[0].__name__
            line["error.message"] = str(record.exc_info[1])
            line["error.stack_trace"] = self.formatException(record.exc_info)
        return self._redact(json.dumps(line, default=str))


def configure(level: int = logging.INFO, *, redact: Callable[[str], str] = str) -> None:
    """Send the logs of stackwright to standard error; ``redact`` masks what must not be shown in a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(EcsFormatter(redact))
    logger = logging.getLogger("stackwright")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
