"""Open Inference Protocol v2: the model's inputs in, its outputs out; no feature is looked up.

Each input is a tensor of shape ``[n]`` or ``[n, 1]``; all inputs of the model are needed, in any order. Tensors are
sent in JSON or as bytes behind it, and answered so too where that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from stackwright_interfaces.types import Field
from stackwright_serving.arms import CANARY, LIVE
from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.model import Prediction
from stackwright_serving.protocols.tensors import DATATYPES, LENGTH, Tensors, packed, split
from stackwright_serving.refused import Refused
from stackwright_serving.served import Loaded, Served
from stackwright_serving.state import Question, State

_KINDS: Final = ("application/json", "application/octet-stream")


class InferenceV2:
    """The endpoints."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def server(self, _exchange: Exchange) -> Response:
        """``GET /v2``."""
        return answer({"name": "stackwright", "version": "2", "extensions": ["binary_tensor_data"]})

    async def metadata(self, exchange: Exchange) -> Response:
        """``GET /v2/models/{model}``."""
        served = self._state.host.served(exchange.model)
        model = _chosen_version(served, exchange).scorer.model
        inputs = [
            {"name": field.name, "datatype": DATATYPES[field.type.kind], "shape": [-1]}
            for field in model.manifest.signature.inputs
        ]
        output, *further = model.manifest.signature.outputs
        names = _output_names(output, intervals=model.manifest.intervals is not None)
        names += [field.name for field in further]
        outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
        document = {
            "name": model.name,
            "versions": [str(loaded.version.version) for loaded in served.loaded()],
            "platform": f"stackwright_{model.manifest.flavour}",
        }
        return answer({**document, "inputs": inputs, "outputs": outputs})

    async def ready(self, exchange: Exchange) -> Response:
        """``GET /v2/models/{model}/ready``."""
        served = self._state.host.served(exchange.model)
        return answer({"name": _chosen_version(served, exchange).version.name, "ready": True})

    async def infer(self, exchange: Exchange) -> Response:
        """``POST /v2/models/{model}/infer``."""
        served = self._state.host.served(exchange.model)
        loaded = _chosen_version(served, exchange)
        exchange.check_json(_KINDS)
        body = await exchange.body()
        return await self._state.run(exchange, self._infer, exchange, served, loaded, body, size=len(body))

    def _infer(self, exchange: Exchange, served: Served, loaded: Loaded, body: bytes) -> Response:
        text, tail = split(body, exchange.header(LENGTH))
        asked = exchange.document(text)
        _check_form(asked)
        model = loaded.scorer.model
        tensors = Tensors(model.manifest.signature.inputs, self._state.settings.max_rows)
        columns = tensors.columns(asked.get("inputs"), tail)
        now = self._state.clock()
        count = len(next(iter(columns.values()), ()))
        ids = [exchange.id] * count
        question = Question(inputs=columns, count=count, asked=now, now=now, request_ids=ids, test=exchange.test)
        arm = LIVE if loaded is served.champion else CANARY
        answered = self._state.answer(loaded, question, arm=arm)
        scored = answered.scored
        document: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
        if "id" in asked:
            document["id"] = asked["id"]
        if scored.incomplete:
            rows = (f"{row}: {', '.join(names)}" for row, names in scored.incomplete.items())
            document["parameters"] = {"incomplete": "; ".join(rows)}
        outputs = _chosen(_outputs(scored.prediction, model.manifest.signature.outputs[0]), asked)
        return packed(document, outputs, after=partial(self._state.note, answered, served))


def _chosen_version(served: Served, exchange: Exchange) -> Loaded:
    """Return the version that the path names, the champion where it names none."""
    return served.champion if exchange.version is None else served.version(exchange.version)


def _check_form(asked: Any) -> None:
    if not isinstance(asked, Mapping):
        raise Refused(400, "the body is no object", 'Send {"inputs": [...]}.')
    if not isinstance(asked.get("id", ""), str):
        raise Refused(400, "id is no text", "Send a text, or leave it out.")
    if not isinstance(asked.get("parameters", {}), Mapping):
        raise Refused(400, "parameters is no object", "Send an object, or leave it out.")


def _output_names(output: Field, *, intervals: bool) -> list[str]:
    return [output.name, *([f"{output.name}_lower", f"{output.name}_upper"] if intervals else [])]


def _outputs(prediction: Prediction, output: Field) -> dict[str, Any]:
    """Return name → float64 array."""
    columns = [prediction.value]
    if prediction.lower is not None and prediction.upper is not None:
        columns += [prediction.lower, prediction.upper]
    found = dict(zip(_output_names(output, intervals=len(columns) > 1), columns, strict=True))
    return {**found, **prediction.further}


def _chosen(outputs: Mapping[str, Any], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs that are asked for, as bytes where that is asked for."""
    all_binary = asked.get("parameters", {}).get("binary_data_output") is True
    wanted = asked.get("outputs")
    if wanted is None:
        return [_tensor(name, column, binary=all_binary) for name, column in outputs.items()]
    if not isinstance(wanted, list) or not all(
        isinstance(item, Mapping)
        and isinstance(item.get("name"), str)
        and item["name"] in outputs
        and isinstance(item.get("parameters", {}), Mapping)
        for item in wanted
    ):
        raise Refused(400, "outputs names what the model does not give", f"It gives: {', '.join(outputs)}.")
    return [
        _tensor(
            item["name"],
            outputs[item["name"]],
            binary=item.get("parameters", {}).get("binary_data", all_binary) is True,
        )
        for item in wanted
    ]


def _tensor(name: str, column: Any, *, binary: bool) -> dict[str, Any]:
    data = column.astype("<f8").tobytes() if binary else column.tolist()
    return {"name": name, "datatype": "FP64", "shape": [len(column)], "data": data}
