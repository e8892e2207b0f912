"""Training: labels and features in, a published model with evidence out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from stackwright.assembly import options
from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.plan import plain
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets import own_data
from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.parted_rows import Rows
from stackwright.workflows.datasets.rules import Learned
from stackwright.workflows.datasets.shaping import Shaper, signature
from stackwright.workflows.datasets.spreading import held_whole, rows_in
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.training import tuning
from stackwright.workflows.training.fitting import Fitter, forward, threads_for, told
from stackwright.workflows.training.publishing import Fitted, judge_and_publish, versions
from stackwright.workflows.training.recording import Recording
from stackwright.workflows.training.telling import nothing_to_do, outcome_of
from stackwright.workflows.training.trial_log import TrialLog
from stackwright.workflows.training.trials import Judge
from stackwright.workflows.training.workbench import workbench_of
from stackwright.workflows.versions.evidence import gate_configuration, trained_on
from stackwright.workflows.versions.provenance import lineage
from stackwright.workflows.versions.run_states import mark_killed
from stackwright_interfaces.catalogue import canonical, meaning
from stackwright_interfaces.errors import ModelNotFound, TrainingError
from stackwright_interfaces.model import ModelRef, Signature
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.trainer import TaskKind, Trainer
from stackwright_numerics.conformal import IntervalTable
from stackwright_numerics.split import TemporalSplit

log = logging.getLogger("stackwright.training")

MIN_ROWS: Final = 100
MIN_LISTS: Final = 20
STOPPING: Final = 0.2
"""Share of the rows, the newest, that a fit is stopped by."""


def train(stack: Stack, name: str | None = None, *, force: bool = False) -> Outcome:
    """Build the training set, fit, judge and publish a model.

    Nothing is done where a version of the same data, definitions, parameters and code is published already. A run is
    kept of everything else: what it cost, its log, and where it failed.

    Args:
        name: the model; may be left out where the blueprint has one.
        force: train even so.

    Raises:
        TrainingError: there are too few labels, or the fit fails.
        PluginError: parameters are to be searched for, and Optuna is not installed.
    """
    part = stack.model(name)
    if part.tune.trials:
        tuning.check_installed()
    mark_killed(stack, part.name)
    run = Recording(stack, part.name)
    with run.going_on(), rows_in(stack, part) as build:
        run.inputs |= {"service": part.service, "target": part.target, "paths": _places(stack, part)}
        whole = held_whole(stack.trainer(part), part)
        if whole:
            log.warning(whole)  # a process that is killed for its memory tells nothing any more
        stack.progress("training set", 0, 1)
        with run.step("training set"):
            rows = build()
            pa.default_memory_pool().release_unused()  # Arrow would keep for itself what the rows were read into
        stack.progress("training set", 1, 1)
        check_enough(part, rows, "Bring more rows." if part.data else "Bring more labels: stackwright label FILE")
        run.inputs["data"] = rows.fingerprint()
        key = _key(stack, part, rows)
        known = None if force else trained_on(stack, part.name, key)
        if known is not None:
            run.drop()
            return nothing_to_do(stack, known, "was trained on exactly this before")
        run.keep()
        trials = TrialLog(stack.project.state / "tuning" / f"{_search_key(stack, part, rows)}.jsonl")
        fitted = fit_rows(stack, part, rows, run, trials, stack.trainer(part))
        about = {"run": run.run.id, "code": run.run.record["code"], "lineage": lineage(stack, part, rows.pin)}
        seen = stack if part.data is None else own_data.as_seen(stack, part)
        again = partial(fit_again, stack, part, rows, fitted, stack.trainer(part)) if part.refit else None
        version = judge_and_publish(seen, part, fitted, key, run.seconds, about, again)
        trials.drop()
        run.finish(version)
    outcome = outcome_of(stack, version, f"Published {version.ref}", changed=True)
    notes = (whole, *outcome.notes) if whole else outcome.notes
    return replace(outcome, data={**outcome.data, "seconds": dict(run.seconds), "run": run.to_json()}, notes=notes)


def check_enough(part: ModelPart, rows: Rows, todo: str) -> None:
    """See that there is something to learn from.

    Args:
        todo: what to do where there is not.

    Raises:
        TrainingError: there are too few rows, too few lists with something relevant beside something that is not, or
            no event.
    """
    found = ""
    if len(rows) < MIN_ROWS:
        found = f"{len(rows)} labelled rows, at least {MIN_ROWS} are needed"
    elif isinstance(rows, Dataset) and rows.group is not None:
        taken = np.add.reduceat((rows.target > 0).astype(np.int64), rows.starts)
        telling = int(((taken > 0) & (taken < rows.sizes)).sum())
        if telling < MIN_LISTS:
            what = "hold something relevant and something that is not"
            found = f"{telling} of {rows.starts.size} lists {what}, at least {MIN_LISTS} are needed"
    elif rows.event is not None and not rows.event.any():
        found = "no event has come in any row"
    if found:
        raise TrainingError(f"model {part.name!r}", found, todo)


def fit_rows(stack: Stack, part: ModelPart, rows: Rows, run: Recording, log: TrialLog, trainer: Trainer) -> Fitted:
    """Fit on the older rows, everything around the fit included; the newer ones are kept back to judge it.

    Args:
        run: takes down the steps.
        log: keeps the trials of a search.
        trainer: what fits.

    Raises:
        TrainingError: the rows cannot be cut by time, or the fit fails.
    """
    ((older, holdout),) = rows.split(TemporalSplit(folds=1, holdout=part.holdout))
    rules = Learned.of(part, older)
    learned = older.through(rules)
    fitter = _fitter(stack, part, trainer, rules, learned)
    trying = replace(fitter, shaper=fitter.shaper.trying())
    tuned = _tuned(stack, part, trying, fitter.looked_at(learned), run, log)
    run.inputs["parameters"] = dict(tuned.parameters)
    parameters = _stopped(trying, learned, tuned.parameters, run)
    after = _After((*fitter.shaper.postprocess, *rules.postprocess))
    if _is_forward(part):
        with run.step("intervals"):
            after = _as_forward(stack, part, trying, older, rules, parameters)
    with run.step("fit"):
        model = fitter.fit(learned, parameters, told(stack.progress))
    run.inputs["parameters"] = dict(model.parameters)
    return Fitted(
        fitter=fitter,
        model=model,
        signature=fitter.shaper.task.signature,
        train=fitter.looked_at(learned),
        holdout=fitter.looked_at(holdout),
        data={"train": learned.fingerprint(), "holdout": holdout.fingerprint()},
        intervals=after.intervals,
        postprocess=after.postprocess,
        trials=tuned.trials,
        rules=rules.to_json(),
        tuned=tuned.parameters,
        given=parameters,
    )


def fit_again(stack: Stack, part: ModelPart, rows: Rows, judged: Fitted, trainer: Trainer) -> Fitted:
    """Fit on all rows as a judged fit did on the older ones: with its parameters, and everything around it made anew.

    Args:
        rows: all rows, those included that the fit was judged by.
        judged: that fit.
        trainer: what fits.

    Raises:
        TrainingError: the fit fails.
    """
    rules = Learned.of(part, rows)
    learned = rows.through(rules)
    fitter = _fitter(stack, part, trainer, rules, learned)
    after = _After((*fitter.shaper.postprocess, *rules.postprocess))
    if _is_forward(part):
        trying = replace(fitter, shaper=fitter.shaper.trying())
        after = _as_forward(stack, part, trying, rows, rules, judged.given)
    model = fitter.fit(learned, judged.given, told(stack.progress))
    return replace(
        judged,
        fitter=fitter,
        model=model,
        signature=fitter.shaper.task.signature,
        train=fitter.looked_at(learned),
        data={**judged.data, "train": learned.fingerprint()},
        intervals=after.intervals,
        postprocess=after.postprocess,
        rules=rules.to_json(),
        refit=True,
    )


def _fitter(stack: Stack, part: ModelPart, trainer: Trainer, rules: Learned, learned: Rows) -> Fitter:
    shaper = Shaper.of(trainer, part, takes(stack, part, learned), rules.clips)
    return Fitter(shaper, part.seed, threads_for(len(learned)))


def takes(stack: Stack, part: ModelPart, learned: Rows) -> Signature:
    """Return the inputs and outputs of a model that learns from these rows."""
    return signature(stack.service(part.service), stack.target(part.target), learned, part.horizons, part.quantiles)


class _After(NamedTuple):
    """What follows the model's number."""

    postprocess: tuple[Mapping[str, Any], ...]
    intervals: IntervalTable | None = None


def _is_forward(part: ModelPart) -> bool:
    """Return whether something follows the model that forward predictions tell."""
    return part.task == "regression" and bool(part.interval or part.level)


def _as_forward(
    stack: Stack, part: ModelPart, fitter: Fitter, rows: Rows, rules: Learned, parameters: Mapping[str, Any]
) -> _After:
    """Return what follows the model's number, by what models of earlier rows said of later ones."""
    found = forward(fitter, rows, parameters, stack.progress, rules)
    steps = rules.postprocess
    if part.level:
        steps = ({"op": "scale", "by": found.scale(part.interval_half_life)}, *steps)
    intervals = found.intervals(part.interval, part.interval_half_life, steps) if part.interval else None
    return _After((*fitter.shaper.postprocess, *steps), intervals)


def _stopped(fitter: Fitter, rows: Rows, parameters: Mapping[str, Any], run: Recording) -> Mapping[str, Any]:
    """Return the parameters with which a fit on older rows was stopped by newer ones; the same where none stops so."""
    if not fitter.shaper.trainer.stops_early(fitter.shaper.task, parameters):
        return parameters
    with run.step("early stopping"):
        ((older, newer),) = rows.split(TemporalSplit(folds=1, holdout=STOPPING))
        return fitter.fit(older, parameters, valid=newer).parameters


def _tuned(stack: Stack, part: ModelPart, fitter: Fitter, rows: Dataset, run: Recording, log: TrialLog) -> tuning.Tuned:
    """Search for parameters on the compute slot."""
    space = fitter.shaper.trainer.space(fitter.shaper.task) if part.tune.trials else {}
    if not space:
        return tuning.Tuned()
    judge = Judge(part.task, part.tune.metric, part.tune.folds, part.tune.gap, part.k)
    with run.step("tune"), workbench_of(stack, part, fitter, rows) as bench:
        found = tuning.tune(
            part.tune,
            space,
            judge,
            bench.workshop,
            bench.executor,
            workers=bench.workers,
            seed=part.seed,
            log=log,
            progress=stack.progress,
        )
    run.cpu_elsewhere += found.cpu_elsewhere
    return found


def _places(stack: Stack, part: ModelPart) -> dict[str, Any]:
    """Return where the rows of a training lie: options that are paths or addresses, secrets by their place."""
    if part.data is not None:
        return {"source": part.data.source}
    chosen = {slot: stack.plan.choices[slot] for slot in ("feature_store", "offline") if slot in stack.plan.choices}
    return {
        slot: plain(options.places(choice.part, choice.spec, stack.project.folder)) for slot, choice in chosen.items()
    }


def _key(stack: Stack, part: ModelPart, rows: Rows) -> str:
    """Return what a training depends on, as one hash."""
    document = {**_depends_on(stack, part, rows), "gates": gate_configuration(stack, part)}
    document["model"] |= {
        name: getattr(part, name) for name in ("interval", "interval_half_life", "level", "refit", "trials")
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def _search_key(stack: Stack, part: ModelPart, rows: Rows) -> str:
    """Return what a search for parameters depends on, as one hash: more trials go on where fewer ended."""
    return hashlib.sha256(canonical(_depends_on(stack, part, rows))).hexdigest()


def _depends_on(stack: Stack, part: ModelPart, rows: Rows) -> dict[str, Any]:
    tune = {name: getattr(part.tune, name) for name in ("pruning", "metric", "folds", "gap")}
    rules = part.rules.to_json()
    return {
        "data": rows.fingerprint(),
        "service": meaning(stack.service(part.service)),
        "target": meaning(stack.target(part.target)),
        "model": {name: getattr(part, name) for name in ("task", "transform", "holdout", "seed")},
        **({"k": part.k} if part.task == TaskKind.RANKING else {}),
        **({"horizons": list(part.horizons)} if part.horizons else {}),
        **({"quantiles": list(part.quantiles)} if part.quantiles else {}),
        "selection": {"half_life": part.half_life, "where": {name: list(rule) for name, rule in part.where.items()}},
        "trainer": [part.trainer.adapter, dict(part.trainer.options), dict(stack.trainer(part).code())],
        "code": versions(part.trainer.adapter),
        **({"tune": tune} if part.tune.trials else {}),
        **({"rules": rules} if rules else {}),
    }


def newest(stack: Stack, name: str) -> ModelVersion | None:
    """Return the newest version of a model, or ``None``."""
    try:
        return stack.registry.resolve(ModelRef(name))
    except ModelNotFound:
        return None
