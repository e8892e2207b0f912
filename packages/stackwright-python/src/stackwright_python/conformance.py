"""What the conformance kit is told of the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar


class PythonConformance:
    """A class to run, in the project of each test."""

    options: ClassVar[Mapping[str, Any]] = {"class": "nearest:Nearest"}
    files: ClassVar[Mapping[str, bytes]] = {"nearest.py": Path(__file__).with_name("nearest.py").read_bytes()}
    overfit: ClassVar[Mapping[str, Any]] = {"count": 1}
    nonsense: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"counts": 3},
        {"count": "many"},
        {"count": 2.5},
        {"scaled": "perhaps"},
        {"seed": 1},
    )
