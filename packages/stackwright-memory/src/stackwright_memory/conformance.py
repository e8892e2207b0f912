"""What the conformance kit is told of the adapters."""

from __future__ import annotations

from typing import ClassVar


class MemoryConformance:
    """Nothing outlives the process."""

    durable: ClassVar[bool] = False
