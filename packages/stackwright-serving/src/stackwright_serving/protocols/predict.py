"""``POST /predict``: entity keys and request fields in, predictions out; features are looked up here.

A body is one object of keys and fields, or ``{"rows": [...]}`` of such objects (none gives no predictions). The path
``/predict/NAME`` chooses a model, ``?at=TIME`` another instant than now, never a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from stackwright_interfaces.errors import ArtifactError
from stackwright_serving.exchange import Exchange, Refused, answer
from stackwright_serving.sink import Answered
from stackwright_serving.state import Question, State


class Predict:
    """The endpoint."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, exchange: Exchange) -> Response:
        """Answer one request."""
        state = self._state
        served = state.host.served(exchange.request.path_params.get("model"))
        rows = self._rows(await exchange.json())
        now = state.clock()
        asked = self._asked(exchange, now)
        form = served.champion.form
        if form is None:
            model = served.champion.scorer.model
            found = f"service {model.manifest.service!r} is not applied"
            raise ArtifactError(f"model {model.ref}", found, "Run: stackwright apply, then restart the server.")
        keys, request = form.read(rows)
        question = Question(
            keys=keys,
            request=request,
            count=len(rows),
            asked=asked,
            now=now,
            request_id=exchange.id,
        )
        answered = state.ask(served, question)
        response = answer(_reply(answered))
        state.note(answered, served)
        return response

    def _rows(self, body: Any) -> list[Any]:
        if isinstance(body, Mapping) and set(body) == {"rows"} and isinstance(body["rows"], list):
            rows = body["rows"]
        elif isinstance(body, Mapping):
            rows = [body]
        else:
            raise Refused(400, "the body is no object", 'Send {"KEY": VALUE} or {"rows": [...]}.')
        if len(rows) > self._state.settings.max_rows:
            raise Refused(413, f"{len(rows)} rows", f"Send at most {self._state.settings.max_rows} a request.")
        return rows

    def _asked(self, exchange: Exchange, now: datetime) -> datetime:
        text = exchange.request.query_params.get("at")
        if text is None:
            return now
        try:
            asked = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError as error:
            raise Refused(400, f"at is {text!r}", "Send 2025-03-01T12:00:00Z, say.") from error
        asked = asked.astimezone(UTC) if asked.tzinfo else asked.replace(tzinfo=UTC)
        if asked > now + timedelta(seconds=self._state.settings.clock_skew):
            raise Refused(422, f"at is {text}, which lies in the future", "Ask for now or the past.")
        return asked


def _reply(answered: Answered) -> dict[str, Any]:
    scored, model = answered.scored, answered.model
    value = scored.prediction.value.tolist()
    lower, upper = scored.prediction.lower, scored.prediction.upper
    predictions = []
    for row, prediction_id in enumerate(answered.ids):
        item: dict[str, Any] = {"prediction_id": prediction_id, "value": value[row]}
        if lower is not None and upper is not None:
            item["lower"], item["upper"] = float(lower[row]), float(upper[row])
        if row in scored.incomplete:
            item["incomplete"] = list(scored.incomplete[row])
        predictions.append(item)
    return {
        "model": model.name,
        "version": model.version,
        "digest": model.digest,
        "arm": answered.arm,
        "predictions": predictions,
        "request_id": answered.request_id,
    }
