"""Compiles a model, in a process of its own: ``python -m stackwright_lightgbm.compiler FILE``.

LightGBM's text comes by the standard input; FILE is named after its SHA-256, which tells whether all of it came. One
process of a folder compiles at a time, the others find it done; whoever asked may end before: the next process has the
use of it.

lleaves (https://lleaves.readthedocs.io) turns each split into instructions. Sums are made in LightGBM's order, so that
the answers are the same bits; they are compared at the very values where trees split. Where code differs anywhere, the
file says so in its place: the next process need not try again.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import StackwrightError
from stackwright_interfaces.writer_lock import WriterLock
from stackwright_lightgbm.forest import write_object
from stackwright_lightgbm.kept_code import LOCK, Kept, read, write
from stackwright_lightgbm.machine_code import MachineCode
from stackwright_lightgbm.native import NativeBooster
from stackwright_lightgbm.text import leaves_of, splits_of

_INLINED: Final = 16_000
"""Leaves up to which trees are laid into one function: a fifth faster, at a cost that grows faster than the trees."""

_ZERO: Final = float(np.float32(1e-35))
"""Numbers up to it are zero to LightGBM (``kZeroThreshold`` of its ``meta.h``)."""

_BELOW: Final = repr(float(np.nextafter(-_ZERO, -1))).encode()
_ABOVE: Final = repr(_ZERO).encode()
_THRESHOLDS: Final = re.compile(rb"(?m)^(threshold=)(.*)$")

_NICE: Final = 5
_LONGEST: Final = 600.0
_ROWS: Final = 2000
_EDGES: Final = (0.0, -0.0, 1e-40, -_ZERO, _ZERO, -1.0, np.nan, np.inf, -np.inf, 1e300)


class NotCompiledError(Exception):
    """A model that cannot be compiled."""


def compiled(text: bytes) -> bytes:
    """Return the object file of a model.

    Args:
        text: LightGBM's text form.

    Raises:
        NotCompiledError: lleaves cannot compile it, or its code answers otherwise than LightGBM.
        OSError: there is no room for temporary files.
    """
    with TemporaryDirectory(prefix="stackwright-lightgbm-") as folder:
        source, made = Path(folder, "model.txt"), Path(folder, "model.o")
        source.write_bytes(_THRESHOLDS.sub(_without_tiny, text))
        try:
            write_object(source, made, inlined=leaves_of(text) <= _INLINED)
        except (OSError, MemoryError):  # nothing of the model's
            raise
        except Exception as error:
            raise NotCompiledError(f"lleaves does not compile it ({type(error).__name__}: {error})") from error
        code = made.read_bytes()
    _compare(text, code)
    return code


def _without_tiny(line: re.Match[bytes]) -> bytes:
    """Move thresholds so that numbers which LightGBM takes for zero go where zero goes."""
    moved = [_BELOW if -_ZERO <= float(at) < 0 else _ABOVE if 0 <= float(at) < _ZERO else at for at in line[2].split()]
    return line[1] + b" ".join(moved)


def _compare(text: bytes, code: bytes) -> None:
    booster = NativeBooster(text)
    try:
        rows = _edges(text, booster.inputs)
        differ = np.flatnonzero(~np.equal(MachineCode(code).predict(rows), booster.predict(rows)))
    finally:
        booster.close()
    if differ.size:
        raise NotCompiledError(f"its code answers {differ.size} of {len(rows)} rows otherwise than LightGBM")


def _edges(text: bytes, inputs: int) -> NDArray[np.float64]:
    """Return rows of the values at which trees split, those next to them, and what numbers end in."""
    random = np.random.default_rng(0)
    rows = np.empty((_ROWS, inputs))
    splits = splits_of(text)
    for place in range(inputs):
        at = np.array(splits.get(place, [0.0]))
        values = np.concatenate([at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf), _EDGES, np.arange(64.0)])
        rows[:, place] = random.choice(values, _ROWS)
    return rows


def main(arguments: list[str]) -> int:
    """Compile the model on the standard input into a file, if that is not there."""
    os.nice(_NICE)
    text = sys.stdin.buffer.read()
    path = Path(arguments[0])
    if not path.name.startswith(hashlib.sha256(text).hexdigest()):
        print("whoever asked for its code ended before its text was read", file=sys.stderr)
        return 1
    try:
        with WriterLock(path.with_name(LOCK)).hold(_LONGEST):
            if read(path) is None:
                write(path, _kept(text))
    except (StackwrightError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _kept(text: bytes) -> Kept:
    try:
        return Kept(code=compiled(text))
    except NotCompiledError as error:
        return Kept(refusal=str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
