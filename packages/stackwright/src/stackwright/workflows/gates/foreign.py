"""Gates of other distributions: imported when they run, and shown a candidate by the published view alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.gates.base import Candidate
from stackwright_interfaces.errors import PluginError
from stackwright_interfaces.gates import GateCandidate, GateRows, Predict, Verdict
from stackwright_serving.model import LoadedModel


def judge(candidate: Candidate, name: str, options: Mapping[str, Any]) -> Verdict:
    """Run a gate of another distribution.

    Raises:
        PluginError: it is not installed, cannot be imported, or answers with something else than a verdict.
    """
    where = f"{candidate.part.place} gates"
    spec = candidate.stack.plugins.gate(where, name, GATE_OPTIONS)
    module, _, attribute = spec.factory.partition(":")
    try:
        check = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        todo = "Reinstall or upgrade the distribution that offers it."
        raise PluginError(where, f"gate {name!r} cannot be loaded ({error})", todo) from error
    verdict = check(seen(candidate), **options)
    if not isinstance(verdict, Verdict):
        found = f"gate {name!r} gave a {type(verdict).__name__} and no verdict"
        raise PluginError(where, found, "Return stackwright_interfaces.gates.Verdict.")
    return verdict


def seen(candidate: Candidate) -> GateCandidate:
    """Return a candidate as gates of other distributions see it."""
    champion = candidate.champion
    asked = champion.model if champion is not None else None
    return GateCandidate(
        model=candidate.part.name,
        task=candidate.task,
        manifest=candidate.model.manifest,
        folder=candidate.folder,
        predict=_answers(candidate.model),
        train=_rows(candidate.train),
        holdout=_rows(candidate.holdout),
        champion=None if asked is None else _answers(asked),
        champion_ref="" if asked is None else asked.ref,
    )


def _answers(model: LoadedModel) -> Predict:
    return lambda columns: model.predict(columns).value


def _rows(rows: Dataset) -> GateRows:
    return GateRows(
        columns=rows.columns,
        target=rows.target,
        asked=rows.asked,
        keys=rows.keys,
        group=rows.group,
        event=rows.event,
    )
