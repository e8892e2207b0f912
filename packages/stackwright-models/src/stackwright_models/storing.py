"""Fitted estimators as bytes and back, without pickle: a zip archive by skops, of a pinned list of types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackwright_skops import archive
from stackwright_skops.allowed import LIGHTGBM, NOTEBOOK, OUTCOMES, TABULAR

ALLOWED: Final[Mapping[str, str]] = {**NOTEBOOK, **OUTCOMES, **TABULAR, **LIGHTGBM}
"""Type beyond those that skops trusts → what is in it. Each holds data; none runs code when it is read."""


def dumps(model: Any) -> bytes:
    """Return a fitted estimator or pipeline as bytes: the same for the same fit, in any process.

    Raises:
        TrainingError: it holds what skops cannot store, or a type that :func:`loads` would refuse.
    """
    return archive.dump(model, ALLOWED, where=type(model).__name__, todo="Choose another estimator.")


def loads(content: bytes, where: str = "model") -> Any:
    """Build what :func:`dumps` stored.

    Args:
        content: the bytes.
        where: what an error calls them.

    Raises:
        ArtifactError: damaged, or in need of a type that is not on the list; then nothing was built.
    """
    return archive.load(content, ALLOWED, where)
