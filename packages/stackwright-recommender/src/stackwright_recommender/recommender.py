"""A trained recommender: answers for users, sessions and items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import UsageError, WrongType
from stackwright_interfaces.recommender import Recommendations, Request
from stackwright_interfaces.recommender import Recommender as Contract
from stackwright_recommender import rules as business
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.filters import Limits, kept
from stackwright_recommender.identifiers import UNKNOWN, Codes, Identifiers
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.pool import in_parts
from stackwright_recommender.reranking import diversified, placed
from stackwright_recommender.training import Settings, Stages, recent

_FUSED: Final = 60.0


class Recommender(Contract):
    """A trained recommender.

    Args:
        users: identifiers of the users.
        items: the catalogue.
        known: the interactions it was trained on.
        stages: retrievers, features and ranker, fitted.
        settings: how it was trained.
    """

    def __init__(
        self, users: Identifiers, items: Catalogue, known: Interactions, stages: Stages, settings: Settings
    ) -> None:
        self.users = users
        self.items = items
        self.known = known
        self.stages = stages
        self.settings = settings
        self._taken = known.counts() > 0
        self._vectors = _vectors(items, stages)

    def answer(self, request: Request) -> Recommendations:
        """Return the list that is asked for.

        Raises:
            UsageError: the request is out of range, or ``like`` is not in the catalogue.
            WrongType: an identifier is neither a text nor a whole number.
            DataError: ``live`` holds what the ranker does not know.
        """
        self._check(request)
        rng = np.random.default_rng(request.seed) if request.explore else None
        if request.like is not None:
            return self._alike(request, rng)
        sessions, seen, unknown = self._session(request)
        lists, removed, strange, live = self._candidates(sessions, seen, request)
        scores = self.scores(sessions, lists, live)
        return self._answer(sessions, lists.item, scores, request, (*unknown, *strange), removed, rng)

    def answer_users(
        self, users: Sequence[Any] | None, request: Request, *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        """Give each user and the list that :meth:`answer` gives, many at once.

        Raises:
            UsageError: the request is out of range, or there are not as many instants as users.
            WrongType: an identifier is neither a text nor a whole number.
        """
        asked, codes = self._asked(users)
        instants = np.full(codes.size, self._seconds(request.at)) if at is None else np.asarray(at, dtype=np.float64)
        if instants.shape != codes.shape:
            found = f"{instants.size} instants for {codes.size} users"
            raise UsageError("answer_users", found, "Give one each.")
        request = replace(request, user=None, session=(), like=None, candidates=None)
        self._check(request)
        return self._each(asked, codes, instants, request)

    def candidates_of(
        self, users: Sequence[Any], *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Mapping[str, Sequence[Any]]]]:
        """Give each user that is known, and retriever → items that it names, what the user took left out."""
        codes = self.users.codes(users)
        instants = np.full(codes.size, self.known.newest) if at is None else np.asarray(at, dtype=np.float64)
        known = np.flatnonzero(codes != UNKNOWN)
        pool, names = self.stages.pool, self.items.ids.names
        for part in in_parts(known.size, len(self.items)):
            rows = known[part]
            sessions = self._sessions_of(codes[rows], instants[rows])
            lists = {one.name: pool.only(one).candidates(sessions, self.settings.candidates) for one in pool.retrievers}
            for number, row in enumerate(rows.tolist()):
                yield users[row], {name: names(found.part(number)) for name, found in lists.items()}

    def recommend(self, user: Any = None, n: int = 10, **asked: Any) -> Recommendations:
        """Return a list for a user, or for a session alone: :meth:`answer` with the request spelled out.

        Args:
            user: an identifier, or ``None``.
            n: places.
            asked: further fields of :class:`Request` (``session``, ``candidates``, ``budget``, ...).

        Raises:
            UsageError: an argument is out of range or unknown.
        """
        return self.answer(_request(user=user, n=n, **asked))

    def recommend_many(
        self,
        users: Sequence[Any] | None = None,
        n: int = 10,
        *,
        at: datetime | float | Literal["last"] | None = None,
        **asked: Any,
    ) -> Iterator[tuple[Any, Recommendations]]:
        """Give each user and the list that :meth:`recommend` gives, many at once.

        Args:
            users: identifiers; ``None`` is all that are known.
            n: places.
            at: as of :class:`Request`; ``"last"`` asks for each right after the user's newest interaction.
            asked: further fields of :class:`Request`.

        Raises:
            UsageError: an argument is out of range or unknown.
        """
        request = _request(n=n, at=None if at == "last" else at, **asked)
        return self.answer_users(users, request, at=self._newest_of(users) if at == "last" else None)

    def similar(self, item: Any, n: int = 10, **asked: Any) -> Recommendations:
        """Return items like one: :meth:`answer` with ``like``.

        Raises:
            UsageError: the item is not in the catalogue, or an argument is out of range.
        """
        return self.answer(_request(like=item, n=n, **asked))

    def scores(self, sessions: Sessions, lists: Lists, live: Mapping[str, NDArray[np.float64]] | None = None) -> Any:
        """Return the ranker's score of each item of all lists."""
        if not lists.item.size:
            return np.zeros(0)
        signals = self.stages.pool.scores(sessions, lists)
        return self.stages.ranker.scores(self.stages.features.matrix(sessions, lists, signals, live))

    def likeness(self, codes: Codes) -> NDArray[np.float64]:
        """Return the cosines of items, each with each, by what is known of them and how they were taken."""
        chosen = self._vectors[codes]
        return np.asarray(chosen @ chosen.T, dtype=np.float64)

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""
        self.stages.ranker.close()

    def _alike(self, request: Request, rng: np.random.Generator | None) -> Recommendations:
        """Return what the retrievers that go by histories say of a history of one item.

        Their places are fused by ``sum of 1 / (60 + place)`` (Cormack, Clarke, Büttcher, SIGIR 2009).
        """
        code = self.items.ids.code(request.like)
        if code == UNKNOWN:
            raise UsageError("similar", f"item {request.like!r} is not in the catalogue", "Ask for an item that is.")
        sessions = self._sessions([code], request)
        pool = self.stages.pool.only_personal()
        codes, strange, live = self._asked_for(request)
        if codes is None:
            codes = pool.candidates(sessions, self._reach(request) + 1).item
        stay, removed = kept(codes, self.items, self._limits(request, sessions.item), live.get("price"))
        lists = Lists.of([codes[stay]])
        scores = fused(pool.scores(sessions, lists))
        return self._answer(sessions, lists.item, scores, request, strange, removed, rng)

    def _asked(self, users: Sequence[Any] | None) -> tuple[Sequence[Any], Codes]:
        if users is None:
            return self.users.names(range(len(self.users))), np.arange(len(self.users), dtype=np.int32)
        return users, self.users.codes(users)

    def _newest_of(self, users: Sequence[Any] | None) -> Sequence[float]:
        """Return the time of each user's newest interaction; of strangers that of all."""
        _, codes = self._asked(users)
        stops = self.known.offsets[codes + 1]
        some = (codes != UNKNOWN) & (stops > self.known.offsets[codes])
        newest = np.full(codes.size, self.known.newest)
        newest[some] = self.known.time[stops[some] - 1]
        return newest.tolist()

    def _each(
        self, users: Sequence[Any], codes: Codes, at: NDArray[np.float64], request: Request
    ) -> Iterator[tuple[Any, Recommendations]]:
        if request.live:
            raise UsageError("recommend", "live values without candidates", "Give the candidates they belong to.")
        for part in in_parts(codes.size, len(self.items)):
            rows = part[codes[part] != UNKNOWN]
            sessions = self._sessions_of(codes[rows], at[rows])
            found = self._answers(codes[rows], self._where(sessions, request), request)
            for row in part.tolist():
                stranger = codes[row] == UNKNOWN
                asked = replace(request, user=users[row], at=float(at[row])) if stranger else request
                yield users[row], self.answer(asked) if stranger else next(found)

    def _sessions_of(self, codes: Codes, at: NDArray[np.float64]) -> Sessions:
        """Return what is known of users, each asked at an instant."""
        sessions = recent(Sessions.of(self.known, codes.astype(np.int64)), self.settings.longest)
        return replace(sessions, at=at, _memo={})

    def _answers(self, codes: Codes, sessions: Sessions, request: Request) -> Iterator[Recommendations]:
        found = self.stages.pool.candidates(sessions, self._reach(request), exclude=request.exclude_seen)
        parts, removed = [], []
        for number in range(len(sessions)):
            part = found.part(number)
            seen = self._seen(int(codes[number]), sessions.item[:0]) if request.exclude_seen else part[:0]
            stay, out = kept(part, self.items, self._limits(request, seen, float(sessions.at[number])))
            parts.append(part[stay])
            removed.append(out)
        lists = Lists.of(parts)
        scores = self.scores(sessions, lists)
        for number in range(len(sessions)):
            span = slice(int(lists.offsets[number]), int(lists.offsets[number + 1]))
            rng = np.random.default_rng(request.seed) if request.explore else None
            yield self._answer(sessions.one(number), lists.item[span], scores[span], request, (), removed[number], rng)

    def _session(self, request: Request) -> tuple[Sessions, Codes, tuple[Any, ...]]:
        """Return what is known of the user, then the session: the newest of it, all of it; and what is unknown."""
        user, session = request.user, request.session
        if isinstance(session, str):
            raise WrongType("session", f"the text {session!r}", "Give a sequence of identifiers.")
        added = self.items.ids.codes(session)
        unknown = tuple(one for one, code in zip(session, added, strict=True) if code == UNKNOWN)
        code = UNKNOWN if user is None else self.users.code(user)
        before = self._seen(code, np.zeros(0, np.int32))
        weight = self._weights(code)
        latest = added[added != UNKNOWN]
        start = max(0, before.size - self.settings.longest)
        if not latest.size:
            return self._sessions(before[start:], request, weight[start:]), before, unknown
        _, first = np.unique(latest[::-1], return_index=True)
        latest = latest[np.sort(latest.size - 1 - first)]
        old = ~np.isin(before, latest)
        history = np.concatenate([before[old], latest])
        weights = np.concatenate([weight[old], np.ones(latest.size)])
        start = max(0, history.size - self.settings.longest)
        return self._sessions(history[start:], request, weights[start:]), history, unknown

    def _sessions(self, history: ArrayLike, request: Request, weights: NDArray[np.float64] | None = None) -> Sessions:
        codes = np.asarray(history, dtype=np.int32)
        weights = np.ones(codes.size) if weights is None else weights
        sizes, at = np.array([codes.size]), np.array([self._seconds(request.at)])
        return self._where(Sessions.one_after_another(codes, weights, sizes, len(self.items), at), request)

    def _where(self, sessions: Sessions, request: Request) -> Sessions:
        """Return sessions of which area and place are asked for."""
        m = len(sessions)
        code = UNKNOWN if request.area is None else self.items.areas.code(request.area)
        place = np.tile(np.array([request.place or (np.nan, np.nan)], dtype=np.float64), (m, 1))
        return replace(sessions, area=np.full(m, code, dtype=np.int32), place=place, _memo={})

    def _asked_for(self, request: Request) -> tuple[Codes | None, tuple[Any, ...], dict[str, NDArray[np.float64]]]:
        """Return the candidates that are given, each once, those of them that are unknown, and their live values."""
        live = {name: np.asarray(values, dtype=np.float64) for name, values in request.live.items()}
        if request.candidates is None:
            if live:
                raise UsageError("recommend", "live values without candidates", "Give the candidates they belong to.")
            return None, (), live
        asked = self.items.ids.codes(request.candidates)
        strange = tuple(request.candidates[row] for row in np.flatnonzero(asked == UNKNOWN).tolist())
        _, first = np.unique(asked, return_index=True)
        rows = first[asked[first] != UNKNOWN]
        return asked[rows], strange, {name: _of_rows(name, values, rows, asked.size) for name, values in live.items()}

    def _candidates(
        self, sessions: Sessions, history: Codes, request: Request
    ) -> tuple[Lists, dict[str, int], tuple[Any, ...], dict[str, NDArray[np.float64]]]:
        """Return the candidates that may be shown, what was taken out, what is unknown, and live values of the rest."""
        codes, strange, live = self._asked_for(request)
        if codes is None:
            codes = self.stages.pool.candidates(sessions, self._reach(request), exclude=request.exclude_seen).item
        seen = history if request.exclude_seen else codes[:0]
        stay, removed = kept(codes, self.items, self._limits(request, seen), live.get("price"))
        return Lists.of([codes[stay]]), removed, strange, {name: values[stay] for name, values in live.items()}

    def _answer(
        self,
        sessions: Sessions,
        codes: Codes,
        scores: NDArray[np.float64],
        request: Request,
        unknown: tuple[Any, ...],
        removed: Mapping[str, int],
        rng: np.random.Generator | None,
    ) -> Recommendations:
        held = business.pinned(request.rules, self.items)
        out = business.hidden(request.rules, self.items, np.array(list(held.values()), np.int32))
        held = {place: code for (place, code), hide in zip(held.items(), out, strict=True) if not hide}
        free = ~np.isin(codes, list(held.values())) if held else np.ones(codes.size, dtype=bool)
        left, worth = codes[free], business.boosted(request.rules, self.items, codes, scores)[free]
        length = max(request.n, request.explore_depth)
        limits = business.limits(request.rules, self.items)
        vectors = self._vectors[left if request.diversity else left[:0]]
        order = diversified(left, worth, vectors, length, diversity=request.diversity, limits=limits)
        shown = placed(
            left[order],
            worth[order],
            request.n,
            pinned=held,
            explore=request.explore,
            depth=request.explore_depth,
            rng=rng,
        )
        return Recommendations(
            items=tuple(self.items.ids.names(shown.item)),
            scores=shown.score,
            propensities=shown.propensity,
            cold=~self._taken[shown.item],
            cold_user=not bool((sessions.weight > 0).any()),
            shuffled=shown.shuffled,
            unknown=unknown,
            removed=removed,
            considered=int(codes.size),
        )

    def _limits(self, request: Request, seen: Codes, at: float | None = None) -> Limits:
        at = self._seconds(request.at) if at is None else at
        return Limits(at=at, budget=request.budget, seen=seen, rules=request.rules)

    def _seen(self, user: int, none: Codes) -> Codes:
        if user == UNKNOWN:
            return none
        return self.known.item[self.known.offsets[user] : self.known.offsets[user + 1]]

    def _weights(self, user: int) -> NDArray[np.float64]:
        if user == UNKNOWN:
            return np.zeros(0)
        return self.known.weight[self.known.offsets[user] : self.known.offsets[user + 1]]

    def _reach(self, request: Request) -> int:
        return max(self.settings.candidates, request.n, request.explore_depth)

    def _seconds(self, at: datetime | float | None) -> float:
        if at is None:
            return self.known.newest
        if isinstance(at, datetime):
            if at.tzinfo is None:
                raise WrongType("at", f"{at} has no zone", "Give a time with a zone, UTC say.")
            return at.timestamp()
        return float(at)

    def _check(self, request: Request) -> None:
        if request.n < 1:
            raise UsageError("recommend", f"n is {request.n}", "Ask for one place at least.")
        for name in ("diversity", "explore"):
            if not 0 <= getattr(request, name) <= 1:
                raise UsageError("recommend", f"{name} is {getattr(request, name)}", "Give a number from 0 to 1.")
        business.check(request.rules)


def _request(**fields: Any) -> Request:
    try:
        return Request(**fields)
    except TypeError as error:
        raise UsageError("recommend", str(error), "See Request for what may be asked.") from error


def fused(signals: NDArray[Any]) -> NDArray[np.float64]:
    """Return reciprocal ranks of one list's items, summed over signals."""
    answer = np.zeros(signals.shape[1])
    for signal in signals:
        known = np.isfinite(signal)
        falling = np.sort(-signal[known])
        answer[known] += 1 / (_FUSED + np.searchsorted(falling, -signal[known], side="left"))
    return answer


def _of_rows(name: str, values: NDArray[np.float64], rows: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    if values.shape != (count,):
        raise UsageError("live values", f"{values.size} values of {name!r} for {count} candidates", "Give one each.")
    return values[rows]


def _vectors(items: Catalogue, stages: Stages) -> NDArray[np.float32]:
    """Return what diversity compares items by: what is known of them, and how they were taken."""
    parts = [
        items.vectors,
        *(found for found in (one.vectors() for one in stages.pool.retrievers) if found is not None),
    ]
    unit = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts if part.shape[1]]
    if not unit:
        return np.zeros((len(items), 1), dtype=np.float32)
    joined = np.concatenate(unit, axis=1).astype(np.float32)
    return np.asarray(joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-12), dtype=np.float32)
