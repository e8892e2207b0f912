"""Monitoring lists: clicks by place, ranking metrics, coverage, novelty, what is cold; and a challenger's replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackwright.assembly.project import write_atomically, write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.monitoring import report_page
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.recommending.loading import load, resolve
from stackwright_interfaces.errors import MonitorError, StackwrightError, UsageError
from stackwright_interfaces.recommender import Recommender, Request
from stackwright_interfaces.registry import ModelVersion
from stackwright_journal.list_numbers import describe, interval, logged_of
from stackwright_journal.list_overlap import overlaps
from stackwright_journal.list_reading import ShownLists
from stackwright_journal.records import UNSEEN, rfc3339
from stackwright_numerics.counterfactual import DEEPEST, replay

_ASKED: Final = ("like", "area", "budget", "diversity")
_FEW: Final = 0.5
"""Support below which a replay is not to be trusted: chance reached less than half of the challenger's lists."""


def name_of_lists(stack: Stack, name: str | None) -> str | None:
    """Return the recommender that a name means, the only one where none is given; ``None`` where a model is meant."""
    recommenders = stack.blueprint.recommenders
    if name is not None:
        return name if name in recommenders else None
    return next(iter(recommenders)) if len(recommenders) == 1 and not stack.blueprint.models else None


def report_lists(
    stack: Stack,
    name: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    known_at: datetime | None = None,
    challenger: int | None = None,
) -> Outcome:
    """Report on the lists of a recommender in a window, with the clicks observed by an instant.

    Args:
        name: the recommender.
        start: first instant of the window; without it, the first list.
        end: end of the window, exclusive; without it, now.
        known_at: lists and clicks of later are passed over; without it, none.
        challenger: a version; what it would have earned is estimated from the logged lists.

    Raises:
        MonitorError: nothing was shown yet.
        ModelNotFound: there is no such version.
    """
    part = stack.recommender(name)
    at = known_at or stack.clock()
    until = min(end, at) if end is not None else known_at
    with closing(journal.lists(stack)) as reader:
        found = reader.read(name, start=start, end=until, known_at=known_at)
    shown = seen_of(found)
    if not len(shown):
        todo = "Run: stackwright serve, and ask POST /recommend."
        raise MonitorError(part.place, "no list is logged", todo)
    numbers: dict[str, Any] = {
        "recommender": name,
        "at": rfc3339(at),
        "start": rfc3339(start) if start else None,
        "end": rfc3339(end) if end else None,
        **describe(shown, k=part.k, catalogue=_catalogue(stack, name)),
        "shadows": overlaps(found, k=part.k),
    }
    if challenger is not None:
        numbers["replay"] = _replay(stack, name, challenger, shown)
    folder = stack.project.reports / name / f"{_day(start, 'first')}_{_day(end or at, 'now')}"
    write_json(folder / "lists.json", numbers)
    outcome = _outcome(numbers, folder)
    page = report_page.plain(f"Lists of {name}", outcome.title, outcome.tables, outcome.notes)
    write_atomically(folder / "lists.html", page.encode())
    return outcome


def _replay(stack: Stack, name: str, number: int, shown: ShownLists) -> dict[str, Any]:
    """Return what a version would have earned."""
    version = resolve(stack, f"{name}@{number}")
    _, recommender = load(stack, version)
    with closing(recommender):
        order, failed = orders(recommender, shown)
    lists = np.setdiff1d(np.arange(len(shown)), failed)
    chosen = np.zeros(len(shown), dtype=bool)
    chosen[lists] = True
    judged = shown.some(chosen)
    if not judged.item.size:
        raise UsageError(version.ref, "it answered none of the logged lists", "Replay lists of items that it knows.")
    found = replay(logged_of(judged), (order[chosen[shown.number]] == judged.position).astype(np.float64))
    names = ("logged", "inverse_propensity", "self_normalised", "clipped", "gain")
    return {
        "version": number,
        "lists": len(judged),
        "failed": len(failed),
        **{name: interval(getattr(found, name)) for name in names},
        "effective": found.effective,
        "greatest": found.greatest,
        "cut": found.cut,
        "supported": found.supported,
        "beyond": found.beyond,
    }


def orders(recommender: Recommender, shown: ShownLists) -> tuple[NDArray[np.int64], list[int]]:
    """Return at which place a recommender puts each item that was shown, and the lists that it cannot order.

    It is asked what was asked then, for the items that were shown: so it is judged by the order that it gives them.
    Items that it leaves out stand behind the others as they stood; rules that pin items are no part of it.
    """
    places = np.zeros(shown.item.size, dtype=np.int64)
    failed = []
    starts = np.searchsorted(shown.number, np.arange(len(shown) + 1))
    for number, record in enumerate(shown.lists):
        items = record["items"]
        if not items:
            failed.append(number)
            continue
        try:
            found = recommender.answer(request_of(record))
        except StackwrightError:
            failed.append(number)
            continue
        wanted = {str(item): place for place, item in enumerate(found.items)}
        behind = len(wanted)
        keys = [wanted.get(str(item), behind + place) for place, item in enumerate(items)]
        order = np.argsort(np.argsort(keys, kind="stable"), kind="stable")
        places[starts[number] : starts[number + 1]] = order + 1
    return places, failed


def request_of(record: Mapping[str, Any]) -> Request:
    """Return the request of a logged list, for the items that were shown."""
    asked, items = record.get("asked", {}), record["items"]
    more = {name: asked[name] for name in _ASKED if asked.get(name) is not None}
    if asked.get("place") is not None:
        more["place"] = tuple(asked["place"])
    live = asked.get("live")
    if live:
        nan = float("nan")
        more["live"] = {name: [nan if value is None else value for value in values] for name, values in live.items()}
    return Request(
        user=record.get("user"),
        session=tuple(asked.get("session", ())),
        n=len(items),
        candidates=tuple(items),
        exclude_seen=False,
        at=datetime.fromisoformat(record["at"]),
        **more,
    )


def seen_of(found: ShownLists) -> ShownLists:
    """Return the lists that somebody was shown."""
    return found.some(np.array([one.get("arm", "live") not in UNSEEN for one in found.lists], dtype=bool))


def catalogue_of(version: ModelVersion) -> int | None:
    """Return how many items a version learned of, as its record notes; ``None`` where there was no file of items."""
    items = version.record.get("data", {}).get("train", {}).get("items")
    return int(items) if items else None


def _catalogue(stack: Stack, name: str) -> int | None:
    """Return how many items the champion learned of; ``None`` where there is none."""
    try:
        return catalogue_of(resolve(stack, name))
    except StackwrightError:
        return None


def _day(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else moment.astimezone(UTC).strftime("%Y%m%d")


def _outcome(numbers: Mapping[str, Any], folder: Path) -> Outcome:
    places = [
        (int(place), one["n"], one["value"], _range(one), _examined(numbers["examination"], place))
        for place, one in numbers["ctr_by_position"].items()
    ]
    coverage = numbers["coverage"]
    rows = [
        ("clicks a shown item", numbers["ctr"]["value"], _range(numbers["ctr"])),
        (f"NDCG@{numbers['k']} of {numbers['judged']:,} lists with a click", *_measured(numbers["ndcg"])),
        ("MRR", *_measured(numbers["mrr"])),
        ("items shown", coverage["items"], "" if coverage["share"] is None else f"{coverage['share']:.1%} of all"),
        ("novelty (bits)", numbers["novelty"], ""),
        ("concentration (Gini)", numbers["concentration"], ""),
        ("share of items that nobody took before", numbers["cold_items"], ""),
        *((f"share of lists flagged {flag}", share, "") for flag, share in numbers["flags"].items()),
    ]
    tables = [
        Table(("of all lists", "value", "interval"), rows),
        Table(("position", "shown", "clicked", "interval", "looked at, by the first"), places),
    ]
    notes = (
        [f"{numbers['strays']:,} clicks name no list of the log, or no item of theirs."] if numbers["strays"] else []
    )
    if numbers["shadows"]:
        tables += [_shadow(one) for one in numbers["shadows"]]
        notes.append("Only what was shown can be clicked: the NDCG of a shadow is lower than it deserves.")
    if "replay" in numbers:
        table, told = _replayed(numbers["replay"])
        tables.append(table)
        notes += told
    headline = f"{numbers['lists']:,} lists, {numbers['clicks']:,} of {numbers['items']:,} items clicked"
    page, path = folder / "lists.html", folder / "lists.json"
    data = {"headline": headline, "page": str(page), "numbers": str(path), **numbers}
    return Outcome(headline, data, tuple(tables), (*notes, f"Page: {page}"))


def _shadow(found: Mapping[str, Any]) -> Table:
    named = {
        "overlap": f"items in common of the first {found['k']}, of {found['lists']:,} lists",
        "ndcg": f"NDCG@{found['k']} of what was clicked in {found['judged']:,} of them",
        "shown_ndcg": "the same as shown",
        "gain": "gain",
    }
    rows = [(words, *_measured(found[name])) for name, words in named.items()]
    return Table((f"version {found['version']}, a shadow", "value", "interval"), rows)


def _replayed(found: Mapping[str, Any]) -> tuple[Table, Sequence[str]]:
    named = {
        "logged": "as shown",
        "self_normalised": "challenger, self-normalised",
        "inverse_propensity": "challenger, inverse propensity",
        "clipped": "challenger, clipped",
        "gain": "gain",
    }
    rows = [(words, *_measured(found[name])) for name, words in named.items()]
    notes = [
        f"Version {found['version']} on {found['lists']:,} logged lists: chance supports {found['supported']:.0%} "
        f"of its order, worth {found['effective']:,.0f} items."
    ]
    if found["supported"] < _FEW:
        notes.append("That is too little to go by: raise list.explore, and log more lists.")
    if found["beyond"]:
        notes.append(f"{found['beyond']:,} items behind place {DEEPEST} are left out.")
    if found["failed"]:
        notes.append(f"{found['failed']:,} lists could not be asked of it.")
    return Table(("clicks a list", "value", "interval"), rows), notes


def _measured(found: Mapping[str, Any] | None) -> tuple[Any, str]:
    return (None, "") if found is None else (found["value"], _range(found))


def _range(found: Mapping[str, Any]) -> str:
    low, high = found["low"], found["high"]
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _examined(found: Mapping[str, Any] | None, place: str) -> float | None:
    return None if found is None or place not in found else found[place]["value"]
