"""Lists without a server: one, by the recommender that serves and with what the blueprint says of its lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from stackwright.assembly.recommender_part import ListPart, RecommenderPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.recommending.loading import load, resolve
from stackwright_interfaces.errors import UsageError, did_you_mean
from stackwright_interfaces.recommender import Recommendations, Request
from stackwright_serving.lists import SessionReader


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a recommender by hand; what is ``None`` is as the blueprint has it.

    Args:
        user: whose list it is.
        session: items that were looked at just now; ``None`` reads those that the feature store knows of, unless ``at``
            says that another instant than now is asked for.
        like: an item: what is like it is asked for.
        candidates: items to choose from.
        n: places.
        at: the instant that is asked for; ``None`` is now.
        area: what area is asked for.
        budget: the most a price may be.
    """

    user: Any = None
    session: Sequence[Any] | None = None
    like: Any = None
    candidates: Sequence[Any] | None = None
    n: int | None = None
    at: datetime | None = None
    area: Any = None
    budget: float | None = None


def question_of(asked: Mapping[str, Any]) -> Question:
    """Return a question of its fields: scalars of NumPy become Python's, seconds since 1970 an instant.

    Raises:
        UsageError: one is unknown, a list is a text, or ``at`` is no instant.
    """
    fields = tuple(Question.__dataclass_fields__)
    for name in asked:
        if name not in fields:
            todo = did_you_mean(name, fields) or f"Known: {', '.join(fields)}."
            raise UsageError(f"argument {name!r}", "is nothing that is asked of a recommender", todo)
    given = {name: _plain(value) for name, value in asked.items()}
    for name in ("session", "candidates"):
        if given.get(name) is not None:
            given[name] = _listed(name, given[name])
    if given.get("at") is not None:
        given["at"] = _instant(given["at"])
    return Question(**given)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value


def _listed(name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise UsageError(f"argument {name!r}", f"is {given!r}, no list", f"Give a list: [{given!r}].")
    return tuple(map(_plain, given))


def _instant(given: Any) -> datetime:
    if isinstance(given, int | float) and not isinstance(given, bool):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(given, UTC)
    if isinstance(given, datetime) and given.utcoffset() is not None:
        return given
    raise UsageError("argument 'at'", f"is {given!r}", "Give a datetime with a zone, or seconds since 1970.")


def recommend(stack: Stack, question: Question, *, ref: str | None = None) -> Outcome:
    """Ask for a list.

    Nothing is left to chance here: what the blueprint says of exploring is for those who are shown the lists.

    Args:
        ref: NAME, NAME@VERSION or NAME@ALIAS; a name alone, or nothing, is the champion.

    Raises:
        ModelNotFound: there is no such version.
        UsageError: the request is out of range, or ``like`` is not known.
        FeatureStoreError: the session cannot be read.
    """
    version = resolve(stack, ref)
    part = stack.blueprint.recommenders.get(version.name)
    session = _session(stack, part, question) if question.session is None else tuple(question.session)
    question = replace(question, at=question.at or stack.clock())
    _, recommender = load(stack, version)
    with closing(recommender):
        found = recommender.answer(request_of(part, question, session))
    return _told(version.ref, question, session, found)


def request_of(part: RecommenderPart | None, question: Question, session: Sequence[Any] = ()) -> Request:
    """Return what is asked, over what the blueprint says of lists."""
    usual = (ListPart() if part is None else part.list).request()
    return replace(
        usual,
        explore=0.0,
        user=question.user,
        session=tuple(session),
        like=question.like,
        n=usual.n if question.n is None else question.n,
        candidates=question.candidates,
        at=question.at,
        area=question.area,
        budget=question.budget,
    )


def _session(stack: Stack, part: RecommenderPart | None, question: Question) -> tuple[Any, ...]:
    """Return what the feature store knows that the user looked at just now; nothing where another instant is asked."""
    if part is None or part.session is None or question.user is None:
        return ()
    if question.like is not None or question.at is not None:
        return ()
    service = stack.service(part.session.service)
    return SessionReader(stack.features, service, part.session.feature).read(question.user)


def _told(ref: str, question: Question, session: Sequence[Any], found: Recommendations) -> Outcome:
    scores = [None if np.isnan(score) else float(score) for score in found.scores]
    cold = [bool(one) for one in found.cold]
    rows = [
        {"position": place, "item": item, "score": score, "cold": new}
        for place, (item, score, new) in enumerate(zip(found.items, scores, cold, strict=True), start=1)
    ]
    data: dict[str, Any] = {
        "model": ref,
        "user": question.user,
        "session": list(session),
        "items": list(found.items),
        "list": rows,
        "cold_user": found.cold_user,
        "unknown": list(found.unknown),
        "removed": dict(found.removed),
        "considered": found.considered,
    }
    table = Table(
        ("place", "item", "score", "new"), [[row[key] for key in ("position", "item", "score", "cold")] for row in rows]
    )
    whose = (
        f"like {question.like}"
        if question.like is not None
        else f"for {question.user}"
        if question.user is not None
        else "for anybody"
    )
    return Outcome(f"{ref}: {len(rows)} of {found.considered} {whose}", data, (table,), tuple(_notes(found)))


def _notes(found: Recommendations) -> Sequence[str]:
    notes = ["Nothing is known of the user: this is what is popular."] if found.cold_user else []
    notes += [f"Unknown, and left out: {', '.join(map(str, found.unknown))}."] if found.unknown else []
    removed: Mapping[str, int] = found.removed
    return notes + (
        [f"Taken out: {', '.join(f'{name} {count}' for name, count in removed.items())}."] if removed else []
    )


def check_alone(question: Question) -> None:
    """See that nothing of one list is asked where those of all users are.

    Raises:
        UsageError: something is.
    """
    for name in ("user", "session", "like", "candidates"):
        if getattr(question, name) is not None:
            raise UsageError(f"--{name}", "lists of all users are asked for", f"Leave --{name} or --to out.")
