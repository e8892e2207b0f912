"""``POST /predict``: entity keys and request fields in, predictions out; features are looked up here.

A body is one object of keys and fields, or ``{"rows": [...]}`` of such objects (none gives no predictions). The path
``/predict/NAME`` chooses a model, ``?at=TIME`` another instant than now, never a later one. ``?explain=1`` adds what
each input added to the answer, and how old the features were.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from stackwright_interfaces.errors import ArtifactError
from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.explaining import ages, explain
from stackwright_serving.gathering import Gathering
from stackwright_serving.reads import Substitutes
from stackwright_serving.refused import Refused
from stackwright_serving.served import Served
from stackwright_serving.sink import Answered
from stackwright_serving.state import Question, State
from stackwright_serving.values import instant


class Predict:
    """The endpoint."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._gathering = Gathering(state)

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer one request."""
        served = self._state.host.served(exchange.model)
        exchange.check_json()
        explained = _explained(exchange)
        body = await exchange.body()
        if explained or not self._state.quick(len(body), reads=True):  # to explain takes milliseconds a row
            return await self._state.work.beside(exchange, self._asked_beside, exchange, served, body)
        question = self._question(exchange, served, body)
        if not self._gathering.takes(served, question):
            return self._answer(exchange, served, question)
        self._state.work.leave(exchange)  # it waits for no longer than a turn, and takes nobody's place meanwhile
        share = await self._gathering.ask(served, question)
        return answer(_reply(share.answered, share.rows, exchange.id))

    def _asked_beside(self, exchange: Exchange, served: Served, body: bytes) -> Response:
        return self._answer(exchange, served, self._question(exchange, served, body))

    def _answer(self, exchange: Exchange, served: Served, question: Question) -> Response:
        answered = self._state.ask(served, question)
        reply = _reply(answered, range(question.count), exchange.id)
        if _explained(exchange):
            _explain(answered, reply)
        return answer(reply, after=partial(self._state.note, answered, served))

    def _question(self, exchange: Exchange, served: Served, body: bytes) -> Question:
        state, explained = self._state, _explained(exchange)
        rows = self._rows(
            exchange.document(body), state.settings.explain_rows if explained else state.settings.max_rows
        )
        now = state.clock()
        asked = self._asked(exchange, now)
        form = served.champion.form
        if form is None:
            model = served.champion.scorer.model
            found = f"service {model.manifest.service!r} is not applied"
            raise ArtifactError(f"model {model.ref}", found, "Run: stackwright apply, then restart the server.")
        keys, request = form.read(rows)
        return Question(
            keys=keys,
            request=request,
            count=len(rows),
            asked=asked,
            now=now,
            request_ids=[exchange.id] * len(rows),
            test=exchange.test,
        )

    def _rows(self, body: Any, most: int) -> list[Any]:
        if isinstance(body, dict):
            rows = body["rows"] if len(body) == 1 and isinstance(body.get("rows"), list) else [body]
        else:
            raise Refused(400, "the body is no object", 'Send {"KEY": VALUE} or {"rows": [...]}.')
        if len(rows) > most:
            raise Refused(413, f"{len(rows)} rows", f"Send at most {most} a request.")
        return rows

    def _asked(self, exchange: Exchange, now: datetime) -> datetime:
        text = exchange.query.get("at") if exchange.has_query else None
        if text is None:
            return now
        try:
            asked = instant(text.replace(" ", "+"))
        except ValueError as error:
            raise Refused(400, f"at is {text[:100]!r}", "Send 2025-03-01T12:00:00Z, say.") from error
        if (asked - now).total_seconds() > self._state.settings.clock_skew:
            raise Refused(422, f"at is {text}, which lies in the future", "Ask for now or the past.")
        return asked


def _explained(exchange: Exchange) -> bool:
    """Return whether the answers are to be explained.

    Raises:
        Refused: that is not said clearly (400).
    """
    text = exchange.query.get("explain", "0") if exchange.has_query else "0"
    if text.lower() not in ("0", "1", "false", "true"):
        raise Refused(400, f"explain is {text[:100]!r}", "Send explain=1, or leave it out.")
    return text.lower() in ("1", "true")


def _explain(answered: Answered, reply: dict[str, Any]) -> None:
    """Add to a reply what each input added to its answers, and the ages of the features.

    Raises:
        PredictionError: the model cannot tell.
    """
    rows = answered.scored.features
    assert rows is not None, "features are read here"
    explanation = explain(answered.model, rows.columns)
    reply["explained"] = explanation.about()
    for place, item in enumerate(reply["predictions"]):
        item["explanation"] = {**explanation.row(place), "ages": ages(rows, answered.asked, place)}


def _reply(answered: Answered, rows: range, request_id: str) -> dict[str, Any]:
    """Return what is said of some of the rows that were answered."""
    scored, model = answered.scored, answered.model
    value = scored.prediction.value.tolist()
    lower, upper = scored.prediction.lower, scored.prediction.upper
    predictions = []
    for row in rows:
        item: dict[str, Any] = {"prediction_id": answered.ids[row], "value": value[row]}
        if lower is not None and upper is not None:
            item["lower"], item["upper"] = float(lower[row]), float(upper[row])
        if scored.prediction.further:
            item["outputs"] = {name: float(column[row]) for name, column in scored.prediction.further.items()}
        if row in scored.incomplete:
            item["incomplete"] = list(scored.incomplete[row])
        predictions.append(item)
    reply = {
        "model": model.name,
        "version": model.version,
        "digest": model.digest,
        "arm": answered.arm,
        "predictions": predictions,
        "request_id": request_id,
    }
    return {**reply, "degraded": "feature store"} if isinstance(scored.features, Substitutes) else reply
