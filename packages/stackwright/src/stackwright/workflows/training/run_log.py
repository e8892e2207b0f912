"""The log of a run: a file beside it, which its process holds locked for as long as it lives."""

from __future__ import annotations

import fcntl
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from stackwright.assembly.secrets import redact
from stackwright_interfaces.errors import ProjectError


class RunLog:
    """Takes down what is logged, warned of and printed while a run goes on.

    Args:
        path: of the file.

    Raises:
        ProjectError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[str] = path.open("a", encoding="utf-8", errors="backslashreplace")
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise self._unwritable(error) from error

    def note(self, text: str) -> None:
        """Write a line. Once the log is closed there is nobody to take it down, and nothing is written.

        Raises:
            ProjectError: it cannot be written.
        """
        if self._stream.closed:
            return
        try:
            self._stream.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {redact(text)}\n")
            self._stream.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ProjectError:
        todo = "Free space or allow writing there."
        return ProjectError(str(self.path), f"cannot be written ({error.strerror})", todo)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Take down records of ``logging``, warnings, and what is printed; all of it still goes where it went."""
        handler = _Handler(self.note)
        logging.getLogger().addHandler(handler)
        shown = warnings.showwarning
        warnings.showwarning = _noting(shown, self.note)
        out = _Tee(sys.stdout, self.note)
        try:
            with redirect_stdout(out):
                yield
        finally:
            warnings.showwarning = shown
            logging.getLogger().removeHandler(handler)
            out.end()

    def close(self) -> None:
        """Let go of the file."""
        if not self._stream.closed:
            fcntl.flock(self._stream, fcntl.LOCK_UN)
            with suppress(OSError):  # what could not be written was told when it was to be
                self._stream.close()

    def drop(self) -> None:
        """Remove the file: nothing happened."""
        self.close()
        self.path.unlink(missing_ok=True)


class _Handler(logging.Handler):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(self.format(record))


def _noting(shown: Callable[..., None], note: Callable[[str], None]) -> Callable[..., None]:
    def show(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
        note(f"{category.__name__} {filename}:{lineno}: {message}")
        shown(message, category, filename, lineno, *rest)

    return show


class _Tee:
    """Standard output that is taken down line by line."""

    def __init__(self, out: Any, note: Callable[[str], None]) -> None:
        self._out, self._note, self._line = out, note, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._note(line)
        return int(self._out.write(text))

    def end(self) -> None:
        """Take down a last line that was not ended."""
        if self._line:
            self._note(self._line)
            self._line = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)
