"""Publishing an estimator from a notebook: fitted anew on the older rows, and judged like any trained model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.model_part import TunePart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.outcomes import in_lists
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.training.model_card import card
from stackwright.workflows.training.publishing import judge_and_publish
from stackwright.workflows.training.recording import Recording
from stackwright.workflows.training.telling import nothing_to_do, outcome_of
from stackwright.workflows.training.train import check_enough, fit_rows
from stackwright.workflows.training.trial_log import TrialLog
from stackwright.workflows.versions.evidence import gate_configuration, trained_on
from stackwright.workflows.versions.provenance import lineage
from stackwright_interfaces.catalogue import canonical, meaning
from stackwright_interfaces.errors import DataError, MissingColumn, PluginError, TrainingError
from stackwright_interfaces.trainer import TaskKind, Trainer

ORIGIN: Final = "notebook"
_DAY: Final = 86_400_000_000
"""Microseconds."""


_OF_THE_TASK: Final[Mapping[str, tuple[str, ...]]] = {TaskKind.RANKING: ("k",), TaskKind.TIME_TO_EVENT: ("horizons",)}
"""Task → further settings that a publication depends on."""


@runtime_checkable
class TakesEstimators(Protocol):
    """A trainer that fits estimators which were made in Python."""

    def of(self, estimator: Any) -> Trainer:
        """Return a trainer of one estimator."""
        ...


@dataclass(frozen=True, kw_only=True)
class NotebookRows:
    """What an estimator learns from and is judged by.

    Args:
        columns: model columns of the service's outputs: float64 with NaN, texts as objects with ``None``.
        target: the truths, float64; of times to an event the days.
        asked: when each row was asked for, ``datetime64[us]``, UTC.
        observed: when its truth became known; ``None`` is at once, of times to an event when they ended.
        keys: what the service was asked with; the servable gate reads these rows online.
        group: of a ranking, the list that each row was shown in: any labels.
        position: of a ranking, the place that each was shown at, NaN where it is not known.
        event: of times to an event, whether it came; the truths are days, and ``observed`` of a row that still waits is
            when it was last looked at. ``None`` is all.
    """

    columns: Mapping[str, Any]
    target: NDArray[np.float64]
    asked: NDArray[np.datetime64]
    observed: NDArray[np.datetime64] | None = None
    keys: Mapping[str, Any]
    group: NDArray[Any] | None = None
    position: NDArray[np.float64] | None = None
    event: NDArray[np.bool_] | None = None


def publish_estimator(
    stack: Stack,
    estimator: Any,
    name: str,
    rows: NotebookRows,
    *,
    settings: Mapping[str, Any] | None = None,
    about: Mapping[str, str] | None = None,
    adapter: str = "sklearn",
    force: bool = False,
) -> Outcome:
    """Fit a copy of an estimator, judge it and publish it as the next version of a model.

    The copy learns from the older rows; the gates judge it by the newer ones, as those of a training do. What the
    blueprint says of the target's transform, of weights and of the choice of rows is not applied: estimator and rows
    say it; nor is ``refit``. Its intervals, rules, gates and holdout are.

    Args:
        name: a model of the blueprint.
        rows: the rows.
        settings: what goes over the blueprint: ``interval``, ``interval_half_life``, ``level``.
        about: heading → text for the model card, ``intended use`` or ``limits`` say.
        adapter: the trainer that takes the estimator, and whose model format loads it.
        force: publish even if a version of exactly this is published.

    Raises:
        BlueprintError: the blueprint has no such model.
        PluginError: the adapter takes no estimators.
        DataError: columns are missing, or of different lengths; or a ranking without lists.
        TrainingError: there are too few rows, or the fit fails.
    """
    part = _part(stack.model(name), adapter, settings or {})
    dataset = _dataset(stack, part, rows)
    trainer = _trainer(stack, adapter, estimator)
    run = Recording(stack, part.name)
    with run.going_on():
        run.inputs |= {"service": part.service, "target": part.target, "origin": ORIGIN, "data": dataset.fingerprint()}
        key = _key(stack, part, dataset, estimator)
        known = None if force else trained_on(stack, part.name, key)
        if known is not None:
            run.drop()
            return nothing_to_do(stack, known, "was published of exactly this before")
        run.keep()
        log = TrialLog(stack.project.state / "tuning" / f"{key}.jsonl")
        fitted = fit_rows(stack, part, dataset, run, log, trainer)
        origin = {
            "kind": ORIGIN,
            "estimator": _text(estimator),
            "parameters": _parameters(estimator),
            "data": dataset.fingerprint(),
        }
        described = {
            "origin": origin,
            "run": run.run.id,
            "code": run.run.record["code"],
            "lineage": lineage(stack, part, None),
            "card": card(stack, part, fitted, origin, about or {}),
        }
        version = judge_and_publish(stack, part, fitted, key, run.seconds, described)
        run.finish(version)
    outcome = outcome_of(stack, version, f"Published {version.ref} from a notebook", changed=True)
    more = {"seconds": dict(run.seconds), "run": run.to_json(), "card": described["card"]}
    return replace(outcome, data={**outcome.data, **more})


def _part(part: ModelPart, adapter: str, settings: Mapping[str, Any]) -> ModelPart:
    """Return the model as the blueprint has it, but for what the estimator and its rows say."""
    return replace(
        part,
        trainer=replace(part.trainer, adapter=adapter, options={}),
        transform="none",
        half_life=0.0,
        where={},
        refit=False,
        tune=TunePart(),
        trials=0,
        **settings,
    )


def _trainer(stack: Stack, adapter: str, estimator: Any) -> Trainer:
    trainer = stack.trainer_named(adapter)
    if not isinstance(trainer, TakesEstimators):
        raise PluginError(f"trainer {adapter!r}", "takes no estimators", "Name one that does: sklearn.")
    return trainer.of(estimator)


def _dataset(stack: Stack, part: ModelPart, rows: NotebookRows) -> Dataset:
    service = stack.service(part.service)
    for field in service.output_fields:
        if field.name not in rows.columns:
            raise MissingColumn.of("X", field.name, rows.columns)
    extra = [name for name in rows.columns if name not in {field.name for field in service.output_fields}]
    if extra:
        found = f"{', '.join(map(repr, extra))} is no output of {service.ref}, so it could not be served"
        raise DataError("X", found, "Make it inside of the estimator's pipeline, or add it to the service.")
    given = {**rows.columns, **rows.keys}
    keys = {}
    for field in (*service.request_keys, *service.request):
        if field.name not in given:
            raise MissingColumn.of("keys", field.name, rows.keys)
        keys[field.name] = np.asarray(given[field.name], dtype=object)
    observed = _observed(part, rows)
    lists = _lists(part, rows)
    order = np.argsort(rows.asked, kind="stable")
    dataset = Dataset(
        columns={field.name: rows.columns[field.name] for field in service.output_fields},
        target=rows.target,
        asked=rows.asked,
        observed=observed,
        keys=keys,
        event=_events(part, rows),
    )
    each = (*dataset.columns.values(), *keys.values(), rows.target, rows.asked, observed, *lists.values())
    lengths = {len(values) for values in (*each, *dataset.about.values())}
    if len(lengths) > 1:
        found = f"columns of {', '.join(map(str, sorted(lengths)))} rows"
        raise DataError("X, y, time, keys", found, "Give as many of each.")
    dataset = dataset.take(order)
    if lists:
        dataset = _in_lists(dataset, lists, order)
    if not np.isfinite(dataset.target).all():
        raise TrainingError("y", "truths that are missing or infinite", "Leave these rows out.")
    check_enough(part, dataset, "Bring more rows.")
    return dataset


def _observed(part: ModelPart, rows: NotebookRows) -> NDArray[np.datetime64]:
    """Return when each truth became known: where nothing is said of it at once, of times when they ended."""
    if rows.observed is not None:
        return rows.observed
    if part.task != TaskKind.TIME_TO_EVENT or len(rows.target) != len(rows.asked):
        return rows.asked
    return np.asarray(rows.asked + (rows.target * _DAY).astype("timedelta64[us]"), dtype="datetime64[us]")


def _lists(part: ModelPart, rows: NotebookRows) -> dict[str, NDArray[Any]]:
    """Return the list and the place of each row of a ranking; of others nothing."""
    if part.task != TaskKind.RANKING:
        return {}
    if rows.group is None:
        raise DataError("group", "is not given, and a ranking is of lists", "Give the list that each row was shown in.")
    if rows.position is None:
        return {"group": rows.group}
    return {"group": rows.group, "position": rows.position}


def _in_lists(rows: Dataset, lists: Mapping[str, NDArray[Any]], order: NDArray[np.intp]) -> Dataset:
    position = lists["position"][order] if "position" in lists else None
    return in_lists(rows, lists["group"][order], position, "group")


def _events(part: ModelPart, rows: NotebookRows) -> NDArray[np.bool_] | None:
    if part.task != TaskKind.TIME_TO_EVENT:
        return None
    return np.ones(len(rows.target), dtype=np.bool_) if rows.event is None else rows.event


def _key(stack: Stack, part: ModelPart, rows: Dataset, estimator: Any) -> str:
    """Return what a publication depends on, as one hash."""
    settings = ("task", "holdout", "seed", "interval", "interval_half_life", "level", *_OF_THE_TASK.get(part.task, ()))
    document = {
        "origin": ORIGIN,
        "estimator": [_text(estimator), _parameters(estimator)],
        "data": rows.fingerprint(),
        "service": meaning(stack.service(part.service)),
        "target": meaning(stack.target(part.target)),
        "model": {name: getattr(part, name) for name in settings},
        "rules": part.rules.to_json(),
        "gates": gate_configuration(stack, part),
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def _text(estimator: Any) -> str:
    """Return an estimator on one line, as scikit-learn shows it."""
    return " ".join(repr(estimator).split())


def _parameters(estimator: Any) -> dict[str, str]:
    """Return every parameter of an estimator and of those inside of it, as text."""
    given = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return {name: _shown(value) for name, value in sorted(given.items()) if not _holds_estimators(value)}


def _shown(value: Any) -> str:
    if hasattr(value, "get_params"):
        return type(value).__qualname__
    if callable(value):
        return str(getattr(value, "__qualname__", None) or getattr(value, "__name__", type(value).__qualname__))
    return " ".join(repr(value).split())


def _holds_estimators(value: Any) -> bool:
    """Return whether a value lists estimators, whose parameters come under names of their own."""
    if isinstance(value, list | tuple):
        return any(hasattr(item, "get_params") or _holds_estimators(item) for item in value)
    return False
