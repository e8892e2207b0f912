"""How a prediction follows from the sum of the trees, as the objective in LightGBM's text says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Link = Literal["identity", "exp", "logistic", "square"]

_LINKS: Final[Mapping[str, Link]] = {
    "binary": "logistic",
    "cross_entropy": "logistic",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
}
_PLAIN: Final = {
    "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom", "none",
    "",
}  # fmt: skip


def link_of(text: bytes) -> tuple[Link, float] | None:
    """Return the link of a model, and what its sums are multiplied by before; ``None`` for an objective unknown here.

    Args:
        text: LightGBM's text form.
    """
    head, _, _ = text.partition(b"\n\n")
    header = dict(line.partition(b"=")[::2] for line in head.split(b"\n"))
    name, *options = header.get(b"objective", b"").decode("ascii", "replace").split() or [""]
    if "sqrt" in options:
        return "square", 1.0
    scale = next((float(option.partition(":")[2]) for option in options if option.startswith("sigmoid:")), 1.0)
    if name in _LINKS:
        return _LINKS[name], scale
    return ("identity", 1.0) if name in _PLAIN else None
