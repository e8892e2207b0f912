"""Machine code in the project's cache: a file for each model, and for each processor and compiler that it is made for.

A file begins with the SHA-256 of the rest, for LLVM ends the process over code that was cut short; then comes why there
is no code, a zero, and the code.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

LOCK: Final = "compiler.lock"
"""The file by which one process compiles at a time; a large model takes some hundred megabytes for it."""

_DIGEST: Final = hashlib.sha256().digest_size
_END: Final = b"\0"
_MAKERS: Final = ("lleaves", "llvmlite", "lightgbm", "stackwright-lightgbm")


class Kept(NamedTuple):
    """What compiling a model came to.

    Attributes:
        code: the object file; empty where there is none.
        refusal: why there is none.
    """

    code: bytes = b""
    refusal: str = ""


@cache
def target() -> str:
    """Return what code is made for and by: processors and compilers that differ in it never share a file."""
    import llvmlite.binding as llvm

    names = llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return hashlib.sha256("\n".join((*names, *map(version, _MAKERS))).encode()).hexdigest()[:16]


def read(path: Path) -> Kept | None:
    """Return what a file holds, and mark it as used; ``None`` if it is not there, or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    rest = content[_DIGEST:]
    if hashlib.sha256(rest).digest() != content[:_DIGEST]:
        return None
    with suppress(OSError):  # the folder may be another user's
        os.utime(path)
    refusal, _, code = rest.partition(_END)
    return Kept(code, refusal.decode())


def write(path: Path, kept: Kept) -> None:
    """Write a file, which appears whole or not at all."""
    rest = kept.refusal.encode() + _END + kept.code
    made = path.with_suffix(f".{os.getpid()}")
    made.write_bytes(hashlib.sha256(rest).digest() + rest)
    made.replace(path)
