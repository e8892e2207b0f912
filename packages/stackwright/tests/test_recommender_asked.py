"""Recommenders asked by hand and for all users: what a question may be, and what is written of empty lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from stackwright.assembly.reading import Part
from stackwright.assembly.recommender_part import InteractionsPart, ListPart, RecommenderPart, SessionPart
from stackwright.workflows.batch import lists
from stackwright.workflows.recommending import asking
from stackwright.workflows.recommending.asking import Question, question_of
from stackwright.workflows.up_lists import followed
from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.recommender import Recommendations, Recommender, Request

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Shelf(Recommender):
    """Shows items 1, 2, 3; nothing to the first users where there is a budget."""

    users = 2_001

    def answer(self, request: Request) -> Recommendations:
        poor = request.budget is not None and request.user != self.users - 1
        shown = () if poor else (1, 2, 3)[: request.n]
        count = len(shown)
        scores, whole = np.zeros(count), np.ones(count)
        cold = np.zeros(count, dtype=bool)
        return Recommendations(items=shown, scores=scores, propensities=whole, cold=cold, cold_user=False)

    def answer_users(
        self, users: Sequence[Any] | None, request: Request, *, at: Sequence[float] | None = None
    ) -> Iterator[tuple[Any, Recommendations]]:
        for user in range(self.users) if users is None else users:
            yield user, self.answer(replace(request, user=user))


@dataclass
class Sessions:
    """Stands in for the reader of sessions, and counts."""

    read_for: list[Any] = field(default_factory=list)

    def __call__(self, *_: object) -> Sessions:
        return self

    def read(self, user: Any) -> tuple[Any, ...]:
        self.read_for.append(user)
        return (3,)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    found = Sessions()
    monkeypatch.setattr(asking, "SessionReader", found)
    for room in (asking, lists):
        monkeypatch.setattr(room, "resolve", lambda *_: SimpleNamespace(ref="x@1", name="x"))
        monkeypatch.setattr(room, "load", lambda *_: (None, Shelf()))
    return found


@pytest.fixture
def stack(tmp_path: Path, sessions: Sessions) -> Any:
    part = RecommenderPart(
        name="x",
        place="[recommenders.x]",
        trainer=Part("", ""),
        interactions=InteractionsPart(source="x.csv", user="user", item="item"),
        list=ListPart(n=2),
        session=SessionPart(service="s@1", feature="f"),
    )
    del sessions
    return SimpleNamespace(
        clock=lambda: NOW,
        blueprint=SimpleNamespace(recommenders={"x": part}),
        service=lambda _: None,
        features=None,
        project=SimpleNamespace(cache=tmp_path / "cache"),
        progress=lambda *_: None,
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"session": "H1"}, "argument 'session'.*'H1', no list"),
        ({"candidates": "H1,H2"}, "argument 'candidates'.*no list"),
        ({"candidates": 7}, "argument 'candidates'.*7, no list"),
        ({"at": "2026-01-01"}, "argument 'at'.*datetime with a zone"),
        ({"at": NOW.replace(tzinfo=None)}, "argument 'at'.*datetime with a zone"),
        ({"at": float("nan")}, "argument 'at'.*nan"),
    ],
)
def test_what_is_no_question_is_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){told}"):
        question_of(asked)


def test_scalars_of_numpy_and_seconds_are_taken_as_they_are_meant() -> None:
    found = question_of({"user": np.int64(7), "session": np.array([1, 2]), "candidates": ["a"], "at": NOW.timestamp()})
    assert found == Question(user=7, session=(1, 2), candidates=("a",), at=NOW)
    assert [type(one) for one in (found.user, *(found.session or ()))] == [int, int, int]


def test_a_user_whose_number_is_0_is_somebody(stack: Any) -> None:
    assert asking.recommend(stack, Question(user=0)).title.endswith("for 0")
    assert asking.recommend(stack, Question()).title.endswith("for anybody")


def test_the_session_of_now_is_not_that_of_another_instant(stack: Any, sessions: Sessions) -> None:
    assert asking.recommend(stack, Question(user=5)).data["session"] == [3]
    assert asking.recommend(stack, Question(user=5, at=datetime(2025, 1, 1, tzinfo=UTC))).data["session"] == []
    assert sessions.read_for == [5]


def test_lists_that_are_empty_come_before_others_and_keep_their_types(stack: Any, tmp_path: Path) -> None:
    out = tmp_path / "lists.parquet"
    written = lists.recommend_all(stack, Question(budget=0.0), str(out))
    assert written.data["users"] == 2_001
    table = pyarrow.parquet.read_table(out)
    assert table["user"].to_pylist() == [2_000, 2_000]
    assert [table.schema.field(name).type for name in ("user", "item")] == [pa.int64(), pa.int64()]


def test_another_ask_of_the_same_instant_is_another_job(stack: Any, tmp_path: Path) -> None:
    jobs = []
    for question in (Question(n=1), Question(n=2), Question(n=1)):
        lists.recommend_all(stack, question, str(tmp_path / "lists"))
        told = json.loads((tmp_path / "lists" / "_SUCCESS").read_text())
        assert "incomplete" not in told
        jobs.append(told["job"])
    assert jobs[0] == jobs[2] != jobs[1]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (["c", "d", "e", "f", "g"], "the same list, without what was looked at"),
        (["d", "c", "e", "f", "g"], "the same homes in another order"),
        (["d", "x", "c", "y", "z"], "1 of 3 homes gave way to others"),
    ],
)
def test_what_looking_changed_is_told_beyond_that_what_was_seen_is_gone(after: list[str], said: str) -> None:
    assert followed(["a", "b", "c", "d", "e"], after, ["a", "b"]) == said
