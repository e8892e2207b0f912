"""The adapters ``lightgbm``: a trainer, and the format that loads what it saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stackwright_interfaces.model import CONTRACT as MODEL_CONTRACT
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl
from stackwright_interfaces.trainer import CONTRACT, Trainer


@dataclass(frozen=True, kw_only=True)
class LightGBMConfig:
    """Options of the trainer, under LightGBM's own names. Good defaults beat a search.

    Args:
        objective: for regression ``regression`` (squared error), ``l1``, ``huber``, ``quantile``, ``fair``, ``mape``,
            ``poisson``, ``gamma`` or ``tweedie``; for classification ``binary`` or ``cross_entropy``; for ranking
            ``lambdarank`` or ``rank_xendcg``; for times to an event, whose hazard is learned, ``binary``. Empty takes
            the first of its task.
        num_iterations: trees; ``None`` takes 800, 100 for ranking, where hundreds of rows are scored a request, and 150
            for times to an event.
        learning_rate: how much of each tree is added; ``None`` takes 0.04, and 0.03 for times to an event.
        num_leaves: most leaves of a tree; ``None`` takes 31, and 8 for times to an event.
        min_data_in_leaf: fewest rows of a leaf; ``None`` takes 20, and 40 for times to an event.
        feature_fraction: share of the inputs that each tree may use.
        bagging_fraction: share of the rows that each tree is grown on; below 1 they are drawn anew for each tree.
        lambda_l1: weight of the leaves' absolute values in the loss.
        lambda_l2: weight of the leaves' squares in the loss.
        alpha: the quantile of ``quantile``; where ``huber`` turns from squared to absolute error, in target units.
        early_stopping_round: stop when so many trees brought no gain on the validation rows, and keep the best; 0
            never does. Without validation rows it has no effect.
        monotone: input → 1 where the prediction may only rise with it, -1 where it may only fall; of times to an event
            the hazard.
        periods: of times to an event, how many periods time is cut into, at equal shares of the events.
        distributed: grow each tree on the workers of the Dask cluster that the compute slot holds, each on its share of
            the rows; not for rankings, and without ``early_stopping_round``.
        params: any other parameter of LightGBM.
    """

    objective: str = ""
    num_iterations: int | None = None
    learning_rate: float | None = None
    num_leaves: int | None = None
    min_data_in_leaf: int | None = None
    feature_fraction: float = 0.5
    bagging_fraction: float = 1.0
    lambda_l1: float = 0.0
    lambda_l2: float = 0.0
    alpha: float = 0.9
    early_stopping_round: int = 0
    monotone: dict[str, int] = field(default_factory=dict)
    periods: int = 20
    distributed: bool = False
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LightGBMFormatConfig:
    """The format has no options."""


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the trainer and the model format."""
    return (
        AdapterSpec(
            name="lightgbm",
            provides=Trainer,
            contract=CONTRACT,
            config=LightGBMConfig,
            factory="stackwright_lightgbm.trainer:LightGBMTrainer",
            conformance="stackwright_lightgbm.conformance:LightGBMConformance",
            capabilities=frozenset(
                {Capability.PARTS, Capability.QUANTILES, Capability.RANKING, Capability.TIME_TO_EVENT}
            ),
            description="Gradient-boosted trees by LightGBM.",
        ),
        AdapterSpec(
            name="lightgbm",
            provides=ModelFormat,
            contract=MODEL_CONTRACT,
            config=LightGBMFormatConfig,
            factory="stackwright_lightgbm.format:LightGBMFormat",
            description="Loads LightGBM's text through its C library, without importing lightgbm.",
        ),
    )
