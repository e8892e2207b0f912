"""What a piece of work costs this process, as far as the operating system tells."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_SELF: Final = Path("/proc/self")


class Meter:
    """Measures from when it is made."""

    def __init__(self) -> None:
        with suppress(OSError):  # Linux alone can forget the peak so far; elsewhere it is that of the whole process
            (_SELF / "clear_refs").write_text("5")
        self._wall, self._cpu, self._io = time.perf_counter(), _cpu(), _io()

    def read(self, cpu_elsewhere: float = 0.0) -> dict[str, Any]:
        """Return wall and CPU seconds, and bytes: most memory at once, read and written; null where it is not told.

        Args:
            cpu_elsewhere: CPU seconds of processes that still run.
        """
        read, written = (
            None if now is None or then is None else now - then for now, then in zip(_io(), self._io, strict=True)
        )
        return {
            "wall_seconds": round(time.perf_counter() - self._wall, 4),
            "cpu_seconds": round(_cpu() - self._cpu + cpu_elsewhere, 4),
            "peak_memory_bytes": peak_memory(),
            "read_bytes": read,
            "written_bytes": written,
        }


def _cpu() -> float:
    """Return CPU seconds of this process and of the children it has waited for."""
    return sum(os.times()[:4])


def _io() -> tuple[int | None, int | None]:
    """Return the bytes that were read and written so far, through files and sockets."""
    found = _numbers(_SELF / "io")
    return found.get("rchar"), found.get("wchar")


def peak_memory() -> int | None:
    """Return the most resident memory at once, in bytes; ``None`` where the system does not tell."""
    kilobytes = _numbers(_SELF / "status").get("VmHWM")
    if kilobytes is not None:
        return kilobytes * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_below(process: int) -> int:
    """Return the memory of all processes that descend from one, in bytes; 0 where the system does not tell.

    What several processes share is divided among them: their proportional set size.
    """
    parents = {int(path.name): _numbers(path / "status").get("PPid") for path in Path("/proc").glob("[0-9]*")}
    below = {process}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return 1024 * sum(_numbers(Path(f"/proc/{child}/smaps_rollup")).get("Pss", 0) for child in below - {process})


def _numbers(path: Path) -> dict[str, int]:
    """Return the whole numbers of lines ``name: number ...``; none where there is no such file."""
    try:
        lines = [line.partition(":") for line in path.read_text(errors="replace").splitlines()]
    except OSError:
        return {}
    first = {name: text.split()[0] for name, _, text in lines if text.split()}
    return {name: int(text) for name, text in first.items() if text.isdigit()}
