"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DaskConformance:
    """Two processes of this machine, and work that fails with the first of them that dies."""

    options: ClassVar[Mapping[str, Any]] = {"workers": 2, "deaths": 0}
