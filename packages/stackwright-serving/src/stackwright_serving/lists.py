"""A recommender that is served: what the blueprint says of its lists, the session that it is told of, its fallback."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np

from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import ArtifactError, FeatureStoreError, PredictionError
from stackwright_interfaces.recommender import Hidden, Recommendations, Recommender, Request
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.types import Kind
from stackwright_serving.model import CLOSING
from stackwright_serving.scorer import FeatureReader

log = logging.getLogger("stackwright.serving")

POPULAR: Final = 10_000
"""How deep the list is that stands in for a recommender that fails."""
_INT64: Final = 2**63
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What every list of a recommender is made with.

    Args:
        usual: what holds where a request names nothing else.
        stale: seconds since a version was published from which on its lists are flagged.
    """

    usual: Request = field(default_factory=Request)
    stale: float = 7 * 86_400.0


class SessionReader:
    """Reads what a user looked at just now.

    Args:
        features: the guarded way to the features, which raises where the store fails.
        service: the service that holds the session.
        feature: its feature.

    Raises:
        ArtifactError: the service is not asked by one key, or has no such feature.
    """

    def __init__(self, features: FeatureReader, service: FeatureService, feature: str) -> None:
        keys = service.request_keys
        if len(keys) != 1 or feature not in {item.name for item in service.output_fields}:
            found = f"feature {feature!r} of service {service.ref!r} cannot be asked by a user alone"
            raise ArtifactError("session", found, "Name a feature of a service with one key.")
        self._features = features
        self._service = service.ref
        self._feature = feature
        self._key = keys[0]

    def read(self, user: Any, *, timeout: float | None = None) -> tuple[Any, ...]:
        """Return the items of a user's session, oldest first; none where nothing is known of the user.

        Raises:
            FeatureStoreError: the store failed, was too slow, or is left alone for a while.
        """
        key = _as(self._key.type.kind, user)
        if key is None:
            return ()
        rows = self._features.read(self._service, {self._key.name: [key]}, {}, timeout=timeout)
        value = rows.columns[self._feature][0]
        if value is None:
            return ()
        found = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        if isinstance(found, float):
            return () if np.isnan(found) else (int(found),)
        if isinstance(found, str | int):
            return (found,)
        try:
            return tuple(one for one in found if one is not None)
        except TypeError as error:
            raise FeatureStoreError("session", f"a {type(found).__name__}", "Keep lists of identifiers.") from error


def _as(kind: Kind, user: Any) -> Any:
    """Return a user as the key of a service; ``None`` where it can be none."""
    if kind is Kind.STRING:
        return str(user)
    number = int(user) if isinstance(user, int) or _WHOLE.fullmatch(user) else None
    return number if number is not None and -_INT64 <= number < _INT64 else None


@dataclass(frozen=True)
class LoadedLists:
    """A version of a recommender that is loaded.

    Args:
        recommender: one thread at a time asks it.
        options: what every list is made with.
        session: reads sessions, where the blueprint names a feature.
        popular: what stands in for it where it fails, best first.
        turn: held while it answers.
        closed: set once it answers no more.
    """

    version: ModelVersion
    recommender: Recommender
    options: ListOptions
    session: SessionReader | None
    popular: tuple[Any, ...]
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    closed: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @classmethod
    def warmed(
        cls,
        version: ModelVersion,
        recommender: Recommender,
        options: ListOptions,
        session: SessionReader | None = None,
    ) -> Self:
        """Return a version ready to answer: it was asked for what is popular, which also stands in for it.

        Raises:
            PredictionError: it does not answer, whatever it raised; it is closed then.
        """
        try:
            rules = tuple(rule for rule in options.usual.rules if isinstance(rule, Hidden))
            popular = recommender.answer(Request(n=POPULAR, rules=rules, at=time.time())).items
        except Exception as error:
            with suppress(Exception):
                recommender.close()
            raise PredictionError(version.ref, f"it does not answer ({error!r})"[:500]) from error
        return cls(version, recommender, options, session, popular)

    def holds(self, version: ModelVersion) -> bool:
        """Return whether it is this version."""
        return self.version.version == version.version and self.version.digest == version.digest

    def answer(self, request: Request) -> Recommendations:
        """Return the list that is asked for.

        Raises:
            UsageError: the request is out of range.
            DataError: an identifier or a live value is none.
            PredictionError: the recommender failed, whatever it raised.
        """
        with self.turn:
            if self.closed.is_set():
                raise PredictionError(self.version.ref, "it is closed: the server ends")
            found = self.recommender.answer(request)
        scores = np.asarray(found.scores, dtype=np.float64)
        if len(found.items) > request.n or scores.shape != (len(found.items),) or np.isinf(scores).any():
            raise PredictionError(self.version.ref, "its list is none: places, scores or items are wrong")
        return found

    def close(self) -> None:
        """Release the recommender once no thread asks it; one that is asked for too long is left as it is."""
        if not self.turn.acquire(timeout=CLOSING):
            log.warning("%s is still asked and is not closed", self.version.ref)
            return
        try:
            self.closed.set()
            self.recommender.close()
        finally:
            self.turn.release()

    def instead(self, request: Request) -> Recommendations:
        """Return what is popular, in place of an answer; users, sessions, budgets and places do not count."""
        out = {one for rule in request.rules if isinstance(rule, Hidden) for one in rule.items}
        asked = None if request.candidates is None else {str(one) for one in request.candidates}
        left = out | set(request.session if request.exclude_seen else ())
        items = [one for one in self.popular if one not in left and (asked is None or str(one) in asked)]
        items = items[: request.n]
        return Recommendations(
            items=tuple(items),
            scores=np.full(len(items), np.nan),
            propensities=np.ones(len(items)),
            cold=np.zeros(len(items), dtype=bool),
            cold_user=False,
            considered=len(items),
        )

    def asked(self, given: Mapping[str, Any], session: Sequence[Any], at: float) -> Request:
        """Return a request as the recommender takes it: what the blueprint says, and over it what the client says."""
        return replace(self.options.usual, at=at, **{**given, "session": (*session, *given.get("session", ()))})
