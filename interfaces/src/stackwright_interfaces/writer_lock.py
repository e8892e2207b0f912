"""One writer of a file at a time, among threads and processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import FeatureStoreError

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


class WriterLock:
    """An advisory lock, which the kernel releases when its holder dies.

    Args:
        path: the file of the lock; made, with its folder, where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Hold the lock.

        Args:
            timeout: seconds to wait for it.

        Raises:
            FeatureStoreError: another writer held it all that time, or the file cannot be made.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._wait(descriptor, timeout)
            yield
        finally:
            # Explicitly, because a child forked in the meantime shares the open file and would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _wait(self, descriptor: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._held(descriptor, timeout) from None
            except OSError as error:
                raise self._failed(error) from error
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _held(self, descriptor: int, timeout: float) -> FeatureStoreError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        found = f"process {holder} has been writing for more than {round(timeout, 1):g} s"
        return FeatureStoreError(str(self._path), found, "Wait for it or end it, or raise lock_timeout.")

    def _failed(self, error: OSError) -> FeatureStoreError:
        found = f"cannot be made or locked ({error.strerror or error})"
        todo = "Check the folder, its rights and the room on the disk."
        return FeatureStoreError(str(error.filename or self._path), found, todo)
