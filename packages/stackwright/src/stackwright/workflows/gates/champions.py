"""The promoted version that a candidate is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates.joining import joined
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ModelNotFound, StackwrightError
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.model import LoadedModel, Prediction


@dataclass(frozen=True)
class Champion:
    """A promoted version.

    Args:
        model: it, loaded; ``None`` where it cannot be.
        problem: why it cannot be loaded.
    """

    version: ModelVersion
    model: LoadedModel | None
    problem: str = ""

    @property
    def learned_until(self) -> np.datetime64:
        """When the newest row that it learned from was asked for; NaT where its manifest does not say."""
        last = "" if self.model is None else str(self.model.manifest.data.get("last", ""))
        return np.datetime64(last.removesuffix("Z") or "NaT", "us")


def champion_of(stack: Stack, name: str) -> Champion | None:
    """Return the promoted version of a model; ``None`` where there is none."""
    try:
        version = stack.registry.resolve(ModelRef(name, alias=stack.champion))
    except ModelNotFound:
        return None
    try:
        folder = stack.registry.fetch(version)
        format_ = stack.model_format(Manifest.read(folder).flavour)
        return Champion(version, LoadedModel.published(version, folder, format_))
    except StackwrightError as error:
        return Champion(version, None, str(error))


@dataclass(frozen=True)
class Rival:
    """The champion, asked about the rows that a candidate is judged on.

    Args:
        champion: it; ``None`` where there is none.
        unseen: of each row, whether it is newer than what the champion learned from.
        answer: its answers; ``None`` where it has none to be compared.
        why: why there are none.
    """

    champion: Champion | None
    unseen: NDArray[np.bool_]
    answer: Prediction | None = None
    why: str = ""


def rival_of(stack: Stack, champion: Champion | None, model: LoadedModel, rows: Dataset, service: str) -> Rival:
    """Return the champion's answers for these rows.

    Args:
        model: the candidate.
        service: the service that the rows' columns are of.
    """
    why, unseen = _incomparable(champion, model), _unseen(champion, rows)
    if champion is None or champion.model is None or why:
        return Rival(champion, unseen, why=why)
    try:
        return Rival(champion, unseen, champion.model.predict(columns_for(stack, champion.model, rows, service)))
    except StackwrightError as error:
        return Rival(champion, unseen, why=f"the champion {champion.version.ref} cannot be asked: {error}")


def _unseen(champion: Champion | None, rows: Dataset) -> NDArray[np.bool_]:
    until = np.datetime64("NaT", "us") if champion is None else champion.learned_until
    newer: NDArray[np.bool_] = np.isnat(until) | (rows.begun > until)
    return newer


def _incomparable(champion: Champion | None, model: LoadedModel) -> str:
    """Return why a model is not held against the champion; empty where it is."""
    if champion is None:
        return "there is no champion yet"
    if champion.model is None:
        return f"the champion {champion.version.ref} cannot be loaded: {champion.problem}"
    if champion.model.digest == model.digest:
        return f"it is the champion {champion.version.ref} itself"
    before, now = champion.model.manifest, model.manifest
    if (before.task, before.target) != (now.task, now.target):
        return (
            f"the champion {champion.version.ref} predicts {before.target!r} ({before.task}), which is something else"
        )
    return ""


def columns_for(stack: Stack, model: LoadedModel, rows: Dataset, service: str) -> dict[str, Any]:
    """Return what a champion reads of these rows: their own columns, or those of the service that it learned from.

    Columns of another service are taken where they mean the same: of the same views, by the same transforms.

    Args:
        service: the service that the rows' columns are of.

    Raises:
        StackwrightError: they cannot be joined.
    """
    there = set(model.inputs) <= set(rows.columns)
    if model.manifest.service == service or (there and _means_the_same(model.manifest, stack.service(service))):
        return dict(rows.columns)
    return joined(stack, stack.service(model.manifest.service), rows.keys, rows.asked)


def _means_the_same(manifest: Manifest, service: FeatureService) -> bool:
    read = set(manifest.definitions) - {manifest.service, manifest.target}
    code = {step.name: step.code for step in service.transforms}
    same_code = all(code.get(name) == hashed for name, hashed in manifest.transforms.items())
    return same_code and read <= {selection.view.ref for selection in service.selections}
