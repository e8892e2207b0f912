"""Environments: ``[env.NAME]`` tables laid over a blueprint, so that staging differs from production in few lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

VARIABLE: Final = "STACKWRIGHT_ENV"
SECTION: Final = "env"


def current() -> str:
    """Return the environment that ``STACKWRIGHT_ENV`` names; empty is the blueprint as it stands."""
    return os.environ.get(VARIABLE, "")


def overlaid(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a blueprint's document with an environment laid over it, and without its ``[env]`` section.

    Tables are laid over key by key, other values replace. A part of another adapter replaces the part whole, since the
    options of one adapter mean nothing to another.

    Args:
        name: the environment; empty for the blueprint as it stands.
    """
    base = {key: value for key, value in document.items() if key != SECTION}
    if not name:
        return base
    laid: dict[str, Any] = _over(base, document[SECTION][name])
    return laid


def _over(base: Any, layer: Any) -> Any:
    if not isinstance(layer, Mapping):
        return layer
    if isinstance(base, str):
        base = {"adapter": base}
    if not isinstance(base, Mapping) or _adapter(base) != (_adapter(layer) or _adapter(base)):
        return dict(layer)
    return {**base, **{key: _over(base.get(key), value) for key, value in layer.items()}}


def _adapter(part: Mapping[str, Any]) -> Any:
    return part.get("adapter")
