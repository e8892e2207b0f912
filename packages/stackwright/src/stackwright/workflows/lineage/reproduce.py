"""Training a published version again, from what its manifest and record say, and telling what comes out otherwise."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from stackwright.assembly.model_part import TunePart
from stackwright.assembly.stack import Stack
from stackwright.workflows.lineage.training_rows import Rebuilt, changed_definitions, rebuild
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.training.code_version import commit_of
from stackwright.workflows.training.publishing import REFIT, stage
from stackwright.workflows.training.recording import Recording
from stackwright.workflows.training.train import fit_again, fit_rows
from stackwright.workflows.training.trial_log import TrialLog
from stackwright.workflows.versions.resolving import find
from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.trainer import Distribution, FittedModel, Report, Task, Trainer, TrainingData
from stackwright_serving import golden
from stackwright_serving.model import LoadedModel

TOLERANCE = golden.TOLERANCE


class Check(NamedTuple):
    """One thing that was compared.

    Args:
        what: what was compared.
        same: whether it came out alike.
        detail: what was found.
    """

    what: str
    same: bool
    detail: str


class _Fixed(Trainer):
    """A trainer whose search is over: it fits with the parameters that were found then."""

    input: ClassVar[Literal["matrix", "columns"]]

    def __init__(self, inner: Trainer, parameters: Mapping[str, Any]) -> None:
        self._inner, self._parameters = inner, parameters
        self.input = inner.input  # type: ignore[misc]  # what it is depends on the trainer inside
        self.spreads = inner.spreads

    def space(self, task: Task) -> Mapping[str, Distribution]:
        del task
        return {}

    def fit(
        self,
        task: Task,
        train: TrainingData,
        valid: TrainingData | None,
        params: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
        report: Report | None = None,
    ) -> FittedModel:
        given = {**self._parameters, **params}
        return self._inner.fit(task, train, valid, given, seed=seed, threads=threads, report=report)

    def stops_early(self, task: Task, params: Mapping[str, Any]) -> bool:
        return self._inner.stops_early(task, {**self._parameters, **params})


def reproduce(stack: Stack, ref: str) -> Outcome:
    """Train a version again with the data as known then, and compare data, digest and golden predictions.

    Nothing is published. A search for parameters is not made again: those that it found are taken.

    Args:
        ref: ``NAME@VERSION`` or ``NAME@ALIAS``; a bare name is its newest version.

    Returns:
        An outcome that is not ok where something came out otherwise; it says what, and what may have caused it.

    Raises:
        ModelNotFound: there is no such version, or it does not say how it was trained.
        UnknownName: its service or target is not applied any more.
        TrainingError: it was not trained by ``train``, or cannot be any more.
    """
    version = find(stack, ref)
    folder = stack.registry.fetch(version)
    then = Manifest.read(folder)
    built = rebuild(stack, version)
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=stack.project.cache) as place:
        again = Path(place) / "model"
        now = _train(stack, version, built, again, refit=bool(then.parameters.get(REFIT)))
        checks = [
            Check("training rows", not built.differences, " ".join(built.differences) or _fingerprint(then)),
            *_compared(then, now),
            _golden(stack, version, folder, again, now),
        ]
    alike = all(check.same for check in checks)
    reasons = [] if alike else list(_reasons(stack, version, then, now))
    title = f"{version.ref} is reproduced, to the last bit" if alike else f"{version.ref} came out otherwise"
    data = {
        "model": version.ref,
        "reproduced": alike,
        "digest": {"then": version.digest, "now": now.digest},
        "checks": [check._asdict() for check in checks],
        "reasons": reasons,
    }
    table = Table(("compared", "state", "what was found"), [(it.what, _state(it), it.detail) for it in checks])
    return Outcome(title, data, (table,), tuple(f"Changed since: {reason}" for reason in reasons), ok=alike)


def _state(check: Check) -> str:
    return "same" if check.same else "OTHER"


def _fingerprint(manifest: Manifest) -> str:
    return f"{manifest.data.get('rows'):,} rows, sha256 {manifest.data.get('sha256')}"


def _train(stack: Stack, version: ModelVersion, built: Rebuilt, folder: Path, *, refit: bool) -> Manifest:
    part = replace(built.part, tune=TunePart(), trials=0)
    trainer = _Fixed(stack.trainer(part), version.record.get("tuned", {}))
    run = Recording(stack, part.name)
    try:
        log = TrialLog(stack.project.state / "tuning" / "none.jsonl")
        fitted = fit_rows(stack, part, built.rows, run, log, trainer)
        return stage(stack, part, fit_again(stack, part, built.rows, fitted, trainer) if refit else fitted, folder)
    finally:
        run.drop()


def _compared(then: Manifest, now: Manifest) -> Iterator[Check]:
    """Compare what the digest covers, a part at a time."""
    before, after = then.to_json(), now.to_json()
    for key in sorted({*before, *after} - {"data"}):
        old, new = before.get(key), after.get(key)
        same = canonical(old) == canonical(new)
        yield Check(key, same, "" if same else _difference(old, new))
    yield Check("digest", then.digest == now.digest, then.digest if then.digest == now.digest else now.digest)


def _difference(old: Any, new: Any) -> str:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return "it differs"
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return ", ".join(_told(key, old.get(key), new.get(key)) for key in changed)


def _told(key: str, old: Any, new: Any) -> str:
    short = all(item is None or (isinstance(item, str | int | float) and len(str(item)) < 40) for item in (old, new))
    return f"{key} was {old}, is {new}" if short else f"{key} differs"


def _golden(stack: Stack, version: ModelVersion, before: Path, after: Path, now: Manifest) -> Check:
    """Give the golden inputs of the published version to the one trained again."""
    columns, expected = golden.read(before, now.signature.inputs)
    model = LoadedModel.load(after, stack.model_format(now.flavour), name=version.name)
    given = model.predict(columns).value
    model.close()
    difference = float(np.max(np.abs(given - expected) / np.maximum(np.abs(expected), 1e-12), initial=0.0))
    return Check("golden predictions", difference <= TOLERANCE, f"differ by {difference:.3g} at most, relatively")


def _reasons(stack: Stack, version: ModelVersion, then: Manifest, now: Manifest) -> Iterator[str]:
    """Give what is known to have changed since the version was trained."""
    for name in sorted({*then.code, *now.code}):
        if then.code.get(name) != now.code.get(name):
            yield f"{name} was {then.code.get(name, 'absent')}, is {now.code.get(name, 'absent')}"
    python = version.record.get("python")
    if python and python != platform.python_version():
        yield f"Python was {python}, is {platform.python_version()}"
    if then.parameters.get("threads") != now.parameters.get("threads"):
        yield f"it was fitted with {then.parameters.get('threads')} threads, now with {now.parameters.get('threads')}"
    yield from (line.rstrip(".") for line in changed_definitions(stack, then))
    yield from _commits(version.record.get("code"), commit_of(stack.project.folder))


def _commits(was: Any, now: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(was, Mapping):
        return
    if was.get("commit") != now["commit"]:
        yield f"the commit was {was.get('commit') or 'unknown'}, is {now['commit'] or 'unknown'}"
    if was.get("dirty"):
        yield "it was trained with changes that were not committed"
