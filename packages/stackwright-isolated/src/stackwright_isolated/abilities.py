"""What an adapter, or what it made, shows beside its methods: the same on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackwright_interfaces.feature_store import OfflineStore, SupportsSQL
from stackwright_interfaces.model import (
    ModelFormat,
    Predictor,
    SupportsAdditive,
    SupportsContributions,
    SupportsPortable,
)
from stackwright_interfaces.trainer import (
    FittedModel,
    SupportsParts,
    SupportsQuantiles,
    SupportsRanking,
    SupportsTimeToEvent,
    Trainer,
)

PROTOCOLS: Final[Mapping[str, type]] = {
    kind.__name__: kind
    for kind in (
        SupportsSQL, SupportsRanking, SupportsTimeToEvent, SupportsQuantiles, SupportsParts, SupportsContributions,
        SupportsAdditive, SupportsPortable,
    )
}  # fmt: skip
"""The abilities that what runs apart may have."""

_SHOWN: Final[Mapping[type, tuple[str, ...]]] = {
    OfflineStore: (),
    Trainer: ("input", "spreads", "higher_is_better"),
    ModelFormat: ("flavour",),
    FittedModel: ("flavour", "parameters", "metrics", "code"),
    Predictor: ("input",),
}
_MARKS: Final = ("ranks", "takes_censored", "gives_quantiles", "additive")


def found_of(made: Any) -> dict[str, Any]:
    """Return which abilities something has, and the attributes that it shows."""
    shown = {name for kind, names in _SHOWN.items() if isinstance(made, kind) for name in names}
    shown |= {name for name in _MARKS if hasattr(made, name)}
    abilities = [name for name, protocol in PROTOCOLS.items() if isinstance(made, protocol)]
    return {"abilities": abilities, "shown": {name: getattr(made, name) for name in sorted(shown)}}
