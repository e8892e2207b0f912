"""Questions that come at the same moment are answered together: by one read, one prediction and one record.

A server under load finds several requests whenever it looks. What most of an answer costs does not grow with its rows,
so that they share it. Nobody waits for requests that may come: what is gathered has come, and a request that is alone
is answered at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout
from stackwright_serving.reads import Substitutes
from stackwright_serving.served import Served
from stackwright_serving.sink import Answered
from stackwright_serving.state import Question, State

log = logging.getLogger("stackwright.serving")


@dataclass(frozen=True)
class Share:
    """The rows of one request among those that were answered with them.

    Args:
        answered: all of them.
        rows: its own.
    """

    answered: Answered
    rows: range


@dataclass(frozen=True)
class _Round:
    """Questions to one model that came at the same moment."""

    served: Served
    waiting: list[tuple[Question, asyncio.Future[Share]]] = field(default_factory=list)


class Gathering:
    """Answers questions; those of one turn of the event loop together.

    Args:
        state: what all endpoints share.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._most = state.settings.together
        self._rounds: dict[int, _Round] = {}
        self._waiting = 0
        self._begun = False
        self._crowded = False

    def takes(self, served: Served, question: Question) -> bool:
        """Return whether a question is to be answered with others.

        The first of a turn is not, unless there were several in the turn before. A challenger's share of the entities
        is its own, a trace tells of one request, and a test or another instant than now is asked for by itself.
        """
        alike = (
            0 < question.count <= self._most
            and self._waiting < self._state.settings.concurrency
            and served.trial is None
            and not question.test
            and question.asked is question.now
            and self._state.tracing is None
        )
        if not alike or self._crowded or self._begun:
            return alike
        self._begun = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return False

    async def ask(self, served: Served, question: Question) -> Share:
        """Answer a question with the others of this turn; the answer is noted once all of them have theirs.

        Raises:
            FeatureStoreError: the features cannot be read.
            DataError: a key or request field is missing or of another type.
            ModelError: a row cannot be predicted.
        """
        loop = asyncio.get_running_loop()
        if not self._rounds:
            loop.call_soon(self._answer, loop)
        done: asyncio.Future[Share] = loop.create_future()
        self._rounds.setdefault(id(served), _Round(served)).waiting.append((question, done))
        self._waiting += 1
        return await done

    def _end_turn(self) -> None:
        self._begun = False

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer what was gathered; whoever asked is woken before it is noted."""
        rounds, self._rounds = self._rounds, {}
        self._crowded, self._waiting = self._waiting > 1, 0
        for each in rounds.values():
            waiting = [one for one in each.waiting if not one[1].done()]  # others were cancelled
            if len(waiting) < 2 or not self._answered(each.served, waiting, loop):
                self._apart(each.served, waiting, loop)

    def _answered(
        self,
        served: Served,
        waiting: Sequence[tuple[Question, asyncio.Future[Share]]],
        loop: asyncio.AbstractEventLoop,
    ) -> bool:
        """Answer questions together; return false where one of them may be what spoils it for the others."""
        questions = [question for question, _ in waiting]
        try:
            answered = self._state.ask(served, _joined(questions))
        except FeatureStoreError as error:
            if not self._fails_all(late=isinstance(error, StoreTimeout)):
                return False
            for _, done in waiting:
                done.set_exception(error)
            return True
        except Exception:  # noqa: BLE001 - each is asked again by itself, and then told its own
            return False
        read = answered.scored.features
        if isinstance(read, Substitutes) and not self._fails_all(late=read.late):
            return False
        for (_, done), rows in zip(waiting, _rows(questions), strict=True):
            done.set_result(Share(answered, rows))
        loop.call_soon(self._note, served, answered)
        return True

    def _apart(
        self,
        served: Served,
        waiting: Sequence[tuple[Question, asyncio.Future[Share]]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        for question, done in waiting:
            try:
                answered = self._state.ask(served, question)
            except StopIteration as error:  # which no future takes
                done.set_exception(RuntimeError(f"a stray {error!r}"))
            except Exception as error:  # noqa: BLE001 - raised where it was asked
                done.set_exception(error)
            else:
                done.set_result(Share(answered, range(question.count)))
                loop.call_soon(self._note, served, answered)

    def _fails_all(self, *, late: bool) -> bool:
        """Return whether a read that failed is told to all, rather than tried again for each.

        A store that fails at once may do so for a damaged row of one of them; one that takes long is asked no further.

        Args:
            late: whether it did not end in time.
        """
        reads = self._state.reads
        return late or reads.slow or reads.breaker.open

    def _note(self, served: Served, answered: Answered) -> None:
        try:
            self._state.note(answered, served)
        except Exception:
            ids = ", ".join(sorted({*answered.request_ids}))
            log.exception("answered requests were not noted: %s", ids)


def _joined(questions: Sequence[Question]) -> Question:
    """Return the rows of several questions as one, asked when the last of them was."""
    last = questions[-1]
    return Question(
        keys=_columns([question.keys for question in questions]),
        request=_columns([question.request for question in questions]),
        count=sum(question.count for question in questions),
        asked=last.now,
        now=last.now,
        request_ids=[one for question in questions for one in question.request_ids],
    )


def _columns(parts: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def _rows(questions: Sequence[Question]) -> Iterator[range]:
    """Give the rows of each question among those of all."""
    begin = 0
    for question in questions:
        yield range(begin, begin + question.count)
        begin += question.count
