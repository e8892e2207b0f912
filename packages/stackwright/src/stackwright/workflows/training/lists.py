"""Training of a recommender: interactions in, a published recommender with evidence out."""

from __future__ import annotations

import hashlib
import platform
import tempfile
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.plan import plain
from stackwright.assembly.recommender_part import RecommenderPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.identity import who
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.recommending import judging, tables
from stackwright.workflows.recommending.gates import Candidate, run_gates
from stackwright.workflows.recommending.holding_out import Held, arranged, hold_out
from stackwright.workflows.recommending.staging import stage
from stackwright.workflows.recommending.tables import Tables
from stackwright.workflows.training.fitting import threads_for
from stackwright.workflows.training.publishing import versions
from stackwright.workflows.training.recording import Recording
from stackwright.workflows.training.telling import nothing_to_do, outcome_of
from stackwright.workflows.versions import evidence
from stackwright.workflows.versions.provenance import lineage
from stackwright.workflows.versions.run_states import mark_killed
from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.errors import TrainingError
from stackwright_interfaces.recommender import FittedRecommender, Interactions, RecommenderTrainer
from stackwright_interfaces.registry import ModelVersion

MIN_ROWS: Final = 100
MIN_USERS: Final = 20


def train_recommender(stack: Stack, part: RecommenderPart, *, force: bool = False) -> Outcome:
    """Read interactions, judge lists by what is held out, fit on everything, and publish.

    Nothing is done where a version of the same data, settings and code is published already.

    Args:
        force: train even so.

    Raises:
        TrainingError: there are too few interactions, or the fit fails.
        DataError: a source lacks a column, or a value cannot be used.
    """
    mark_killed(stack, part.name)
    run = Recording(stack, part.name)
    with run.going_on():
        run.inputs |= {"paths": {"interactions": part.interactions.source}}
        with run.step("interactions"):
            rows = tables.read(stack, part)
            held = _checked(part, rows)
        run.inputs["data"] = rows.fingerprint()
        key = _key(stack, part, run.inputs["data"])
        known = None if force else evidence.trained_on(stack, part.name, key)
        if known is not None:
            run.drop()
            return nothing_to_do(stack, known, "was trained on exactly this before")
        run.keep()
        version = _fitted(stack, part, rows, held, run, key)
        run.finish(version)
    outcome = outcome_of(stack, version, f"Published {version.ref}", changed=True)
    data = {**outcome.data, "seconds": dict(run.seconds), "run": run.to_json()}
    return replace(outcome, data=data, notes=(*outcome.notes, *rows.notes))


def _checked(part: RecommenderPart, rows: Tables) -> Held:
    table = rows.interactions.table
    if table.num_rows < MIN_ROWS:
        found = f"{table.num_rows} interactions, at least {MIN_ROWS} are needed"
        raise TrainingError(f"recommender {part.name!r}", found, "Bring more interactions.")
    held = hold_out(rows.interactions, part.holdout)
    if len(held.wanted) < MIN_USERS:
        found = f"{len(held.wanted)} users took enough to judge lists by, at least {MIN_USERS} are needed"
        raise TrainingError(
            f"recommender {part.name!r}", found, "Bring more interactions, or hold a greater share out."
        )
    return held


def _fitted(stack: Stack, part: RecommenderPart, rows: Tables, held: Held, run: Recording, key: str) -> ModelVersion:
    trainer = stack.recommender_trainer(part)
    threads = threads_for(rows.interactions.table.num_rows)
    with run.step("fit"):
        judged = fit(stack, part, trainer, held.older, rows, threads)
    run.inputs["parameters"] = dict(judged.parameters)
    with closing(judged.recommender()) as recommender:
        with run.step("evaluate"):
            lists = judging.lists_of(recommender, held, part.k)
            popular = judging.popular(held, part.k, rows.items)
            recall = judging.candidate_recall(recommender, held)
            measured = judging.measured(
                recommender, held, lists, popular=popular, recall=recall, catalogue=_catalogue(rows)
            )
        with run.step("refit"):
            fitted = fit(stack, part, trainer, rows.interactions, rows, threads)
        stack.project.cache.mkdir(parents=True, exist_ok=True)
        with closing(fitted.recommender()), tempfile.TemporaryDirectory(dir=stack.project.cache) as above:
            folder = Path(above) / "model"
            with run.step("stage"):
                code = versions(fitted.flavour)
                data = run.inputs["data"]
                manifest = stage(part, fitted, folder, held, data, threads=threads, code=code)
                staged = stack.recommender_format(manifest.flavour).load(folder, manifest)
            with closing(staged), run.step("gates"):
                candidate = Candidate(
                    stack=stack,
                    part=part,
                    tables=rows,
                    held=held,
                    folder=folder,
                    staged=staged,
                    judged=recommender,
                    lists=lists,
                    popular=popular,
                    recall=recall,
                    trainer=trainer,
                    threads=threads,
                )
                gates = run_gates(candidate)
            record = {
                "metrics": measured,
                "slices": judging.by_history(held, lists),
                "parameters": dict(fitted.parameters),
                "trials": [],
                "data": {"train": data, "holdout": {"users": len(held.wanted), "k": part.k}},
                "owner": who(),
                "python": platform.python_version(),
                "run": run.run.id,
                "code": run.run.record["code"],
                "lineage": lineage(stack, part, None),
            }
            with run.step("publish"):
                version = stack.registry.publish(part.name, folder, record, who=who())
                evidence.record(stack, part, version, gates, key)
    return version


def fit(
    stack: Stack,
    part: RecommenderPart,
    trainer: RecommenderTrainer,
    interactions: Interactions,
    rows: Tables,
    threads: int,
) -> FittedRecommender:
    """Fit on some interactions, with the settings of a recommender."""
    return trainer.fit(
        arranged(interactions) if part.holdout.how == "random" else interactions,
        rows.items,
        holdout=part.holdout.how,
        seed=part.seed,
        threads=threads,
        progress=stack.progress,
    )


def _catalogue(rows: Tables) -> int:
    """Return how many items there are, in the interactions or beside them."""
    tables = [rows.interactions.table, *([] if rows.items is None else [rows.items.table])]
    return len({str(item) for table in tables for item in table["item"].unique().to_pylist()})


def _key(stack: Stack, part: RecommenderPart, data: dict[str, Any]) -> str:
    """Return what a training depends on, as one hash."""
    document = {
        "data": data,
        "trainer": [part.trainer.adapter, plain(part.trainer.options)],
        "holdout": asdict(part.holdout),
        "settings": {"k": part.k, "seed": part.seed},
        "items": None if part.items is None else asdict(part.items),
        "gates": evidence.gate_configuration(stack, part),
        "code": versions(part.trainer.adapter),
    }
    return hashlib.sha256(canonical(document)).hexdigest()
