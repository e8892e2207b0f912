"""A published model in full: what it is for, what it learned from, what it passed, where it stands; and its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.pages import Page, Section, check_suffix
from stackwright.workflows.versions import provenance
from stackwright.workflows.versions.evidence import evidence_of
from stackwright.workflows.versions.resolving import find, retirement_of
from stackwright_interfaces.definitions import FeatureService, Target
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.recommender import TASK
from stackwright_interfaces.registry import Event, ModelVersion
from stackwright_interfaces.types import Field

_SLICE: Final = ("slice", "n", "loss", "ratio", "surely", "champion")
"""What is told of a slice: ``ratio`` of its loss to that of all rows, and what of that is ``surely`` no chance."""
_OF_LISTS: Final = ("slice", "users", "ndcg")
"""What is told of a slice of a recommender's users."""


def show_model(stack: Stack, ref: str, *, out: Path | None = None) -> Outcome:
    """Show a version: aliases, metrics, slices, gates, limits, inputs, data, lineage, history.

    Args:
        ref: ``NAME@VERSION`` or ``NAME@ALIAS``; a bare name is its newest version.
        out: write the model card into this file, ``.md`` or ``.html``.

    Raises:
        ModelNotFound: there is no such version.
        ArtifactError: its files are damaged.
        UsageError: the file has another suffix.
        ProjectError: it cannot be written.
    """
    if out is not None:
        check_suffix(out)
    card = card_of(stack, find(stack, ref))
    page = page_of(card)
    if out is not None:
        page.write(out)
    tables = [table for section in page.sections for table in (*_listed(section), *section.tables)]
    notes = (f"Wrote the model card into {out}.",) if out is not None else ()
    return Outcome(f"{page.title}: {page.lead}", card, tuple(tables), notes)


def _listed(section: Section) -> list[Table]:
    return [Table((section.heading.lower(),), [(line,) for line in section.lines])] if section.lines else []


def card_of(stack: Stack, version: ModelVersion) -> dict[str, Any]:
    """Return what is known of a version; JSON values."""
    manifest = Manifest.read(stack.registry.fetch(version))
    _, events = stack.registry.history(version.name)
    evidence = evidence_of(events, version)
    service = next((item for item in stack.definitions.services if item.ref == manifest.service), None)
    target = next((item for item in stack.definitions.targets if item.name == manifest.target), None)
    retired = retirement_of(events, version)
    record = version.record
    return {
        "model": version.ref,
        "digest": version.digest,
        "flavour": manifest.flavour,
        "task": manifest.task,
        "aliases": list(version.aliases),
        "retired": None if retired is None else _line(retired),
        "published": version.created.isoformat(timespec="seconds"),
        "owner": provenance.owner_of(stack, version),
        "use": _use(manifest, service, target),
        "author": record.get("card", ""),
        "metrics": dict(record.get("metrics", {})),
        "slices": _slices(evidence) or [dict(item) for item in record.get("slices", [])],
        "gates": [dict(gate) for gate in evidence.get("gates", [])],
        "data": {"train": dict(manifest.data), "holdout": dict(record.get("data", {}).get("holdout", {}))},
        "inputs": [_input(item, manifest) for item in manifest.signature.inputs],
        "parameters": dict(manifest.parameters),
        "definitions": dict(manifest.definitions),
        "transforms": dict(manifest.transforms),
        "code": {**manifest.code, **_commit(record)},
        "lineage": dict(provenance.of(version)),
        "limits": list(_limits(version, manifest, target, evidence, events)),
        "history": [_line(event) for event in events if version.version in (event.version, event.before, event.after)],
    }


def _use(manifest: Manifest, service: FeatureService | None, target: Target | None) -> list[str]:
    """Return what the model is for, in the words of its target and service."""
    if manifest.task == TASK:
        return ["Lists items for users: for a search, on a home page, or like an item."]
    lines = [f"Predicts {manifest.target}" + (f" of a {target.entity.name}" if target else "") + f" ({manifest.task})."]
    lines += [item.description for item in (target, service) if item is not None and item.description]
    if service is not None:
        asked = ", ".join(field.name for field in (*service.request_keys, *service.request))
        lines.append(f"It is asked with {asked}, and reads the features of {service.ref}.")
    return lines


def _input(item: Field, manifest: Manifest) -> dict[str, Any]:
    known = manifest.signature.categories.get(item.name)
    return {
        "name": item.name,
        "type": str(item.type),
        "missing": manifest.signature.missing.get(item.name, "allow"),
        "categories": None if known is None else len(known),
        "computed": item.name in manifest.transforms,
        "description": item.description,
    }


def _slices(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    gates = (gate for gate in evidence.get("gates", []) if gate["name"] == "slices")
    found = next((gate.get("evidence", {}).get("worst") for gate in gates), None)
    return [dict(item) for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _commit(record: Mapping[str, Any]) -> dict[str, str]:
    code = record.get("code")
    if not isinstance(code, Mapping) or not code.get("commit"):
        return {}
    return {"commit": str(code["commit"]) + (", with changes" if code.get("dirty") else "")}


def _limits(
    version: ModelVersion,
    manifest: Manifest,
    target: Target | None,
    evidence: Mapping[str, Any],
    events: Sequence[Event],
) -> Iterator[str]:
    yield from _limits_of_data(manifest)
    if target is not None and target.horizon is not None:
        yield f"A truth counts within {target.horizon / timedelta(days=1):g} days of the question."
    if not evidence:
        yield "Its gates were never run."
    if "refit" in version.record:
        learned = version.record["refit"]["learned"]
        yield (
            f"How good it is was judged on a fit of {learned['rows']:,} older rows; "
            "this one has learned from the newer rows too, by the same parameters."
        )
    for gate in evidence.get("gates", []):
        if not gate["passed"]:
            yield f"Gate {gate['name']} is red: {gate['detail']}"
    for event in events:
        if event.kind == "alias" and event.after == version.version and event.evidence.get("forced"):
            yield f"{event.who} made it {event.alias} past its gates: {event.why}"


def _limits_of_data(manifest: Manifest) -> Iterator[str]:
    data, signature = manifest.data, manifest.signature
    if data.get("first"):
        yield f"It learned from {data['rows']:,} rows, asked for from {data['first']} to {data['last']}."
    for name, limits in manifest.parameters.get("where", {}).items():
        yield f"Rows with {name} outside {limits[0]} to {limits[1]} were not learned from."
    yield from _limits_of_selection(manifest.parameters.get("rules", {}))
    for name, known in signature.categories.items():
        yield f"Of {name}, {len(known)} categories are known; any other is taken as unknown."
    refused = [name for name, policy in signature.missing.items() if policy == "refuse"]
    if refused:
        yield f"Without {', '.join(refused)} it refuses to answer."
    if manifest.intervals is not None:
        yield f"Its intervals are meant to hold {manifest.intervals['level']:.0%} of the truths, as of its training."


def _limits_of_selection(rules: Mapping[str, Any]) -> Iterator[str]:
    fallback = rules.get("fallback")
    answer = "it was not judged by such rows" if fallback is None else f"for such a row it answers {fallback:g}"
    for name, allowed in rules.get("select", {}).items():
        texts = any(isinstance(value, str) for value in allowed)
        taken = ", ".join(allowed) if texts else f"{allowed[0]:g} to {allowed[1]:g}"
        yield f"Rows with {name} outside {taken} were not learned from; {answer}."


def _line(event: Event) -> dict[str, Any]:
    what, why = event.kind, event.why
    if event.kind == "alias":
        before, after = (f"@{number}" if number else "nothing" for number in (event.before, event.after))
        what = f"{event.alias}: {before} to {after}"
    elif event.kind == "evidence":
        retired = event.evidence.get("retired")
        what, why = (event.why, "") if retired is None else ("retired" if retired else "in use again", event.why)
    return {"at": event.at.isoformat(timespec="seconds"), "what": what, "who": event.who, "why": why}


def page_of(card: Mapping[str, Any]) -> Page:
    """Return the card as a page."""
    retired = f"retired since {card['retired']['at']}" if card["retired"] else ""
    lead = ", ".join(filter(None, (", ".join(card["aliases"]), retired))) or "no alias"
    lead += f"; published {card['published']}; owner {card['owner'] or 'unknown'}; {card['digest']}"
    gates = [(gate["name"], _verdict(gate), gate["detail"]) for gate in card["gates"]]
    author = [line.lstrip("#- ").strip() for line in str(card["author"]).splitlines() if not line.startswith("|")]
    return Page(
        card["model"],
        lead,
        (
            Section("Intended use", card["use"]),
            Section("As its author describes it", [line for line in author if line]),
            Section("Metrics on newer rows", (), (Table(("metric", "value"), sorted(card["metrics"].items())),)),
            Section("Slices", (), (_sliced(card),)),
            Section("Gates", (), (Table(("gate", "state", "what was found"), gates),)),
            Section("Limits", card["limits"]),
            Section("Inputs", (), (table_of(card["inputs"]),)),
            Section("Data", (), (Table(("data", "rows", "first", "last", "sha256"), list(_data(card["data"]))),)),
            Section("Lineage", (), (Table(("lineage", "is"), list(_lineage(card))),)),
            Section("History", (), (table_of(card["history"]),)),
        ),
    )


def _sliced(card: Mapping[str, Any]) -> Table:
    headings = _OF_LISTS if card["task"] == TASK else _SLICE
    return Table(headings, [[item.get(name) for name in headings] for item in card["slices"]])


def _verdict(gate: Mapping[str, Any]) -> str:
    return str(gate.get("state") or ("green" if gate["passed"] else "red"))


def _data(data: Mapping[str, Mapping[str, Any]]) -> Iterator[Sequence[Any]]:
    for name, found in data.items():
        if found:
            yield name, *(found.get(key) for key in ("rows", "first", "last", "sha256"))


def _lineage(card: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    found = card["lineage"]
    pin = found.get("pin") or {}
    yield "labels known at", pin.get("known_at")
    for view, mark in (pin.get("views") or {}).items():
        yield f"{view} known to ingestion", str(mark["position"])
    for name in ("parent", "seed", "lock", "blueprint", "env"):
        yield name, found.get(name)
    yield from card["definitions"].items()
    yield from ((f"transform {name}", code) for name, code in card["transforms"].items())
    yield from card["code"].items()


def table_of(items: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of records, with every key as a column."""
    headings = list(dict.fromkeys(key for item in items for key in item))
    return Table(headings, [[item.get(heading) for heading in headings] for item in items])
