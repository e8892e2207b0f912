"""A trained recommender: answers for users, sessions and items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stackwright_interfaces.errors import UsageError, WrongType
from stackwright_recommender import rules as business
from stackwright_recommender.answers import Recommendations
from stackwright_recommender.catalogue import Catalogue
from stackwright_recommender.filters import Limits, kept
from stackwright_recommender.identifiers import UNKNOWN, Codes, Identifiers
from stackwright_recommender.interactions import Interactions, Lists, Sessions
from stackwright_recommender.pool import in_parts
from stackwright_recommender.reranking import diversified, placed
from stackwright_recommender.rules import Rule
from stackwright_recommender.training import Settings, Stages, recent

_FUSED: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked beside whose list it is.

    Args:
        n: places.
        candidates: items to choose from, those of a search say; ``None`` leaves it to the retrievers.
        exclude_seen: leave out what the user took before, and what the session holds.
        at: the present, with a zone, or seconds since 1970; ``None`` is the time of the newest interaction that is
            known.
        area: what area is asked for.
        place: latitude and longitude in degrees.
        budget: the most a price may be.
        live: name of a number of the items, or ``price`` → its present value for each of ``candidates``.
        rules: business rules.
        diversity: 0 for the order of scores, up to 1.
        explore: probability that the list is put in random order, so that a replay can learn from it.
        explore_depth: how many of the best chance puts in order; at least those that are shown.
        seed: of chance; ``None`` draws anew.
    """

    n: int = 10
    candidates: Sequence[Any] | None = None
    exclude_seen: bool = True
    at: datetime | float | None = None
    area: Any = None
    place: tuple[float, float] | None = None
    budget: float | None = None
    live: Mapping[str, ArrayLike] = field(default_factory=dict)
    rules: Sequence[Rule] = ()
    diversity: float = 0.0
    explore: float = 0.0
    explore_depth: int = 0
    seed: int | None = None


class Recommender:
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

    def recommend(self, user: Any = None, n: int = 10, *, session: Sequence[Any] = (), **asked: Any) -> Recommendations:
        """Return a list for a user, or for a session alone.

        A user who is not known, and a session of nothing known, get what is popular and fresh where they ask; the
        answer says ``cold_user``.

        Args:
            user: an identifier, or ``None``.
            n: places; the list is shorter where fewer candidates are left.
            session: identifiers of the items that were looked at just now, oldest first.
            asked: further fields of :class:`Request` (``candidates``, ``exclude_seen``, ``budget``, ...).

        Raises:
            UsageError: an argument is out of range or unknown.
            WrongType: an identifier is neither a text nor a whole number.
            DataError: ``live`` holds what the ranker does not know, or values of another count.
        """
        try:
            request = Request(n=n, **asked)
        except TypeError as error:
            raise UsageError("recommend", str(error), "See Request for what may be asked.") from error
        self._check(request)
        sessions, seen, unknown = self._session(user, session, request)
        lists, removed, strange, live = self._candidates(sessions, seen, request)
        scores = self.scores(sessions, lists, live)
        rng = np.random.default_rng(request.seed) if request.explore else None
        return self._answer(sessions, lists.item, scores, request, (*unknown, *strange), removed, rng)

    def recommend_many(
        self,
        users: Sequence[Any] | None = None,
        n: int = 10,
        *,
        exclude_seen: bool = True,
        at: datetime | float | Literal["last"] | None = None,
    ) -> Iterator[tuple[Any, Recommendations]]:
        """Give each user and the list that :meth:`recommend` gives, many at once.

        Args:
            users: identifiers of known users; ``None`` is all.
            n: places.
            exclude_seen: leave out what the user took before.
            at: as of :class:`Request`; ``"last"`` asks for each right after the user's newest interaction.

        Raises:
            UsageError: a user is not known, or a number is out of range.
        """
        request = Request(n=n, exclude_seen=exclude_seen, at=None if at == "last" else at)
        self._check(request)
        codes = np.arange(len(self.users), dtype=np.int32) if users is None else self.users.codes(users)
        if (codes == UNKNOWN).any():
            asked = list(users or ())[int(np.flatnonzero(codes == UNKNOWN)[0])]
            raise UsageError("recommend_many", f"user {asked!r} is not known", "Ask recommend for new users.")
        for part in in_parts(codes.size, len(self.items)):
            sessions = recent(Sessions.of(self.known, codes[part].astype(np.int64)), self.settings.longest)
            if at != "last":
                sessions = replace(sessions, at=np.full(len(sessions), self._seconds(request.at)), _memo={})
            yield from self._answers(codes[part], sessions, request)

    def similar(self, item: Any, n: int = 10, *, at: datetime | float | None = None) -> Recommendations:
        """Return items like one: what the retrievers that go by histories name for a history of it alone.

        Their places are fused by ``sum of 1 / (60 + place)`` (Cormack, Clarke, Büttcher, SIGIR 2009).

        Raises:
            UsageError: the item is not in the catalogue, or ``n`` is below 1.
        """
        request = Request(n=n, at=at)
        self._check(request)
        code = self.items.ids.code(item)
        if code == UNKNOWN:
            raise UsageError("similar", f"item {item!r} is not in the catalogue", "Ask for an item that is.")
        sessions = self._sessions([code], request)
        pool = self.stages.pool.only_personal()
        lists = pool.candidates(sessions, max(n + 1, self.settings.candidates))
        stay, removed = kept(lists.item, self.items, self._limits(request, sessions.item))
        lists = Lists.of([lists.item[stay]])
        scores = fused(pool.scores(sessions, lists))
        return self._answer(sessions, lists.item, scores, request, (), removed, None)

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

    def _answers(self, codes: Codes, sessions: Sessions, request: Request) -> Iterator[tuple[Any, Recommendations]]:
        found = self.stages.pool.candidates(sessions, self._reach(request), exclude=request.exclude_seen)
        parts, removed = [], []
        for number in range(len(sessions)):
            part = found.item[found.offsets[number] : found.offsets[number + 1]]
            seen = self._seen(int(codes[number]), sessions.item[:0]) if request.exclude_seen else part[:0]
            stay, out = kept(part, self.items, self._limits(request, seen, float(sessions.at[number])))
            parts.append(part[stay])
            removed.append(out)
        lists = Lists.of(parts)
        scores = self.scores(sessions, lists)
        for number, user in enumerate(self.users.names(codes)):
            span = slice(int(lists.offsets[number]), int(lists.offsets[number + 1]))
            one = sessions.one(number)
            yield user, self._answer(one, lists.item[span], scores[span], request, (), removed[number], None)

    def _session(self, user: Any, session: Sequence[Any], request: Request) -> tuple[Sessions, Codes, tuple[Any, ...]]:
        """Return what is known of the user, then the session: the newest of it, all of it; and what is unknown."""
        if isinstance(session, str):
            raise WrongType("session", f"the text {session!r}", "Give a sequence of identifiers.")
        added = self.items.ids.codes(session)
        unknown = tuple(one for one, code in zip(session, added, strict=True) if code == UNKNOWN)
        code = UNKNOWN if user is None else self.users.code(user)
        before = self._seen(code, np.zeros(0, np.int32))
        weight = self._weights(code)
        latest = added[added != UNKNOWN]
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
        at, sizes = np.array([self._seconds(request.at)]), np.array([codes.size])
        made = Sessions.one_after_another(codes, weights, sizes, len(self.items), at)
        area = np.array([UNKNOWN if request.area is None else self.items.areas.code(request.area)], dtype=np.int32)
        place = np.array([request.place or (np.nan, np.nan)], dtype=np.float64)
        return replace(made, area=area, place=place, _memo={})

    def _candidates(
        self, sessions: Sessions, history: Codes, request: Request
    ) -> tuple[Lists, dict[str, int], tuple[Any, ...], dict[str, NDArray[np.float64]]]:
        """Return the candidates that may be shown, what was taken out, what is unknown, and live values of the rest."""
        strange: tuple[Any, ...] = ()
        live = {name: np.asarray(values, dtype=np.float64) for name, values in request.live.items()}
        if request.candidates is None:
            if live:
                raise UsageError("recommend", "live values without candidates", "Give the candidates they belong to.")
            found = self.stages.pool.candidates(sessions, self._reach(request), exclude=request.exclude_seen)
            codes = found.item
        else:
            asked = self.items.ids.codes(request.candidates)
            strange = tuple(one for one, code in zip(request.candidates, asked, strict=True) if code == UNKNOWN)
            _, first = np.unique(asked, return_index=True)
            rows = first[asked[first] != UNKNOWN]
            live = {name: _of_rows(name, values, rows, asked.size) for name, values in live.items()}
            codes = asked[rows]
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
        free = ~np.isin(codes, list(held.values()))
        left, worth = codes[free], business.boosted(request.rules, self.items, codes, scores)[free]
        length = max(request.n, request.explore_depth)
        limits = business.limits(request.rules, self.items)
        order = diversified(left, worth, self._vectors[left], length, diversity=request.diversity, limits=limits)
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
