"""Open Inference Protocol v2 in JSON: the model's inputs in, its outputs out; no feature is looked up.

Each input is a tensor of shape ``[n]`` or ``[n, 1]``; all inputs of the model are needed, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from starlette.responses import Response

from stackwright_interfaces.types import Field, Kind
from stackwright_serving.exchange import Exchange, Refused, answer
from stackwright_serving.model import Prediction
from stackwright_serving.served import Loaded, Served
from stackwright_serving.state import Question, State
from stackwright_serving.values import InvalidValue, check_value

_DATATYPES: Final = {Kind.BOOL: "BOOL", Kind.INT64: "INT64", Kind.FLOAT64: "FP64", Kind.STRING: "BYTES"}
_ACCEPTED: Final = {
    Kind.BOOL: {"BOOL"},
    Kind.INT64: {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"},
    Kind.FLOAT64: {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"},
    Kind.STRING: {"BYTES"},
}


class InferenceV2:
    """The endpoints."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def server(self, _exchange: Exchange) -> Response:
        """``GET /v2``."""
        return answer({"name": "stackwright", "version": "2", "extensions": []})

    async def metadata(self, exchange: Exchange) -> Response:
        """``GET /v2/models/{model}``."""
        served = self._served(exchange)
        model = _chosen_version(served, exchange).scorer.model
        inputs = [
            {"name": field.name, "datatype": _DATATYPES[field.type.kind], "shape": [-1]}
            for field in model.manifest.signature.inputs
        ]
        names = _output_names(model.manifest.signature.outputs[0], intervals=model.manifest.intervals is not None)
        outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
        document = {
            "name": model.name,
            "versions": [str(loaded.version.version) for loaded in served.loaded()],
            "platform": f"stackwright_{model.manifest.flavour}",
        }
        return answer({**document, "inputs": inputs, "outputs": outputs})

    async def ready(self, exchange: Exchange) -> Response:
        """``GET /v2/models/{model}/ready``."""
        return answer({"name": _chosen_version(self._served(exchange), exchange).version.name, "ready": True})

    async def infer(self, exchange: Exchange) -> Response:
        """``POST /v2/models/{model}/infer``."""
        served = self._served(exchange)
        loaded = _chosen_version(served, exchange)
        model = loaded.scorer.model
        body = await exchange.json()
        if not isinstance(body, Mapping):
            raise Refused(400, "the body is no object", 'Send {"inputs": [...]}.')
        columns = self._columns(body.get("inputs"), model.manifest.signature.inputs)
        now = self._state.clock()
        count = len(next(iter(columns.values()), ()))
        question = Question(inputs=columns, count=count, asked=now, now=now, request_id=exchange.id)
        answered = self._state.answer(loaded, question)
        scored = answered.scored
        self._state.note(answered, served)
        document: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
        if "id" in body:
            document["id"] = str(body["id"])
        if scored.incomplete:
            rows = (f"{row}: {', '.join(names)}" for row, names in scored.incomplete.items())
            document["parameters"] = {"incomplete": "; ".join(rows)}
        outputs = _outputs(scored.prediction, model.manifest.signature.outputs[0])
        return answer({**document, "outputs": _chosen(outputs, body.get("outputs"))})

    def _served(self, exchange: Exchange) -> Served:
        return self._state.host.served(exchange.request.path_params["model"])

    def _columns(self, tensors: Any, fields: Sequence[Field]) -> dict[str, Any]:
        if not isinstance(tensors, list) or not all(isinstance(tensor, Mapping) for tensor in tensors):
            raise Refused(400, "inputs is no list of tensors", 'Send {"inputs": [{"name": ..., "shape": ..., ...}]}.')
        names = [tensor.get("name") for tensor in tensors]
        known = {field.name: field for field in fields}
        missing = [name for name in known if name not in names]
        extra = [str(name) for name in names if name not in known or names.count(name) > 1]
        if missing or extra:
            found = "; ".join(
                [
                    *([f"missing inputs: {', '.join(missing)}"] if missing else []),
                    *([f"unknown or doubled: {', '.join(extra)}"] if extra else []),
                ]
            )
            raise Refused(422, found, f"The model takes: {', '.join(known)}.")
        columns = {tensor["name"]: self._column(tensor, known[tensor["name"]]) for tensor in tensors}
        if len({len(column) for column in columns.values()}) > 1:
            raise Refused(400, "the inputs have different numbers of rows", "Send one value a row in each.")
        return columns

    def _column(self, tensor: Mapping[str, Any], field: Field) -> Any:
        where = f"input {field.name!r}"
        datatype = tensor.get("datatype")
        if datatype not in _ACCEPTED[field.type.kind]:
            raise InvalidValue(where, f"datatype is {datatype!r}", f"Send {_DATATYPES[field.type.kind]}.")
        data, shape = _flat(tensor.get("data")), tensor.get("shape")
        if not isinstance(shape, list) or not all(
            isinstance(size, int) and not isinstance(size, bool) for size in shape
        ):
            raise Refused(400, f"{where}: shape is {shape!r}", "Send [n].")
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or shape[0] != len(data):
            raise Refused(400, f"{where}: shape {shape} does not fit {len(data)} values", "Send [n] with n values.")
        if len(data) > self._state.settings.max_rows:
            raise Refused(413, f"{len(data)} rows", f"Send at most {self._state.settings.max_rows} a request.")
        values = [
            None if value is None else check_value(value, field, f"{where} row {row}") for row, value in enumerate(data)
        ]
        return _model_column(values, field)


def _chosen_version(served: Served, exchange: Exchange) -> Loaded:
    """Return the version that the path names, the champion where it names none."""
    number = exchange.request.path_params.get("version")
    return served.champion if number is None else served.version(number)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise Refused(400, "data is no list", "Send a list of values.")
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        return [item[0] for item in data]
    return data


def _model_column(values: list[Any], field: Field) -> Any:
    if field.type.kind is Kind.STRING:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _output_names(output: Field, *, intervals: bool) -> list[str]:
    return [output.name, *([f"{output.name}_lower", f"{output.name}_upper"] if intervals else [])]


def _outputs(prediction: Prediction, output: Field) -> list[dict[str, Any]]:
    columns = [prediction.value]
    if prediction.lower is not None and prediction.upper is not None:
        columns += [prediction.lower, prediction.upper]
    names = _output_names(output, intervals=len(columns) > 1)
    return [
        {"name": name, "datatype": "FP64", "shape": [len(column)], "data": column.tolist()}
        for name, column in zip(names, columns, strict=True)
    ]


def _chosen(outputs: list[dict[str, Any]], wanted: Any) -> list[dict[str, Any]]:
    if wanted is None:
        return outputs
    by_name = {output["name"]: output for output in outputs}
    if not isinstance(wanted, list) or not all(
        isinstance(item, Mapping) and item.get("name") in by_name for item in wanted
    ):
        raise Refused(400, "outputs names what the model does not give", f"It gives: {', '.join(by_name)}.")
    return [by_name[item["name"]] for item in wanted]
