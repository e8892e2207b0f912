"""The card of a model, as Markdown: what it is, what it learned from, how good it is, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stackwright.assembly.blueprint import ModelPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets.labelled_rows import references
from stackwright.workflows.outcome import show
from stackwright.workflows.training.publishing import Fitted, measured


def card(stack: Stack, part: ModelPart, fitted: Fitted, origin: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """Return the card.

    Args:
        origin: where the model comes from, and the fingerprint of its rows.
        about: heading → text, in the words of whoever publishes it.
    """
    service, target = stack.service(part.service), stack.target(part.target)
    found = measured(part, fitted.holdout, fitted.answers(fitted.holdout))
    places = references(service)
    learned, kept = fitted.data["train"], fitted.data["holdout"]
    lines = [
        f"# {part.name}",
        "",
        f"Predicts `{target.name}` ({part.task}) from the features of `{service.ref}`."
        + (f" {target.description}" if target.description else ""),
        "",
        *(f"## {heading[:1].upper()}{heading[1:]}\n\n{text}\n" for heading, text in about.items()),
        "## Origin",
        "",
        f"From a {origin['kind']}: `{origin['estimator']}`, flavour `{fitted.model.flavour}`.",
        "",
        "## Data",
        "",
        "| | rows | asked from | to | SHA-256 |",
        "|---|---|---|---|---|",
        _rows("given", origin["data"]),
        _rows("learned from", learned),
        _rows("judged by", kept),
        "",
        "## Quality on newer rows",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| {name} | {show(value)} |" for name, value in found.items()),
        "",
        "What the gates found lies with the version's evidence.",
        "",
        "## Inputs",
        "",
        "| input | from | type | missing in training |",
        "|---|---|---|---|",
        *(
            f"| {field.name} | {places[field.name]} | {field.type} | {_missing(fitted.train.columns[field.name]):.1%} |"
            for field in fitted.signature.inputs
        ),
    ]
    return "\n".join(lines) + "\n"


def _rows(what: str, fingerprint: Mapping[str, Any]) -> str:
    values = [f"{fingerprint['rows']:,}", fingerprint["first"], fingerprint["last"], fingerprint["sha256"][:16]]
    return f"| {what} | {' | '.join(values)} |"


def _missing(column: Any) -> float:
    missing = [value is None for value in column.tolist()] if column.dtype == object else np.isnan(column)
    return float(np.mean(missing))
