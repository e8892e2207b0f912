"""The page of a report: one HTML file without scripts or remote parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from stackwright.workflows.outcome import Table, show
from stackwright.workflows.pages import document

_STATES: Final = ("alarm", "warn", "ok", "insufficient")
_COHORT: Final = ("matured", "censored", "superseded", "lapsed", "pending", "coverage")


def render(numbers: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        numbers: what :func:`stackwright_journal.deciding.decide` gives.
        links: reporter → its page, beside this one.
    """
    title = f"{numbers['model']}, version {numbers['version']}"
    window = f"{numbers['start'] or 'the first prediction'} to {numbers['end'] or numbers['at']}"
    body = [
        f"<h1>{escape(title)}: {_state(numbers['state'])}</h1>",
        f"<p>Predictions asked for from {escape(window)}, labels known by {escape(numbers['at'])}.</p>",
        _links(links),
        "<h2>Performance of matured predictions</h2>",
        _table(("version", "arm", "n", "metric", "value", "interval", "at training", "state"), _performance(numbers)),
        "<h2>Inputs and predictions against training</h2>",
        _table(("column", "n", "PSI", "KS", "missing", "missing before", "new categories", "state"), _columns(numbers)),
        "<h2>Cohorts</h2>",
        _table(
            ("from", "predictions", "matured", "censored", "superseded", "lapsed", "pending", "coverage"),
            _cohorts(numbers),
        ),
        "<h2>How long the truth takes</h2>",
        _table(("days", "known"), [(item["days"], item["known"]) for item in numbers["delay_curve"]]),
        _selection(numbers["selection"]),
    ]
    return document(title, "".join(body))


def plain(title: str, headline: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Return a page of a headline, tables and notes."""
    told = "".join(f"<p>{escape(note)}</p>" for note in notes)
    shown = "".join(table._repr_html_() for table in tables if table.rows)
    return document(title, f"<h1>{escape(title)}</h1><p>{escape(headline)}</p>{shown}{told}")


def _performance(numbers: Mapping[str, Any]) -> list[Sequence[Any]]:
    return [
        (
            group["version"],
            group["arm"],
            group["n"],
            name,
            verdict["value"],
            f"{show(verdict['low'])} to {show(verdict['high'])}" if "low" in verdict else None,
            verdict["expected"],
            verdict["state"],
        )
        for group in numbers["performance"]["groups"]
        for name, verdict in group["judged"].items()
    ]


def _columns(numbers: Mapping[str, Any]) -> list[Sequence[Any]]:
    columns = numbers["data"]["columns"]
    order = sorted(
        columns, key=lambda name: (-_STATES.index(columns[name]["state"]) % 3, -(columns[name]["psi"] or 0), name)
    )
    keys = ("n", "psi", "ks", "missing", "missing_before", "new", "state")
    return [(name, *(columns[name].get(key) for key in keys)) for name in order]


def _cohorts(numbers: Mapping[str, Any]) -> list[Sequence[Any]]:
    return [(cohort["start"][:10], cohort["n"], *(cohort[key] for key in _COHORT)) for cohort in numbers["cohorts"]]


def _selection(selection: Mapping[str, Any]) -> str:
    if selection["coverage"] is None:
        return ""
    words = (
        "are like all predictions"
        if selection["state"] == "ok"
        else "may be a selection: read the metrics as theirs alone"
    )
    share = f"{selection['coverage']:.0%}"
    return f"<p>The truth of {share} is known; these {words} ({_state(selection['state'])}).</p>"


def _links(links: Mapping[str, str]) -> str:
    items = "".join(f'<li><a href="{escape(page)}">{escape(reporter)}</a></li>' for reporter, page in links.items())
    return f"<ul>{items}</ul>" if items else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>Nothing yet.</p>"
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    lines = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: Any) -> str:
    return _state(value) if value in _STATES else escape(show(value))


def _state(state: str) -> str:
    return f'<span class="{escape(state)}">{escape(state)}</span>'
