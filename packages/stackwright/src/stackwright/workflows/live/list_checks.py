"""What a live server is held to, for one recommender: each check asks it for lists, and says what it found."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stackwright.workflows.live.endpoint import Endpoint
from stackwright.workflows.live.endpoint_checks import (
    Check,
    Checked,
    Held,
    Mistake,
    errors,
    ready,
    said,
    timed,
    version,
)
from stackwright_serving.lists import LoadedLists

_STRANGE = "\ufffdnever seen"
_LACKING = frozenset({"fallback", "no_session"})


@dataclass(frozen=True)
class ExpectedLists(Held):
    """What a server of a recommender is held to.

    Args:
        lists: the version, loaded here, with what the blueprint says of its lists.
        golden: the requests of its golden lists.
    """

    lists: LoadedLists
    golden: list[dict[str, Any]]

    @property
    def checks(self) -> tuple[Check, ...]:
        """What it is held to, in order."""
        return (ready, version, contract, golden, errors, keys, latency)

    def made(self, request: Mapping[str, Any]) -> list[Any]:
        """Return the list of a request as the version makes it here."""
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in request.items()}
        return list(self.lists.answer(replace(self.lists.asked(given, (), time.time()), explore=0.0)).items)

    @property
    def way(self) -> str:
        """Where it is asked."""
        return f"/recommend/{self.path}"

    @property
    def mistakes(self) -> list[Mistake]:
        """Requests that are wrong, each in its way."""
        way = self.way
        return [
            ("no JSON", 400, ("POST", way, b"{")),
            ("a key twice", 400, ("POST", way, b'{"user": "a", "user": "b"}')),
            ("no object", 400, ("POST", way, b"[]")),
            ("another content type", 415, ("POST", way, b"a", {"Content-Type": "image/png"})),
            ("an unknown recommender", 404, ("POST", "/recommend/no-such-recommender", b"{}")),
            ("an unknown field", 422, ("POST", way, b'{"no_such_field": 1}')),
            ("no place", 422, ("POST", way, b'{"n": 0}')),
        ]


def contract(endpoint: Endpoint, expected: ExpectedLists) -> Checked:
    """Strangers get a list that says so; lists keep to their candidates and places, and hold nothing twice."""
    found = list(_broken(endpoint, expected))
    return Checked("contract", not found, "; ".join(found) or "strangers, candidates and places", {"faults": found})


def _broken(endpoint: Endpoint, expected: ExpectedLists) -> Iterator[str]:
    known = list(expected.lists.popular)
    stranger = _STRANGE if not known or isinstance(known[0], str) else -1
    reply = endpoint.post(expected.way, {"user": stranger, "n": 5})
    items = _items(reply.document)
    if reply.status != 200 or items is None:
        yield said(reply, "no list for someone unknown")
        return
    if len(items) > 5 or len(set(map(str, items))) < len(items):
        yield "a list of 5 has more places, or an item twice"
    if "cold_user" not in reply.document["flags"]:
        yield "a list for someone unknown does not say so"
    few = known[:3]
    chosen = _items(endpoint.post(expected.way, {"candidates": few, "n": 5}).document)
    if chosen is None or not set(chosen) <= set(few):
        yield "a list does not keep to its candidates"


def golden(endpoint: Endpoint, expected: ExpectedLists) -> Checked:
    """Golden requests get the lists that the version makes by the blueprint's rules, where nothing is left to chance.

    Each brings a session, an empty one where it has none: what users looked at just now is not known here.
    """
    asked = [{"session": [], **request} for request in expected.golden]
    differ = []
    for request in asked:
        reply = endpoint.post(expected.way, request)
        given = _items(reply.document)
        if reply.status != 200 or given is None:
            return Checked("golden", passed=False, detail=said(reply, "no list"))
        if given != expected.made(request):
            differ.append(request)
    detail = f"{len(asked) - len(differ)} of {len(asked)} lists are the same"
    return Checked("golden", not differ, detail, {"lists": len(asked), "differ": differ})


def keys(endpoint: Endpoint, expected: ExpectedLists) -> Checked:
    """What is given by hand gets a list, with the session where one is kept."""
    if not expected.keys:
        return Checked("keys", None, "no user to recommend to is given")
    reply = endpoint.post(expected.way, dict(expected.keys))
    items = _items(reply.document)
    if reply.status != 200 or items is None:
        return Checked("keys", passed=False, detail=said(reply, "no list"))
    flags = reply.document["flags"]
    lacking = sorted(_LACKING & set(flags))
    detail = f"@{reply.document['version']} lists {len(items)}" + (f", flagged {', '.join(flags)}" if flags else "")
    return Checked("keys", bool(items) and not lacking, detail, {"items": items, "flags": flags})


def latency(endpoint: Endpoint, expected: ExpectedLists) -> Checked:
    """All but a hundredth of the lists come within the budget."""
    return timed(endpoint, expected, expected.way, expected.golden)


def _items(document: Any) -> list[Any] | None:
    """Return the items of an answer; ``None`` where it is none."""
    try:
        return [row["item"] for row in document["items"]]
    except (KeyError, TypeError):
        return None
