"""Gates on whether a model can be delivered: its folder, and the features it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stackwright.assembly.stack import Stack
from stackwright.workflows.gates.base import Candidate, gate
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.errors import PromotionRefused
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.model import Manifest, ModelFormat
from stackwright_serving.probe import probe

Verdict = tuple[bool, str, Mapping[str, Any]]


@gate
def artifact(candidate: Candidate, max_mb: float, seconds: float) -> Verdict:
    """The folder loads in a process of its own, gives its golden predictions, and is not too large."""
    size = sum(entry.size for entry in candidate.model.manifest.files.values()) / 1e6
    where = f"model flavour {candidate.model.manifest.flavour!r}"
    factory = candidate.stack.plugins.adapter(where, candidate.model.manifest.flavour, ModelFormat).factory
    answer = probe(candidate.folder, factory, timeout=seconds)
    evidence = {"megabytes": size, **answer}
    detail = f"{size:.1f} MB; loads alone; golden predictions differ by {answer['difference']:.1g}"
    return size <= max_mb, detail, evidence


@gate
def servable(candidate: Candidate, rows: int, found: float) -> Verdict:
    """The features it reads are defined as it learned them, and are being served."""
    check_definitions(candidate.stack, candidate.model.manifest)
    if "online" not in candidate.stack.plan.choices and "feature_store" not in candidate.stack.plan.choices:
        return True, "no online store in this stack; features are read offline", {}
    newest = candidate.holdout.take(np.arange(max(0, len(candidate.holdout) - rows), len(candidate.holdout)))
    service = candidate.stack.service(candidate.part.service)
    keys = {field.name: newest.keys[field.name].tolist() for field in service.request_keys}
    request = {field.name: newest.keys[field.name].tolist() for field in service.request}
    read = candidate.stack.features.read(service.ref, keys, request)
    absent = {
        view: float(np.isnat(events).mean())
        for view, events in read.events.items()
        if np.isnat(events).mean() > 1 - found
    }
    shares = {
        name: float(np.isin(statuses, (Status.NOT_FOUND, Status.EXPIRED)).mean())
        for name, statuses in read.statuses.items()
    }
    if absent:
        shown = ", ".join(f"{view} ({share:.0%} of keys absent)" for view, share in absent.items())
        return False, f"not online: {shown}. Run: stackwright materialize", {"not_found": shares}
    return True, f"all {len(read.events)} views answer for the newest {len(newest)} keys", {"not_found": shares}


def check_definitions(stack: Stack, manifest: Manifest) -> None:
    """Compare the applied service, with what it uses of its views, to the one a model learned from.

    Raises:
        UnknownName: it is not applied.
        PromotionRefused: it means something else now.
    """
    service = stack.service(manifest.service)
    if manifest.definitions.get(service.ref) != meaning(service):
        found = f"{service.ref} means something else now than when the model learned from it"
        raise PromotionRefused(f"model of {manifest.service}", found, "Train again, or give the change a new version.")
