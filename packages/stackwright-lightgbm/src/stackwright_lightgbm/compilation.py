"""Machine code for a model that is asked for much, where lleaves is installed.

Compiling takes seconds, so a model is compiled once it has spent about as long on its answers; meanwhile and beside it
LightGBM answers, with the same bits. The code stays in the project's cache, for every process and the next start.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from stackwright_lightgbm.kept_code import Kept, read, target
from stackwright_lightgbm.machine_code import MachineCode
from stackwright_lightgbm.native import NativeBooster
from stackwright_lightgbm.text import leaves_of

_LOG: Final = logging.getLogger("stackwright_lightgbm")

_PATIENCE: Final = 0.25e-3
"""Seconds of prediction a leaf before compiling is begun; compiling takes about 1 ms a leaf."""

_MOST_LEAVES: Final = 60_000
"""Compiling these takes 0.7 GB."""

_KEPT: Final = 30 * 24 * 3600.0
"""Seconds for which code stays that nobody loads."""


def booster_of(text: bytes, *, threads: int = 1, cache: Path | None = None) -> NativeBooster:
    """Return a model that is compiled once that pays, where lleaves is installed and a cache is given.

    Args:
        text: LightGBM's text form, from a trusted place.
        threads: threads for the prediction of many rows.
        cache: the project's folder of what may be lost.

    Raises:
        ArtifactError: LightGBM refuses the text.
        PluginError: LightGBM's library cannot be used.
    """
    if cache is None or find_spec("lleaves") is None or leaves_of(text) > _MOST_LEAVES:
        return NativeBooster(text, threads=threads)
    return CompiledBooster(text, cache / "lightgbm", threads=threads)


class CompiledBooster(NativeBooster):
    """A loaded model, whose predictions come from machine code as soon as there is some.

    Args:
        text: LightGBM's text form, from a trusted place.
        folder: where code is kept.
        threads: threads for the prediction of many rows.
    """

    def __init__(self, text: bytes, folder: Path, *, threads: int = 1) -> None:
        super().__init__(text, threads=threads)
        self._threads = threads
        self._compilation = Compilation.of(text, folder)

    @property
    def compiled(self) -> bool:
        """Whether machine code answers in LightGBM's place."""
        return self._compilation.code is not None

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the predictions of n rows; see :meth:`NativeBooster.predict`."""
        code = self._compilation.code
        if code is not None:
            return code.predict(np.ascontiguousarray(self._checked(matrix)), self._threads)
        started = time.perf_counter()
        answer = super().predict(matrix)
        self._compilation.spend(time.perf_counter() - started)
        return answer


class Compilation:
    """The machine code of one model, shared by all that predict with it in this process.

    Attributes:
        code: what predicts; ``None`` until there is some.
    """

    _known: Final[WeakValueDictionary[tuple[str, Path], Compilation]] = WeakValueDictionary()
    _lock: Final = threading.Lock()
    _turn: Final = threading.Lock()

    def __init__(self, text: bytes, digest: str, folder: Path) -> None:
        self.code: MachineCode | None = None
        self._text, self._digest, self._folder = text, digest, folder
        self._left = 0.0 if any(folder.glob(f"{digest}-*.code")) else leaves_of(text) * _PATIENCE
        self._begun = False

    @classmethod
    def of(cls, text: bytes, folder: Path) -> Compilation:
        """Return the compilation of a model."""
        digest = hashlib.sha256(text).hexdigest()
        with cls._lock:
            found = cls._known.get((digest, folder))
            if found is None:
                found = cls._known[digest, folder] = cls(text, digest, folder)
            return found

    def spend(self, seconds: float) -> None:
        """Count the time of a prediction; the one that passes what compiling is worth has it begun."""
        self._left -= seconds
        if self._left > 0 or self._begun:
            return
        with self._lock:
            begun, self._begun = self._begun, True
        if not begun:
            threading.Thread(target=self._work, name="compilation", daemon=True).start()

    def _work(self) -> None:
        try:
            path = self._folder / f"{self._digest}-{target()}.code"
            kept = read(path) or self._compile(path)
            if kept.code:
                self.code = MachineCode(kept.code)
                self._text = b""
                _LOG.info("model %s answers by machine code from now on", self._digest[:12])
            else:
                _LOG.warning("model %s stays with LightGBM's own prediction: %s", self._digest[:12], kept.refusal)
        except Exception:  # noqa: BLE001 -- nothing waits for this thread, and LightGBM answers without it
            _LOG.warning("model %s is not compiled", self._digest[:12], exc_info=True)

    def _compile(self, path: Path) -> Kept:
        command = [sys.executable, "-P", "-m", "stackwright_lightgbm.compiler", str(path)]
        with self._turn:
            child = subprocess.run(command, input=self._text, capture_output=True, start_new_session=True, check=False)
        kept = read(path)
        if kept is None:
            said = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            return Kept(refusal=said or f"its compiler ended with code {child.returncode}")
        _clear(path.parent)
        return kept


def _clear(folder: Path) -> None:
    """Remove code that nobody loaded for long."""
    for path in folder.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT:
                path.unlink()
