"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PostgresConformance:
    """A table a test, on the server that is given."""

    options: ClassVar[Mapping[str, Any]] = {"table": "{name}"}
