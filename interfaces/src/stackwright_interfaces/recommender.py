"""The recommender: learns from interactions, and answers lists.

A model of numbers answers a row at a time, whatever rows come with it. A list is more than its rows: what stands at a
place depends on what stands above it, on rules, and on chance whose probabilities must be kept. Hence a contract beside
the trainer's. In registry, gates and serving a recommender is a model like others, whose task is ``recommendation``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from stackwright_interfaces.model import Manifest
from stackwright_interfaces.plugin import Progress

CONTRACT: Final = 1
TASK: Final = "recommendation"

Holdout = Literal["last", "random"]


@dataclass(frozen=True, kw_only=True)
class Interactions:
    """Who took what.

    Args:
        table: anything with ``__arrow_c_stream__``, one interaction a row: ``user`` and ``item`` (texts or whole
            numbers, never null), and where they are known ``time`` (timestamp in UTC), ``weight`` (float64, how much
            taste it tells of, 0 for what was seen and not liked) and ``rating`` (float64).
        columns: names of the columns that the table has.
    """

    table: Any
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Items:
    """What is known of the items, those that nobody took yet among them.

    Args:
        table: anything with ``__arrow_c_stream__``, one item a row: ``item`` as in the interactions, and what is named
            below.
        attributes: columns of texts or lists of texts.
        numbers: columns of numbers.
        columns: of ``latitude`` and ``longitude`` (degrees), ``area`` (what popularity is counted by), ``group`` (what
            rules speak of: the seller, the brand), ``price`` (what a budget limits), ``since`` and ``until``
            (timestamps in UTC between which it may be shown) those that are known → the column that holds it.
    """

    table: Any
    attributes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hidden:
    """Items, or all of some groups, are not shown."""

    items: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = ()


@dataclass(frozen=True)
class AtMost:
    """A list holds at most ``count`` items of one group, or of one area; items without one are not counted."""

    count: int
    of: Literal["group", "area"] = "group"


@dataclass(frozen=True)
class Pinned:
    """An item stands at a place, from 1, whatever its score; it is there even if it is no candidate, and not hidden."""

    item: Any
    place: int


@dataclass(frozen=True)
class Boosted:
    """Scores of items, or of all of some groups, rise by so many standard deviations of the list's scores."""

    by: float
    items: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = ()


Rule = Hidden | AtMost | Pinned | Boosted


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked.

    Args:
        user: whose list it is, or ``None``.
        session: items that were looked at just now, oldest first.
        like: an item: what is like it is asked for, and neither user nor session counts.
        n: places.
        candidates: items to choose from, those of a search say; ``None`` leaves it to the recommender.
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

    user: Any = None
    session: Sequence[Any] = ()
    like: Any = None
    n: int = 10
    candidates: Sequence[Any] | None = None
    exclude_seen: bool = True
    at: datetime | float | None = None
    area: Any = None
    place: tuple[float, float] | None = None
    budget: float | None = None
    live: Mapping[str, Any] = field(default_factory=dict)
    rules: Sequence[Rule] = ()
    diversity: float = 0.0
    explore: float = 0.0
    explore_depth: int = 0
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """A list, best first, and what a log must keep of it.

    Args:
        items: identifiers.
        scores: float64 array, comparable within the list alone; NaN for what a rule pinned there.
        propensities: float64 array: the probability with which each was put at its place; 1 where nothing is left to
            chance.
        cold: bool array: which of them nobody took before.
        cold_user: nothing is known of the user, neither before nor in the session.
        shuffled: whether chance decided the order.
        unknown: candidates and items of the session that the recommender does not know; they were left out.
        removed: filter → candidates that it took out: ``unavailable``, ``over_budget``, ``seen``, ``hidden``.
        considered: candidates that were ranked.
    """

    items: tuple[Any, ...]
    scores: Any
    propensities: Any
    cold: Any
    cold_user: bool
    shuffled: bool = False
    unknown: tuple[Any, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    considered: int = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def log(self, list_id: str, **others: Any) -> list[dict[str, Any]]:
        """Return a row an item for a log of what was shown, JSON values: what a replay reads.

        Args:
            list_id: names this list.
            others: go into every row (``user``, ``at``).
        """
        parts = zip(self.items, map(float, self.propensities), map(float, self.scores), strict=True)
        return [
            {
                **others,
                "list": list_id,
                "item": item,
                "position": place,
                "propensity": propensity,
                "score": None if isnan(score) else score,
            }
            for place, (item, propensity, score) in enumerate(parts, start=1)
        ]


class Recommender(ABC):
    """A recommender at work. Used from one thread at a time."""

    @abstractmethod
    def answer(self, request: Request) -> Recommendations:
        """Return the list that is asked for; it is shorter where fewer candidates are left.

        Users that are not known, and sessions of nothing known, get what is popular or fresh where they ask. The same
        request with a seed gives the same list.

        Raises:
            UsageError: the request is out of range, or ``like`` is not known.
            PredictionError: the recommender failed.
        """

    @abstractmethod
    def answer_users(
        self, users: Sequence[Any] | None, request: Request, *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        """Give each user and the list that :meth:`answer` gives, many at once.

        Args:
            users: identifiers; ``None`` is all that are known.
            request: what is asked for each; its ``user``, ``session``, ``like`` and ``candidates`` are not looked at.
            at: the present of each of the users, seconds since 1970, instead of the request's.

        Raises:
            UsageError: the request is out of range, or there are not as many instants as users.
        """

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


@runtime_checkable
class SupportsCandidates(Protocol):
    """A recommender whose lists are chosen from what several retrievers name, and that tells what each of them does."""

    def candidates_of(
        self, users: Sequence[Any], *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Mapping[str, Sequence[Any]]]]:
        """Give each user that is known, and retriever → items that it names, what the user took left out.

        Args:
            users: identifiers.
            at: the present of each, seconds since 1970; ``None`` as :class:`Request` has it.
        """
        ...


class FittedRecommender(ABC):
    """A fit's result, in memory.

    Attributes:
        flavour: the flavour of the folder it saves.
        parameters: the parameters it was fitted with, all JSON values.
    """

    flavour: ClassVar[str]
    parameters: Mapping[str, Any]

    @abstractmethod
    def recommender(self) -> Recommender:
        """Return a recommender over what was fitted."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the payload into an existing, empty folder. The same fit writes the same bytes."""


class RecommenderTrainer(ABC):
    """Fits recommenders."""

    @abstractmethod
    def fit(
        self,
        interactions: Interactions,
        items: Items | None,
        *,
        holdout: Holdout,
        seed: int,
        threads: int,
        progress: Progress,
    ) -> FittedRecommender:
        """Fit.

        Args:
            holdout: what lists will be judged by: what each user takes next (``"last"``), or what else is liked
                (``"random"``). Who learns from interactions that are held out holds such out.
            seed: the same seed and data give the same bytes.

        Raises:
            TrainingError: there is too little to learn from, or the data lack what an option needs.
            DataError: a value cannot be used; with the row.
        """

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""


class RecommenderFormat(ABC):
    """Loads one flavour of a recommender's folder, whatever trainer made it."""

    flavour: ClassVar[str]

    @abstractmethod
    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Recommender:
        """Load a folder whose files were verified against its manifest.

        Raises:
            ArtifactError: the payload is not what the flavour demands.
        """
