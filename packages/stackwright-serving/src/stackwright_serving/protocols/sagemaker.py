"""``/ping`` and ``/invocations``, as Amazon SageMaker and MLflow ask containers of models.

A body is JSON (MLflow's forms, or ours as ``/predict`` takes it), JSON lines, CSV, Parquet or Arrow; the answer is
JSON, JSON lines or CSV, as ``Accept`` says. CSV has no header unless its first line names columns or the type says
``header=present``. In a batch transform (``SAGEMAKER_BATCH``) the answer has the form of the body by default, a line a
record, and as many records are taken as the body's limit allows.

See https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.message import Message
from importlib.metadata import version
from typing import Any, Final

import orjson

from stackwright_interfaces.types import Field
from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.json_input import InvalidJson, parse
from stackwright_serving.protocols import mlflow
from stackwright_serving.reads import Substitutes
from stackwright_serving.refused import Refused
from stackwright_serving.served import Served
from stackwright_serving.sink import Answered
from stackwright_serving.state import State
from stackwright_serving.tables import Table, fit, question

JSON: Final = "application/json"
LINES: Final = "application/jsonlines"
CSV: Final = "text/csv"
ANSWERS: Final = (JSON, LINES, CSV)
PLAIN: Final = b"text/plain; charset=utf-8"

_ALSO: Final = {
    "application/x-jsonlines": LINES,
    "application/jsonl": LINES,
    "application/x-ndjson": LINES,
    "application/ndjson": LINES,
    "application/csv": CSV,
}
_MODEL: Final = b"x-amzn-sagemaker-custom-attributes"
_MEGABYTE: Final = 1_000_000


class Invocations:
    """The endpoints.

    Args:
        batch: answer as batch transforms need it; without it what SageMaker says in the environment.
    """

    def __init__(self, state: State, *, batch: bool | None = None) -> None:
        self._state = state
        self._batch = os.environ.get("SAGEMAKER_BATCH", "").lower() == "true" if batch is None else batch

    async def ping(self, exchange: Exchange) -> Response:
        """``GET /ping`` and ``/health``: 200 where a model is served."""
        return Response(b"\n", 200 if self._state.ready(exchange) else 503, PLAIN)

    async def version(self, _exchange: Exchange) -> Response:
        """``GET /version``."""
        return Response(version("stackwright-serving").encode(), media_type=PLAIN)

    async def parameters(self, _exchange: Exchange) -> Response:
        """``GET /execution-parameters``: how a batch transform may ask."""
        size = max(1, self._state.settings.max_body // _MEGABYTE - 1)  # SageMaker's megabytes are larger
        workers = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS", "")
        concurrent = int(workers) if workers.isdecimal() and int(workers) else os.cpu_count() or 1
        return answer({"MaxConcurrentTransforms": concurrent, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": size})

    async def __call__(self, exchange: Exchange) -> Response:
        """``POST /invocations`` and ``/invocations/{model}``."""
        kind, parameters = _content(exchange)
        wanted = _accepted(exchange, kind if self._batch and kind in ANSWERS else JSON)
        served = self._state.host.served(exchange.model or _attribute(exchange))
        body = await exchange.body()
        form = (kind, parameters, wanted)
        return await self._state.run(exchange, self._answer, exchange, served, body, form, size=len(body), reads=True)

    def _answer(
        self, exchange: Exchange, served: Served, body: bytes, form: tuple[str, Mapping[str, str], str]
    ) -> Response:
        kind, parameters, wanted = form
        champion, limit = served.champion, self._state.settings.max_rows
        fields = champion.form.fields if champion.form else ()
        known = {*(field.name for field in fields), *champion.scorer.model.inputs}
        table = self._table(body, kind, parameters, known)
        if len(table.rows) > limit and not self._batch:
            raise Refused(413, f"{len(table.rows)} rows", f"Send at most {limit} a request.")
        tables = list(_parts(table, limit))
        chosen = served if len(tables) == 1 else Served(champion)  # so that one version answers all of them
        parts = [self._state.ask(chosen, question(self._state, fit(some, champion), exchange)) for some in tables]

        def note() -> None:
            for answered in parts:
                self._state.note(answered, served)

        return _answer(parts, wanted, exchange.id, note)

    def _table(self, body: bytes, kind: str, parameters: Mapping[str, str], known: set[str]) -> Table:
        depth = self._state.settings.max_depth
        match kind:
            case "application/json":
                return _json(parse(body, max_depth=depth))
            case "application/jsonlines":
                return _lines(body, depth)
            case "text/csv":
                return _csv(body, parameters, known)
            case _:
                return mlflow.read_bytes(body, kind, self._state.settings)


def _content(exchange: Exchange) -> tuple[str, Mapping[str, str]]:
    """Return the content type of a body, JSON where none is given, and its parameters."""
    kind, parameters = _media(exchange.header(b"content-type") or JSON)
    if kind.endswith("+json"):
        kind = JSON
    if kind not in (*ANSWERS, *mlflow.PARQUET, *mlflow.ARROW):
        known = (*ANSWERS, mlflow.PARQUET[0], mlflow.ARROW[0])
        raise Refused(415, f"the content type is {kind!r}", f"Send one of: {', '.join(known)}.")
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Refused(415, f"the charset is {charset!r}", "Send UTF-8.")
    return kind, parameters


def _media(text: str) -> tuple[str, dict[str, str]]:
    message = Message()
    message["content-type"] = text
    given = message.get_params() or []
    kind = text.partition(";")[0].strip().lower()
    return _ALSO.get(kind, kind), {name.lower(): value.strip().lower() for name, value in given[1:]}


def _accepted(exchange: Exchange, default: str) -> str:
    """Return the content type to answer with: the most wanted of those we have, of equal ones the first.

    Raises:
        Refused: none of those wanted (406).
    """
    text = exchange.header(b"accept")
    wanted: list[tuple[float, str]] = []
    for item in text.split(","):
        kind, parameters = _media(item)
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        if kind and weight > 0:
            wanted.append((weight, kind))
    for _, kind in sorted(wanted, key=lambda item: -item[0]):
        if kind in ("*/*", default) or (kind.endswith("/*") and default.startswith(kind[:-1])):
            return default
        found = next((known for known in ANSWERS if known == kind or _within(known, kind)), None)
        if found is not None:
            return found
    if not text.strip():
        return default
    raise Refused(406, f"Accept is {text[:100]!r}", f"Accept one of: {', '.join(ANSWERS)}.")


def _within(known: str, range_: str) -> bool:
    return range_.endswith("/*") and known.startswith(range_[:-1])


def _attribute(exchange: Exchange) -> str | None:
    """Return the model that a caller of SageMaker's runtime names: custom attributes are all it can send."""
    for item in exchange.header(_MODEL).split(","):
        name, _, value = item.partition("=")
        if name.strip().lower() == "model" and value.strip():
            return value.strip()
    return None


def _json(document: Any) -> Table:
    if isinstance(document, Mapping) and set(document) == {"rows"} and isinstance(document["rows"], list):
        return Table(document["rows"])
    if isinstance(document, Mapping) and not set(document) & {*mlflow.FORMS, "params"}:
        return Table([document])
    return mlflow.read_json(document)


def _lines(body: bytes, depth: int) -> Table:
    rows = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse(line, max_depth=depth)
        except InvalidJson as error:
            raise InvalidJson(f"line {number}", error.found, error.todo) from error
        if isinstance(row, dict) and set(row) == {"features"} and isinstance(row["features"], list):
            row = row["features"]
        if not isinstance(row, dict | list):
            raise InvalidJson(f"line {number}", "is neither an object nor a list", "Send a row a line.")
        rows.append(row)
    return Table(rows)


def _csv(body: bytes, parameters: Mapping[str, str], known: set[str]) -> Table:
    try:
        text = body.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8 at byte {error.start}", "Send UTF-8.") from error
    except csv.Error as error:
        raise Refused(400, f"the body is not CSV ({error})", "Send CSV as RFC 4180 has it.") from error
    header = parameters.get("header")
    if header not in (None, "present", "absent"):
        raise Refused(415, f"header is {header!r}", "Send header=present or header=absent.")
    if rows and (header == "present" or (header is None and set(rows[0]) <= known)):
        names, *rows = rows
        unknown = [name for name in names if name not in known]
        if unknown or len(set(names)) != len(names):
            found = f"unknown column {unknown[0]!r}" if unknown else "a column is named twice"
            raise Refused(422, found, f"Known: {', '.join(sorted(known))}.")
        return Table(rows, names, text=True)
    return Table(rows, text=True)


def _parts(table: Table, size: int) -> Iterable[Table]:
    for start in range(0, max(1, len(table.rows)), size):
        yield Table(table.rows[start : start + size], table.names, table.text)


def _answer(parts: list[Answered], wanted: str, request_id: str, after: Callable[[], None]) -> Response:
    rows = [row for answered in parts for row in _predictions(answered)]
    model = parts[0].model
    if wanted == CSV:
        lines = "".join(f"{row['value']!r}\n" for row in rows)
        return Response(lines.encode(), media_type=b"text/csv; charset=utf-8", after=after)
    if wanted == LINES:
        lines_of_json = b"".join(orjson.dumps(row) + b"\n" for row in rows)
        return Response(lines_of_json, media_type=LINES.encode(), after=after)
    document: dict[str, Any] = {
        "predictions": [row["value"] for row in rows],
        "prediction_ids": [row["prediction_id"] for row in rows],
        **{end: [row[end] for row in rows] for end in ("lower", "upper", "outputs") if rows and end in rows[0]},
        "incomplete": {str(place): row["incomplete"] for place, row in enumerate(rows) if "incomplete" in row},
        "model": model.name,
        "version": model.version,
        "digest": model.digest,
        "arm": parts[0].arm,
        "request_id": request_id,
    }
    if any(isinstance(answered.scored.features, Substitutes) for answered in parts):
        document["degraded"] = "feature store"
    return answer(document, after=after)


def _predictions(answered: Answered) -> Iterable[dict[str, Any]]:
    scored, prediction = answered.scored, answered.scored.prediction
    for place, prediction_id in enumerate(answered.ids):
        row: dict[str, Any] = {"prediction_id": prediction_id, "value": float(prediction.value[place])}
        if prediction.lower is not None and prediction.upper is not None:
            row["lower"], row["upper"] = float(prediction.lower[place]), float(prediction.upper[place])
        if prediction.further:
            row["outputs"] = {name: float(column[place]) for name, column in prediction.further.items()}
        if place in scored.incomplete:
            row["incomplete"] = list(scored.incomplete[place])
        yield row


def describe(predict: Mapping[str, Any], inputs: Sequence[Field]) -> dict[str, Any]:
    """Return the OpenAPI path item of ``/invocations``.

    Args:
        predict: the operation of ``/predict`` for the same model.
        inputs: the model's inputs.
    """
    ours: Any = predict["requestBody"]["content"][JSON]["schema"]
    row = ours["anyOf"][0]
    text, binary = {"type": "string"}, {"type": "string", "format": "binary"}
    bodies = {
        JSON: {"schema": {"anyOf": [mlflow.describe(row, inputs), *ours["anyOf"]]}},
        **{kind: {"schema": text} for kind in (LINES, CSV)},
        **{kind: {"schema": binary} for kind in (mlflow.PARQUET[0], mlflow.ARROW[0])},
    }
    document = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": {"type": "number"}}},
    }
    answers = {JSON: {"schema": document}, **{kind: {"schema": text} for kind in (LINES, CSV)}}
    responses = {
        **predict["responses"],
        "200": {"description": "Predictions", "content": answers},
        "406": {**predict["responses"]["415"], "description": "Cannot be answered so"},
    }
    summary = f"{predict['summary']} As MLflow and SageMaker ask."
    return {"post": {"summary": summary, "requestBody": {"required": True, "content": bodies}, "responses": responses}}
