"""Training a published recommender again, from what its record says, and telling what comes out otherwise."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from stackwright.assembly.stack import Stack
from stackwright.workflows.lineage.interactions import differences
from stackwright.workflows.lineage.reproduction import Check, compared, fingerprint, reproduced
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.recommending import tables
from stackwright.workflows.recommending.holding_out import hold_out
from stackwright.workflows.recommending.staging import stage
from stackwright.workflows.training.lists import fit
from stackwright.workflows.training.publishing import versions
from stackwright.workflows.versions import provenance
from stackwright_interfaces.errors import ArtifactError
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.recommender import Recommender
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving import golden_lists


def reproduce_lists(stack: Stack, version: ModelVersion) -> Outcome:
    """Train a recommender's version again on what its sources hold now, and compare data, digest and golden lists.

    Raises:
        ModelNotFound: its record does not say how it was trained.
        UsageError: a source is gone.
    """
    before = stack.registry.fetch(version)
    then = Manifest.read(before)
    part = provenance.recommender_of(stack, version)
    rows = tables.read(stack, part)
    held = hold_out(rows.interactions, part.holdout)
    threads = int(then.parameters.get("threads", 1))
    fitted = fit(stack, part, stack.recommender_trainer(part), rows.interactions, rows, threads)
    stack.project.cache.mkdir(parents=True, exist_ok=True)
    with closing(fitted.recommender()) as recommender, tempfile.TemporaryDirectory(dir=stack.project.cache) as place:
        code = versions(fitted.flavour)
        now = stage(part, fitted, Path(place) / "model", held, rows.fingerprint(), threads=threads, code=code)
        changed = differences(then, rows)
        checks = [
            Check("interactions and items", not changed, " ".join(changed) or fingerprint(then)),
            *compared(then, now),
            _golden(before, recommender),
        ]
    return reproduced(stack, version, then, now, checks)


def _golden(before: Path, recommender: Recommender) -> Check:
    """Ask the recommender that was trained again for the golden lists of the published one."""
    try:
        difference = golden_lists.check(before, recommender)
    except ArtifactError as error:
        return Check("golden lists", same=False, detail=error.found)
    return Check("golden lists", same=True, detail=f"the same; scores differ by {difference:.3g} at most, relatively")
