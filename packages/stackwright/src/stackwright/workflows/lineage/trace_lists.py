"""Trace of a list: to the recommender that made it, what that learned from, and what became of the items."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.lineage.interactions import differences
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.recommending import tables
from stackwright.workflows.rows.tables import write_table
from stackwright.workflows.versions import provenance
from stackwright.workflows.versions.resolving import find
from stackwright.workflows.versions.showing import table_of
from stackwright_interfaces.model import Manifest

Shown = tuple[dict[str, Any], dict[str, float]]
"""The record of a list, and what its items earned."""


def shown_list(stack: Stack, list_id: str) -> Shown | None:
    """Return a list and what its items earned; ``None`` where the journal holds no such list."""
    with closing(journal.lists(stack)) as reader:
        return reader.find(list_id)


def trace_list(stack: Stack, record: Mapping[str, Any], clicks: Mapping[str, float], *, rows: Path | None) -> Outcome:
    """Trace a list back.

    Args:
        record: as the journal holds it.
        clicks: what its items earned.
        rows: write the interactions that the recommender learned from into this ``.parquet`` file.

    Returns:
        An outcome that is not ok where something on the way is gone or is not what it was.

    Raises:
        ModelNotFound: the version is gone.
        UsageError: a source is gone.
    """
    version = find(stack, f"{record['model']}@{record['version']}")
    manifest = Manifest.read(stack.registry.fetch(version))
    problems = []
    if record.get("digest") not in (None, "", version.digest):
        problems.append(f"{version.ref} has another digest than the one that made the list: {record['digest']}.")
    notes = [f"Write the interactions: stackwright trace {record['list_id']} --rows OUT.parquet"]
    if rows is not None:
        found = tables.read(stack, provenance.recommender_of(stack, version))
        write_table(found.interactions.table, rows)
        notes = [f"Wrote {found.interactions.table.num_rows:,} interactions into {rows}."]
        problems += differences(manifest, found)
    items = [
        {"place": place, "item": item, "score": score, "propensity": chance, "cold": cold,
         "earned": clicks.get(str(item), 0.0)}
        for place, (item, score, chance, cold) in enumerate(
            zip(*(record[key] for key in ("items", "scores", "propensities", "cold")), strict=True), start=1
        )
    ]  # fmt: skip
    data = {
        "list": dict(record),
        "model": {"ref": version.ref, "digest": version.digest, "aliases": list(version.aliases)},
        "training": {**manifest.data, "sources": list(provenance.sources_of(version))},
        "items": items,
        "problems": problems,
    }
    whose = "nobody known" if record.get("user") is None else record["user"]
    title = f"{record['list_id']}: {version.ref} listed {len(items)} items for {whose} at {record['at']}"
    return Outcome(title, data, (_facts(data), table_of(items)), (*problems, *notes), ok=not problems)


def _facts(data: Mapping[str, Any]) -> Table:
    record, training = data["list"], data["training"]
    rows = [
        ("recommender", data["model"]["ref"]),
        ("digest", data["model"]["digest"]),
        ("arm", record.get("arm")),
        ("flags", record.get("flags")),
        *((f"asked {name}", value) for name, value in record.get("asked", {}).items() if value),
        ("interactions learned from", training.get("rows")),
        ("their fingerprint", training.get("sha256")),
        ("newest of them", training.get("last")),
        ("from", training["sources"]),
    ]
    return Table(("list", "is"), rows)
