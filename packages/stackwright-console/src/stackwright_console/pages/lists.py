"""A recommender's lists: what was clicked at which place, what was shown, over time; and a list by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.outcome import Table
from stackwright.workflows.recommending.asking import Question, recommend
from stackwright_console.page import Asked, Field, Form, Link, Section, to
from stackwright_console.reports import LISTS, reports
from stackwright_interfaces.errors import UsageError
from stackwright_models import charts

Numbers = Mapping[str, Any]

_PAGE: Final = "lists.html"
_FIELDS: Final = (
    ("user", "User", "whose list it is; nobody: what is popular"),
    ("session", "Session", "items looked at just now, parted by commas"),
    ("candidates", "Candidates", "items to choose from, parted by commas"),
    ("like", "Like", "an item: what is like it"),
    ("n", "Places", "how many"),
)


def state_of(stack: Stack, name: str) -> str:
    """Return how the window did that the watch judged last; nothing where it judged none."""
    windows = _windows(stack, name)
    order = ("alarm", "warn", "ok", "insufficient")
    states = {verdict["state"] for verdict in windows[-1]["verdicts"].values()} if windows else set()
    return next((state for state in order if state in states), "")


def sections(stack: Stack, name: str) -> tuple[Section, ...]:
    """Return what is known of a recommender's lists: the newest numbers, windows over time, reports."""
    read = reports(stack, name, LISTS)
    windows = [(window["end"], window["numbers"]) for window in _windows(stack, name)]
    reported = [(report["at"], report) for _, report in read.found]
    latest = max([*windows[-1:], *reported[-1:]], key=lambda point: str(point[0]), default=None)
    rows = [(Link(window, to("monitors", name, window, _PAGE)), report["at"], report["lists"], report["clicks"],
             report["ctr"]["value"]) for window, report in reversed(read.found)]  # fmt: skip
    headings = ("window", "at", "lists", "clicked items", "clicks a shown item")
    hint = () if latest else ("Nothing is known yet. Run: stackwright report, or stackwright watch.",)
    return (
        Section("Lists", lines=hint, tables=(_told(latest[1]),) if latest else ()),
        Section("Clicks by position", pictures=(_by_position(latest[1]),) if latest else ()),
        Section("Over time", pictures=tuple(_drawn(windows or reported))),
        Section(f"{len(rows)} reports", lines=read.told, tables=(Table(headings, rows),)),
    )


def _windows(stack: Stack, name: str) -> list[Mapping[str, Any]]:
    """Return the windows that were judged, oldest first."""
    found = [event.data for event in journal.decisions(stack, name).events() if event.kind == "window"]
    return sorted(found, key=lambda window: str(window["start"]))


def _told(numbers: Numbers) -> Table:
    coverage, flags = numbers["coverage"], numbers["flags"]
    rows = [
        ("lists", numbers["lists"], None, None),
        ("clicks a shown item", *_ends(numbers["ctr"])),
        (f"NDCG@{numbers['k']} of lists with a click", *_ends(numbers["ndcg"])),
        ("MRR of lists with a click", *_ends(numbers["mrr"])),
        ("different items shown", coverage["items"], None, None),
        ("share of the catalogue shown", coverage["share"], None, None),
        ("novelty (bits)", numbers["novelty"], None, None),
        ("share of items that nobody took before", numbers["cold_items"], None, None),
        *((f"share of lists flagged {flag}", share, None, None) for flag, share in flags.items()),
    ]
    return Table(("of the newest window", "value", "from", "to"), rows)


def _ends(found: Mapping[str, Any] | None) -> tuple[Any, Any, Any]:
    return (None, None, None) if found is None else (found["value"], found["low"], found["high"])


def _by_position(numbers: Numbers) -> str:
    places = numbers["ctr_by_position"]
    points = [_ends(one) for one in places.values()]
    return charts.ranges("Clicks by position, newest window", list(places), points, ("position", "share clicked"))


def _drawn(points: Sequence[tuple[str, Numbers]]) -> Iterator[str]:
    """Give the numbers that matter over windows, where there are two at least."""
    if len(points) < 2:
        return
    at = [end[:10] for end, _ in points]
    found = [numbers for _, numbers in points]
    clicked = [_ends(numbers["ctr"]) for numbers in found]
    yield charts.ranges("Clicks a shown item", at, clicked, ("end of the window", "share clicked"))
    ranked = {f"NDCG@{found[-1]['k']}": [_ends(numbers["ndcg"])[0] for numbers in found],
              "MRR": [_ends(numbers["mrr"])[0] for numbers in found]}  # fmt: skip
    cold = {"items": [numbers["cold_items"] for numbers in found],
            "users": [numbers["flags"].get("cold_user", 0.0) for numbers in found]}  # fmt: skip
    for title, series, unit in (
        ("Ranking of what was clicked", ranked, "mean over lists"),
        ("Coverage", {"items": [numbers["coverage"]["share"] for numbers in found]}, "share of the catalogue"),
        ("Novelty", {"bits": [numbers["novelty"] for numbers in found]}, "bits"),
        ("Cold start", cold, "share"),
    ):
        if any(value is not None for values in series.values() for value in values):
            yield charts.lines(title, at, series, unit)


def asked_for_list(stack: Stack, name: str, asked: Asked) -> tuple[Section, ...]:
    """Return the form by which a list is asked for, and the list where it was sent."""
    fields = [Field(key, label, asked.get(key, ""), hint=hint) for key, label, hint in _FIELDS]
    form = Form(to("playground"), "Recommend", fields, posted=True, hidden={"model": name, "sent": "yes"})
    sections = (Section(f"Ask {name}", forms=(form,)),)
    if not asked.get("sent"):
        return sections
    outcome = recommend(stack, _question(asked), ref=name)
    return (*sections, Section("List", lines=(outcome.title, *outcome.notes), tables=outcome.tables))


def _question(asked: Asked) -> Question:
    places = asked.get("n", "")
    if places and not (places.isdecimal() and len(places) < 9):
        raise UsageError("Places", f"{places!r} is no number", "Write 10, say.")
    return Question(
        user=asked.get("user") or None,
        session=_listed(asked.get("session", "")) or None,
        candidates=_listed(asked.get("candidates", "")) or None,
        like=asked.get("like") or None,
        n=int(places) if places else None,
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
