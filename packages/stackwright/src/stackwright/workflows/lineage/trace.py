"""Trace: from a prediction to its model, the rows that learned from, their features, and the files these came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.features import source_log
from stackwright.workflows.lineage.trace_lists import shown_list, trace_list
from stackwright.workflows.lineage.training_rows import check_parquet, rebuilt, write_rows
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.versions import provenance
from stackwright.workflows.versions.resolving import find
from stackwright.workflows.versions.showing import table_of
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.model import Manifest


def trace(stack: Stack, prediction_id: str, *, rows: Path | None = None) -> Outcome:
    """Trace a prediction, or a list, back.

    Args:
        prediction_id: as an answer holds it; of a list its ``list_id``.
        rows: write the rows that the model learned from into this ``.parquet`` file.

    Returns:
        An outcome that is not ok where something on the way is gone or is not what it was.

    Raises:
        ModelNotFound: no such prediction was written down.
        UsageError: the file has another suffix.
        TrainingError: the rows cannot be built again.
    """
    if rows is not None:
        check_parquet(rows)
    reader = journal.predictions(stack)
    try:
        record = reader.find(prediction_id)
    finally:
        reader.close()
    if record is None:
        listed = shown_list(stack, prediction_id)
        if listed is not None:
            return trace_list(stack, *listed, rows=rows)
        found = "the journal holds no such prediction, and no such list"
        raise ModelNotFound(
            f"prediction {prediction_id!r}", found, "A prediction is written down within a second or two."
        )
    version = find(stack, f"{record['model']}@{record['version']}")
    manifest = Manifest.read(stack.registry.fetch(version))
    pin = provenance.of(version).get("pin") or {}
    known = (pin.get("views") or {}) if isinstance(pin, Mapping) else {}
    features = _features(stack, manifest, record)
    sources = _sources(stack, manifest, record, known)
    problems = []
    if record.get("digest") not in (None, "", version.digest):
        problems.append(f"{version.ref} has another digest than the model that predicted: {record['digest']}.")
    notes = [f"Build the training rows: stackwright trace {prediction_id} --rows OUT.parquet"]
    if rows is not None:
        with rebuilt(stack, version, files=True) as built:
            write_rows(built, rows)
            notes = [f"Wrote the {len(built.learned):,} rows that {version.ref} learned from into {rows}."]
            problems += built.differences
    data = {
        "prediction": {key: value for key, value in record.items() if key != "features"},
        "model": {"ref": version.ref, "digest": version.digest, "aliases": list(version.aliases)},
        "training": {**manifest.data, "pin": pin or None, "service": manifest.service, "target": manifest.target},
        "features": features,
        "sources": sources,
        "problems": problems,
    }
    said = record.get("prediction")
    shown = f"{said:,.6g}" if isinstance(said, float) else said
    title = f"{prediction_id}: {version.ref} said {shown} at {record['predicted_at']}"
    return Outcome(title, data, _tables(data), (*problems, *notes), ok=not problems)


def _features(stack: Stack, manifest: Manifest, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each input of the model with its value then, and where it comes from."""
    homes = _homes(stack, manifest)
    values, statuses = record.get("features") or {}, record.get("statuses") or {}
    ages = record.get("ages") or {}
    found = []
    for item in manifest.signature.inputs:
        home = homes.get(item.name, "")
        view = home.partition(":")[0]
        found.append(
            {
                "feature": item.name,
                "value": values.get(item.name),
                "status": Status(statuses.get(item.name, 0)).name.lower(),
                "from": home,
                "age seconds": ages.get(view),
            }
        )
    return found


def _homes(stack: Stack, manifest: Manifest) -> dict[str, str]:
    """Return output of the model's service → ``view@1:field``, ``request`` or ``transform``."""
    service = next((item for item in stack.definitions.services if item.ref == manifest.service), None)
    if service is None:
        return dict.fromkeys(manifest.transforms, "transform")
    homes = {
        selection.prefix + name: f"{selection.view.ref}:{name}"
        for selection in service.selections
        for name in selection.features
    }
    homes |= {field.name: "request" for field in service.request}
    return homes | {step.name: f"transform of {', '.join(step.inputs)}" for step in service.transforms}


def _sources(
    stack: Stack, manifest: Manifest, record: Mapping[str, Any], pinned: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the ingestions that the prediction could read, each with whether the training could."""
    views = [name for name in manifest.definitions if name not in (manifest.service, manifest.target)]
    found = []
    for view in sorted(views):
        mark = (record.get("watermarks") or {}).get(view)
        for line in source_log.read(stack, view, mark["position"] if mark else None):
            learned = line["position"] <= pinned[view]["position"] if view in pinned else None
            for file in line.get("files", [{"path": line["origin"], "sha256": line.get("digest")}]):
                about = {
                    "source": file["path"],
                    "sha256": file["sha256"],
                    "rows": line["rows"],
                    "position": line["position"],
                }
                found.append({"view": view, **about, "at": line["at"], "who": line["who"], "in training": learned})
    return found


def _tables(data: Mapping[str, Any]) -> tuple[Table, ...]:
    training, pin = data["training"], data["training"]["pin"] or {}
    facts = [
        ("model", data["model"]["ref"]),
        ("digest", data["model"]["digest"]),
        ("rows learned from", training.get("rows")),
        ("their fingerprint", training.get("sha256")),
        ("labels known at", pin.get("known_at")),
        ("service", training["service"]),
        ("keys", [f"{name}={value}" for name, value in (data["prediction"].get("keys") or {}).items()]),
    ]
    return (Table(("prediction", "is"), facts), table_of(data["features"]), table_of(data["sources"]))
