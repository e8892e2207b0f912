"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RecommenderConformance:
    """Options that fit the kit's town in a moment."""

    quick: ClassVar[Mapping[str, Any]] = {"folds": 2, "candidates": 20, "trees": 20}
