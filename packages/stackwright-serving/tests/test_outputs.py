"""A model with further outputs: every reply names them, and the row of a fallback has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from stackwright_interfaces.errors import ModelError
from stackwright_interfaces.model import Predictor
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_serving.model import LoadedModel
from stackwright_serving.scorer import Scorer

Ask = Callable[..., httpx.Response]


class Three(Predictor):
    """What a predictor says, its half and a tenth of it."""

    def __init__(self, inner: Predictor) -> None:
        self.inner = inner

    def predict(self, inputs: Any) -> Any:
        answer = self.inner.predict(inputs)
        return np.column_stack([answer, answer / 2, answer / 10])


def three(model: LoadedModel, *names: str, **parameters: Any) -> LoadedModel:
    further = tuple(Field(name, FLOAT64) for name in names or ("half", "tenth"))
    signature = replace(model.manifest.signature, outputs=(*model.manifest.signature.outputs, *further))
    manifest = replace(model.manifest, signature=signature, parameters=parameters)
    return LoadedModel(manifest, Three(model.predictor), name="valuation", version=1)


@pytest.fixture
def ask(world: Any) -> Ask:
    source, opened = world.source, world.source.open

    def open_three(version: Any) -> tuple[Scorer, Path]:
        scorer, folder = opened(version)
        return Scorer(three(scorer.model), source.homes), folder

    source.open = open_three

    def ask(method: str, path: str, document: Any = None) -> httpx.Response:
        async def run() -> httpx.Response:
            app = world.app()
            async with app.lifespan():
                transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
                    return await made.request(method, path, json=document)

        return asyncio.run(run())

    return ask


COLUMNS = {
    "area": np.array([50.0, 2.0]),
    "kind": np.array(["flat", "flat"], dtype=object),
    "rooms": np.array([0.0, 0.0]),
}


def test_further_outputs_stand_beside_the_first(model: LoadedModel) -> None:
    answer = three(model).predict(COLUMNS)
    assert answer.value.tolist() == [50_000.0, 2_000.0]
    assert {name: values.tolist() for name, values in answer.further.items()} == {
        "half": [25_000.0, 1_000.0],
        "tenth": [5_000.0, 200.0],
    }


def test_a_row_that_has_the_fallback_has_no_further_output(model: LoadedModel) -> None:
    answer = three(model, rules={"select": {"area": [10, 90]}, "fallback": 7.0}).predict(COLUMNS)
    assert answer.value.tolist() == [50_000.0, 7.0]
    assert np.isnan(answer.further["half"]).tolist() == [False, True]


def test_outputs_that_the_signature_does_not_name_are_an_error(model: LoadedModel) -> None:
    with pytest.raises(ModelError, match="it gave 3 outputs, its signature names 2"):
        three(model, "half").predict(COLUMNS)
    with pytest.raises(ModelError, match="it gave 3 outputs, its signature names 1"):
        LoadedModel(model.manifest, Three(model.predictor)).predict(COLUMNS)


def test_a_further_output_that_is_not_finite_is_an_error(model: LoadedModel) -> None:
    broken = three(model)
    broken.predictor.predict = lambda inputs: np.full((len(inputs), 3), [1.0, np.nan, 1.0])  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="row 0 got"):
        broken.predict(COLUMNS)


def test_every_protocol_answers_with_all_outputs(ask: Ask, world: Any) -> None:
    row = {"listing_id": "L1", "rooms": 0}
    (told,) = ask("POST", "/predict", row).json()["predictions"]
    assert told["outputs"] == {"half": told["value"] / 2, "tenth": told["value"] / 10}
    invoked = ask("POST", "/invocations", row).json()
    assert invoked["outputs"] == [told["outputs"]]
    names = [output["name"] for output in ask("GET", "/v2/models/valuation").json()["outputs"]]
    assert names == ["price", "price_lower", "price_upper", "half", "tenth"]
    tensors = [
        {"name": "area", "datatype": "FP64", "shape": [1], "data": [50.0]},
        {"name": "kind", "datatype": "BYTES", "shape": [1], "data": ["flat"]},
        {"name": "rooms", "datatype": "INT64", "shape": [1], "data": [0]},
    ]
    body = {"inputs": tensors, "outputs": [{"name": "tenth"}]}
    (output,) = ask("POST", "/v2/models/valuation/infer", body).json()["outputs"]
    assert (output["name"], output["data"]) == ("tenth", [5_000.0])
    assert world.sink.records[0].scored.prediction.further["half"].tolist() == [told["value"] / 2]
