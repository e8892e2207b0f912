"""Gates of other distributions: what a gate is offered as, what it is shown, and what it answers.

A gate judges a staged model before anything points to it. A distribution offers gates with the hook
``stackwright_gates``; one runs for the models alone whose ``gates`` name it in the blueprint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from stackwright_interfaces.model import Manifest

CONTRACT: Final = 1

Predict = Callable[[Mapping[str, Any]], Any]
"""Model columns of n rows → float64 array of n answers, every step after the model done."""


@dataclass(frozen=True)
class Verdict:
    """What a gate found.

    Args:
        passed: whether the model may be promoted, as far as this gate goes.
        detail: one line for people, with the numbers that decided.
        evidence: what was measured; JSON values, numpy's numbers and arrays are turned into such.
        applies: ``False`` where the gate has nothing to judge in this model; it then counts as passed, and is shown.
    """

    passed: bool
    detail: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    applies: bool = True

    @classmethod
    def inapplicable(cls, detail: str, evidence: Mapping[str, Any] | None = None) -> Self:
        """Return the verdict that there is nothing to judge, and why."""
        return cls(passed=True, detail=detail, evidence=evidence or {}, applies=False)


@dataclass(frozen=True, kw_only=True)
class GateRows:
    """Rows in order of the time asked.

    Args:
        columns: the service's outputs as model columns: float64 with NaN where null for numbers and booleans, objects
            with ``None`` where null for texts.
        target: the truth, float64, untransformed: of a ranking the relevance, of a time to event the duration in days.
        asked: when each was asked for, ``datetime64[us]``.
        keys: key and request columns, as they were given.
        group: of a ranking, int64 array of n: equal for the rows of one list, which follow each other. Rows are then in
            order of the time their list began.
        event: of a time to event, bool array of n: whether the event was seen; else the row is censored.
    """

    columns: Mapping[str, Any]
    target: Any
    asked: Any
    keys: Mapping[str, Any]
    group: Any = None
    event: Any = None


@dataclass(frozen=True, kw_only=True)
class GateCandidate:
    """The staged model, as a gate sees it.

    Args:
        model: name of the model.
        task: ``"regression"``, ``"classification"``, ``"ranking"`` or ``"time_to_event"``.
        manifest: what the folder says of itself.
        folder: the staged folder; it must not be written to.
        predict: the model.
        train: rows it learned from.
        holdout: newer rows it has not seen.
        champion: the promoted version, or ``None`` where there is none that can be asked; it may read other columns.
        champion_ref: its ``name@version``, or empty.
    """

    model: str
    task: str
    manifest: Manifest
    folder: Path
    predict: Predict
    train: GateRows
    holdout: GateRows
    champion: Predict | None = None
    champion_ref: str = ""


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """A gate, described without importing what it needs.

    Args:
        name: the name a blueprint uses.
        contract: the version of this module (its ``CONTRACT``) it was written to.
        factory: ``"package.module:callable"``, imported only when the gate runs; called with the candidate and the
            options, it returns a :class:`Verdict`.
        options: option → default: a number, a text, a list of texts, or a table. ``level`` is every gate's own.
        description: one line for ``stackwright plugins``.
    """

    name: str
    contract: int
    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
