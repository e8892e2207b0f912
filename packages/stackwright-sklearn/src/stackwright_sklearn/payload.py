"""The payload ``model.skops``: a fitted model as bytes and back, of a pinned list of types."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Final, NamedTuple

from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.trainer import TaskKind
from stackwright_skops import archive
from stackwright_skops.allowed import HISTOGRAMS, LEFTOVERS, LIGHTGBM, OUTCOMES, TABULAR, TREES

ALLOWED: Final[Mapping[str, str]] = {**TREES, **HISTOGRAMS, **LEFTOVERS, **LIGHTGBM, **TABULAR, **OUTCOMES}
"""Type beyond those that skops trusts → what it is for, and why it does no harm."""


class Payload(NamedTuple):
    """What a payload holds.

    Args:
        inputs: names of the model's inputs, in order.
        model: a fitted estimator, or a fitted pipeline that ends in one; takes a matrix of n × inputs, or a frame.
        texts: for one that takes a frame, the inputs that are texts, and a category of each; ``None`` for a matrix.
        horizons: of times to an event, durations within which the chance of the event is an output.
    """

    inputs: tuple[str, ...]
    model: Any
    texts: Mapping[str, str] | None = None
    horizons: tuple[float, ...] = ()


def dump(payload: Payload) -> bytes:
    """Return a payload as bytes: the same for the same fit, in any process.

    Raises:
        TrainingError: the model holds what skops cannot store or no reader would allow.
    """
    content = {"inputs": list(payload.inputs), "model": payload.model}
    if payload.texts is not None:
        content["texts"] = dict(payload.texts)
    if payload.horizons:
        content["horizons"] = list(payload.horizons)
    todo = "Choose another estimator or other parameters (of neighbours algorithm = 'brute')."
    return archive.dump(content, ALLOWED, where=type(_last(payload.model)).__name__, todo=todo)


def load(content: bytes, where: str) -> Payload:
    """Build what :func:`dump` stored. Its trees are still to be checked.

    Args:
        content: the bytes.
        where: what an error calls them.

    Raises:
        ArtifactError: damaged, not of this kind, or in need of a type that is not allowed; then nothing was built.
    """
    root = archive.load(content, ALLOWED, where)
    with archive.damaged(where):
        horizons = tuple(float(horizon) for horizon in root.get("horizons", ()))
        payload = Payload(tuple(root["inputs"]), root["model"], root.get("texts"), horizons)
        if not callable(getattr(_last(payload.model), "predict", None)):
            todo = "Restore it, or train the model again."
            raise ArtifactError(where, f"holds a {type(payload.model).__name__}, which does not predict", todo)
    return payload


def steps(model: Any) -> list[Any]:
    """Return the steps of a pipeline in order; of anything else, itself alone."""
    from sklearn.pipeline import Pipeline

    return [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]


def task_of(model: Any) -> str:
    """Return the task that a fitted or unfitted estimator, or a pipeline that ends in one, does.

    What gives a chance of survival learns times to an event; what is fitted with the list of each row ranks.
    """
    from sklearn.base import is_classifier

    if hasattr(model, "predict_survival"):
        return TaskKind.TIME_TO_EVENT
    if is_classifier(model):
        return TaskKind.CLASSIFICATION
    takes = signature(_last(model).fit).parameters if hasattr(_last(model), "fit") else {}
    return TaskKind.RANKING if "group" in takes else TaskKind.REGRESSION


def _last(model: Any) -> Any:
    return steps(model)[-1]
