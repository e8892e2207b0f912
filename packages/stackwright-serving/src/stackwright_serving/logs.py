"""Logs as JSON lines in Elastic Common Schema, written off the reply path."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import orjson

LOGGERS: Final = ("stackwright", "stackwright_bentoml", "stackwright_uvicorn", "uvicorn")
"""Loggers whose records are written."""

ACCESS: Final = "stackwright.access"
"""Logger of requests."""

_VERSION: Final = "8.11.0"
_MOST: Final = 10_000
_BREATH: Final = 0.02
"""Seconds in which lines gather that are written at once."""


class EcsFormatter(logging.Formatter):
    """Formats a record as one line; ``extra={"ecs": {...}}`` adds fields.

    Args:
        redact: masks what must not be shown in a line.
        fields: what every line holds.
    """

    def __init__(self, redact: Callable[[str], str] = str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._redact = redact
        self._fields = dict(fields or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": record.getMessage(),
            "ecs.version": _VERSION,
            "process.pid": record.process,
            **self._fields,
            **getattr(record, "ecs", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error.type"] = record.exc_info[0].__name__
            line["error.message"] = str(record.exc_info[1])
            line["error.stack_trace"] = self.formatException(record.exc_info)
        return self._redact(_json(line))


def _json(line: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except TypeError:  # half of a surrogate pair, say, or a number of more than 64 bits
        plain = {name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in line.items()}
        return orjson.dumps(plain).decode()


class Lines(logging.Handler):
    """Writes lines in a thread of its own, so that whoever reads them slowly keeps no request waiting.

    Args:
        stream: where they go.

    Attributes:
        dropped: lines lost because nobody took those before them.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._queue: deque[bytes] = deque()
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self.dropped = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line."""
        try:
            line = self.format(record).encode() + b"\n"
        except Exception:  # noqa: BLE001 - a line that cannot be written must not fail whoever logs
            self.handleError(record)
            return
        if len(self._queue) >= _MOST:
            self.dropped += 1
        else:
            self._queue.append(line)
            if not self._wake.is_set():
                self._wake.set()

    def flush(self) -> None:
        """Write what is queued."""
        with self._writing:
            lines = []
            while self._queue:
                lines.append(self._queue.popleft())
            if lines:
                self._stream.write(b"".join(lines))
                self._stream.flush()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_BREATH)
            self._wake.clear()
            try:
                self.flush()
            except (OSError, ValueError):  # whoever read them has gone, or the stream is closed
                self.dropped += 1


def configure(
    level: int = logging.INFO,
    *,
    redact: Callable[[str], str] = str,
    fields: Mapping[str, Any] | None = None,
    stream: BinaryIO | None = None,
) -> Lines:
    """Send the logs of stackwright, and of the server under it, to standard error.

    Args:
        redact: masks what must not be shown in a line.
        fields: what every line holds.
        stream: where they go instead.
    """
    present = next((item for item in logging.getLogger(LOGGERS[0]).handlers if isinstance(item, Lines)), None)
    handler = Lines(stream or sys.stderr.buffer) if present is None or stream is not None else present
    handler.setFormatter(EcsFormatter(redact, fields))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    logging.getLogger("uvicorn").setLevel(max(level, logging.ERROR))
    if handler is not present:
        atexit.register(_flush_last, handler)
    return handler


def _flush_last(handler: Lines) -> None:
    with suppress(OSError, ValueError):
        handler.flush()
