"""``POST /recommend``: a user, a session or an item in, a list of items out; ``POST /clicks``: what became of them.

A body may name ``user``, ``session`` (items looked at just now, oldest first), ``like`` (an item), ``n``,
``candidates``, ``exclude_seen``, ``area``, ``place``, ``budget``, ``diversity`` and ``live`` (present numbers of the
candidates). The path ``/recommend/NAME`` chooses a recommender. What is odd about an answer stands in its ``flags``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

from stackwright_interfaces.errors import DataError, FeatureStoreError, UsageError
from stackwright_interfaces.recommender import Recommendations, Request
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.arms import CANARY, LIVE, SHADOW, TEST
from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.ids import time_ordered_id
from stackwright_serving.list_host import ServedLists
from stackwright_serving.list_request import ListForm, identifier, number, quick, told
from stackwright_serving.list_sink import Click, Listed
from stackwright_serving.lists import LoadedLists
from stackwright_serving.refused import Refused
from stackwright_serving.state import State
from stackwright_serving.values import InvalidValue, instant

log = logging.getLogger("stackwright.serving")

COLD: Final = "cold_user"
SHUFFLED: Final = "shuffled"
UNKNOWN: Final = "unknown_items"
SESSIONLESS: Final = "no_session"
FALLBACK: Final = "fallback"
STALE: Final = "stale"

Asked: TypeAlias = tuple[Recommendations, Request, tuple[str, ...]]
"""A list, what the recommender was asked, and what is odd about the list."""

_NAMED: Final = 100
"""Unknown items that an answer names."""


class Recommend:
    """The endpoint of lists."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._form = ListForm(state.settings.max_rows)

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer one request."""
        served = self._state.lists.served(exchange.model)
        exchange.check_json()
        body = await exchange.body()
        if any(one.turn.locked() for one in served.loaded()):  # by a large one, in a thread: others need not wait
            return await self._state.work.beside(exchange, self._answer, exchange, served, body)
        reads = any(one.session is not None for one in served.loaded())
        return await self._state.run(exchange, self._answer, exchange, served, body, size=len(body), reads=reads)

    def _answer(self, exchange: Exchange, served: ServedLists, body: bytes) -> Response:
        state = self._state
        document = quick(body)
        given = self._form(exchange.document(body) if document is None else document)
        now = state.clock()
        loaded, arm = (served.champion, TEST) if exchange.test else served.choose(given.get("user"))
        asked = self._tried(loaded, given, now) if arm == CANARY else None
        if asked is None and arm == CANARY:
            loaded, arm = served.champion, LIVE
        found, request, flags = asked or self._ask(loaded, given, now, test=exchange.test)
        listed = Listed(
            list_id=time_ordered_id(),
            version=loaded.version,
            found=found,
            user=given.get("user"),
            asked=told(given, request.session, found.items),
            flags=flags,
            at=now,
            request_id=exchange.id,
            blueprint=state.blueprint,
            arm=arm,
        )
        return answer(_reply(listed), after=partial(self._note, listed, served, given, request))

    def _tried(self, loaded: LoadedLists, given: Mapping[str, Any], now: datetime) -> Asked | None:
        """Return what a challenger answers; ``None`` where it does not, and counted where that is its own failure."""
        version = loaded.version
        try:
            return self._ask(loaded, given, now, alone=True)
        except InvalidValue as error:
            log.debug("the challenger %s refused a request, the champion answers: %s", version.ref, error)
        except Exception:
            self._state.metrics.canary_failed.labels(version.name, str(version.version)).inc()
            log.exception("the challenger %s failed, the champion answers", version.ref)
        return None

    def _ask(
        self,
        loaded: LoadedLists,
        given: Mapping[str, Any],
        now: datetime,
        *,
        alone: bool = False,
        test: bool = False,
    ) -> Asked:
        """Return the list, what the recommender was asked, and what is odd about the list.

        Args:
            alone: nothing stands in for a recommender that fails: what it raised is raised.
            test: nothing is left to chance, and a session that the request brings, an empty one too, stands in for the
                user's: so the list can be held against another one.

        Raises:
            InvalidValue: the request does not fit the recommender.
        """
        old = (now - loaded.version.created).total_seconds()
        flags = [STALE] if old > loaded.options.stale else []
        before: tuple[Any, ...] = ()
        user = given.get("user")
        own = test and "session" in given
        if loaded.session is not None and user is not None and "like" not in given and not own:
            try:
                before = loaded.session.read(user, timeout=self._state.settings.deadline)
            except FeatureStoreError as error:
                flags.append(SESSIONLESS)
                log.debug("the session of a user could not be read: %s", error)
        request = loaded.asked(given, before, now.timestamp())
        if test:
            request = replace(request, explore=0.0)
        found, failed = self._answered(loaded, request, alone=alone)
        flags += [name for name, there in _oddities(found, failed=failed) if there]
        return found, request, tuple(flags)

    def _answered(self, loaded: LoadedLists, request: Request, *, alone: bool) -> tuple[Recommendations, bool]:
        """Return the recommender's list; where it fails, what is popular, and that it failed."""
        try:
            return loaded.answer(request), False
        except (UsageError, DataError) as error:
            raise InvalidValue(error.where, error.found, error.todo) from error
        except Exception:
            if alone:
                raise
            log.exception("%s failed; what is popular is answered", loaded.version.ref)
            return loaded.instead(request), True

    def _note(self, listed: Listed, served: ServedLists, given: Mapping[str, Any], request: Request) -> None:
        """Count and log a list that was answered, and have the same asked of a shadow where there is one."""
        metrics, name = self._state.metrics, listed.version.name
        metrics.lists.labels(name, str(listed.version.version)).inc()
        for flag in listed.flags:
            metrics.list_flags.labels(name, flag).inc()
        self._log(listed)
        if served.shadow is not None and listed.arm == LIVE:
            done = partial(self._shadowed, listed, served.shadow.version, given, request)
            served.shadow.offer(replace(request, explore=0.0), done)

    def _shadowed(
        self, shown: Listed, version: ModelVersion, given: Mapping[str, Any], request: Request, found: Recommendations
    ) -> None:
        """Log what a shadow answered beside a list that was shown."""
        self._log(
            replace(
                shown,
                list_id=time_ordered_id(),
                version=version,
                found=found,
                asked=told(given, request.session, found.items),
                flags=tuple(name for name, there in _oddities(found, failed=False) if there),
                arm=SHADOW,
                beside=shown.list_id,
            )
        )

    def _log(self, listed: Listed) -> None:
        if not self._state.list_sink.append(listed):
            self._state.metrics.unlogged_lists.labels(listed.version.name).inc()


class Clicks:
    """The endpoint of clicks."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, exchange: Exchange) -> Response:
        """Take clicks: one object, or ``{"clicks": [...]}`` of such objects."""
        exchange.check_json()
        body = await exchange.body()
        return await self._state.run(exchange, self._take, exchange, body, size=len(body))

    def _take(self, exchange: Exchange, body: bytes) -> Response:
        document = exchange.document(body)
        rows = document["clicks"] if isinstance(document, dict) and set(document) == {"clicks"} else [document]
        if not isinstance(rows, list):
            raise Refused(400, "clicks is no list", 'Send {"clicks": [{"list_id": "L", "item": "I"}]}.')
        if len(rows) > self._state.settings.max_rows:
            raise Refused(413, f"{len(rows)} clicks", f"Send at most {self._state.settings.max_rows} a request.")
        now = self._state.clock()
        clicks = [_click(f"row {place}", row, now, self._state.settings.clock_skew) for place, row in enumerate(rows)]
        if clicks and not self._state.list_sink.clicked(clicks):
            raise Refused(503, "the log has no room for them", "Send them again in a moment.", where="server")
        self._state.metrics.clicks.inc(len(clicks))
        return answer({"taken": len(clicks), "request_id": exchange.id}, 202)


def _click(where: str, row: Any, now: datetime, skew: float) -> Click:
    """Return a click out of a JSON object.

    Raises:
        InvalidValue: it is none.
    """
    if not isinstance(row, dict) or not {"list_id", "item"} <= set(row) <= {"list_id", "item", "value", "observed"}:
        raise InvalidValue(where, "no click", "Send list_id and item, and value and observed where they are known.")
    name, item = row["list_id"], identifier("item", row["item"], where=where)
    if type(name) is not str or not 0 < len(name) <= _NAMED:
        raise InvalidValue(where, "list_id is no id of a list", "Send that of the answer.")
    value = number("value", row.get("value", 1), where=where)
    if value < 0:
        raise InvalidValue(where, "value is no number from 0 on", "Send 1 for a click.")
    observed = _moment(where, row["observed"]) if row.get("observed") is not None else now
    if (observed - now).total_seconds() > skew:
        raise InvalidValue(where, "observed lies in the future", "Send when it happened.")
    return Click(list_id=name, item=item, value=value, observed=observed)


def _moment(where: str, text: Any) -> datetime:
    try:
        return instant(text)
    except ValueError as error:
        raise InvalidValue(where, "observed is no time", "Send 2026-03-01T12:00:00Z, say.") from error


def _oddities(found: Recommendations, *, failed: bool) -> Sequence[tuple[str, bool]]:
    return ((FALLBACK, failed), (COLD, found.cold_user), (SHUFFLED, found.shuffled), (UNKNOWN, bool(found.unknown)))


def _reply(listed: Listed) -> dict[str, Any]:
    found, version = listed.found, listed.version
    scores, cold = found.scores.tolist(), found.cold.tolist()
    reply: dict[str, Any] = {
        "list_id": listed.list_id,
        "model": version.name,
        "version": version.version,
        "digest": version.digest,
        "arm": listed.arm,
        "items": [
            {"item": item, "position": place, "score": None if math.isnan(score) else score, "cold": new}
            for place, (item, score, new) in enumerate(zip(found.items, scores, cold, strict=True), 1)
        ],
        "flags": list(listed.flags),
        "considered": found.considered,
        "removed": dict(found.removed),
        "request_id": listed.request_id,
    }
    if found.unknown:
        reply["unknown"] = list(found.unknown[:_NAMED])
    return reply
