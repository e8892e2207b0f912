"""The rules of a model in training: which rows it learns from, and the limits that travel with it.

Live, in batch and where answers are compared, :mod:`stackwright_serving.rules` runs what this has written down.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart, OutlierRule
from stackwright.workflows.datasets.building import column_of
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import Rows
from stackwright_serving.rules import KEY

Limits = tuple[float, float]


@dataclass(frozen=True)
class Learned:
    """Rules with limits in numbers, quantiles taken from the rows that are learned from.

    Args:
        part: the model.
        clips: input → limits, in training and live.
        target: limits of the truth, in training alone.
        drops: column → limits; rows beyond are not learned from.
    """

    part: ModelPart
    clips: Mapping[str, Limits] = field(default_factory=dict)
    target: Limits | None = None
    drops: Mapping[str, Limits] = field(default_factory=dict)

    @classmethod
    def of(cls, part: ModelPart, rows: Rows) -> Learned:
        """Return the rules of a model.

        Raises:
            TrainingError: a rule names no column of numbers.
        """
        rules = part.rules.outliers
        limits = {name: _limits(rule, column_of(rows, part, name, "rules outliers")) for name, rule in rules.items()}
        clips = {name: limits[name] for name, rule in rules.items() if rule.action == "clip"}
        return cls(
            part=part,
            target=clips.pop(part.target, None),
            clips=clips,
            drops={name: limits[name] for name, rule in rules.items() if rule.action == "drop"},
        )

    @classmethod
    def written(cls, part: ModelPart, parameters: Mapping[str, Any]) -> Learned:
        """Return the rules that a manifest's parameters say of, with the limits of that training."""
        document = parameters.get(KEY, {})
        target = document.get("clip_target")
        clips, drops = (
            {name: (low, high) for name, (low, high) in document.get(kind, {}).items()} for kind in ("clip", "drop")
        )
        return cls(part=part, clips=clips, target=None if target is None else (target[0], target[1]), drops=drops)

    @property
    def reads(self) -> Collection[str]:
        """The columns that decide which rows are left."""
        return [name for name in self.drops if name != self.part.target]

    def __call__(self, rows: Dataset) -> Dataset:
        """Return the rows to learn from; inputs stay as they are, a trainer gets them clipped."""
        keep = np.ones(len(rows), dtype=np.bool_)
        for name, (low, high) in self.drops.items():
            column = column_of(rows, self.part, name, "rules outliers")
            keep &= ~((column < low) | (column > high))
        rows = rows.take(keep)
        return rows if self.target is None else replace(rows, target=np.clip(rows.target, *self.target))

    @property
    def postprocess(self) -> tuple[Mapping[str, Any], ...]:
        """Steps after the model's own: scale, limits, decimals."""
        answer = self.part.rules.answer
        steps: list[Mapping[str, Any]] = []
        if "scale" in answer:
            steps.append({"op": "scale", "by": answer["scale"]})
        ends = {end: answer[name] for end, name in (("low", "min"), ("high", "max")) if name in answer}
        if ends:
            steps.append({"op": "clip", **ends})
        if "round" in answer:
            steps.append({"op": "round", "digits": int(answer["round"])})
        return tuple(steps)

    def to_json(self) -> dict[str, Any]:
        """Return what a manifest's parameters say of the rules; nothing where there are none."""
        if not self.part.rules.to_json():
            return {}
        document = {
            "select": {name: list(allowed) for name, allowed in self.part.rules.select.items()},
            "fallback": self.part.rules.fallback,
            "clip": {name: list(limits) for name, limits in self.clips.items()},
            "drop": {name: list(limits) for name, limits in self.drops.items()},
            "clip_target": None if self.target is None else list(self.target),
        }
        return {KEY: {name: value for name, value in document.items() if value not in ({}, None)}}


def _limits(rule: OutlierRule, column: NDArray[Any]) -> Limits:
    if not rule.quantiles:
        return rule.limits
    low, high = np.nanquantile(np.asarray(column, dtype=np.float64), rule.limits)
    return float(low), float(high)
