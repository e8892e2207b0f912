"""What the conformance kit is told of the executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class LocalConformance:
    """Two processes, however many processors there are."""

    options: ClassVar[Mapping[str, Any]] = {"workers": 2}
