"""What each input added to an answer, over HTTP and of a loaded model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from stackwright_interfaces.errors import ModelError, PredictionError
from stackwright_interfaces.model import Contributions, Manifest, Predictor
from stackwright_serving.explaining import explain
from stackwright_serving.model import LoadedModel

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(world: Any) -> Ask:
    def ask(path: str, document: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            app = world.app()
            async with app.lifespan():
                transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://model") as made:
                    return await made.post(path, json=document)

        return asyncio.run(run())

    return ask


def test_contributions_base_and_ages_stand_beside_the_answer(ask: Ask, world: Any) -> None:
    answer = ask("/predict?explain=1", {"listing_id": "L1", "rooms": 4})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (item,) = body["predictions"]
    explanation = item["explanation"]
    assert explanation["contributions"] == {"area": 50_000.0, "rooms": 40.0, "kind": 0.0}
    assert list(explanation["contributions"]) == ["area", "rooms", "kind"], "the greatest first"
    assert explanation["base"] + sum(explanation["contributions"].values()) == explanation["raw"] == item["value"]
    assert explanation["ages"] == {"homes@1": 86_400.0}
    assert body["explained"] == {"link": "identity", "steps": []}
    assert len(world.sink.records) == 1, "it is logged as any other"


def test_a_row_whose_features_were_not_found_has_no_age(ask: Ask) -> None:
    rows = ask("/predict?explain=true", {"rows": [{"listing_id": "L9"}, {"listing_id": "L1"}]}).json()["predictions"]
    assert [row["explanation"]["ages"]["homes@1"] for row in rows] == [None, 86_400.0]


@pytest.mark.parametrize("query", ["", "?explain=0", "?explain=false"])
def test_without_being_asked_nothing_is_explained(ask: Ask, query: str) -> None:
    body = ask(f"/predict{query}", {"listing_id": "L1"}).json()
    assert "explained" not in body
    assert "explanation" not in body["predictions"][0]


def test_what_is_asked_unclearly_or_for_too_many_rows_is_refused(ask: Ask, world: Any) -> None:
    assert ask("/predict?explain=maybe", {"listing_id": "L1"}).status_code == 400
    world.settings = replace(world.settings, explain_rows=2)
    rows = {"rows": [{"listing_id": "L1"}] * 3}
    assert ask("/predict", rows).status_code == 200
    many = ask("/predict?explain=1", rows)
    assert (many.status_code, "Send at most 2" in many.json()["error"]) == (413, True)


class Silent(Predictor):
    """A model that tells nothing."""

    def predict(self, inputs: Any) -> Any:
        return np.ones(len(inputs))


def test_a_model_that_cannot_tell_is_answered_422_and_says_so(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, world: Any
) -> None:
    opened = world.source.open

    def open_silent(version: Any) -> Any:
        scorer, folder = opened(version)
        monkeypatch.setattr("stackwright_serving.golden.check", lambda _folder, _model: 0.0)
        scorer.model.predictor = Silent()
        return scorer, folder

    monkeypatch.setattr(world.source, "open", open_silent)
    answer = ask("/predict?explain=1", {"listing_id": "L1"})
    assert answer.status_code == 422
    assert "does not tell what its inputs add" in answer.json()["error"]
    assert ask("/predict", {"listing_id": "L1"}).status_code == 200


COLUMNS = {"area": np.array([50.0]), "kind": np.array(["flat"], dtype=object), "rooms": np.array([3.0])}


class Linked(Predictor):
    """A model whose answers follow from raw scores of 0.5 by a link."""

    def __init__(self, link: Any, answer: float) -> None:
        self.link, self.answer = link, answer

    def predict(self, inputs: Any) -> Any:
        return np.full(len(inputs), self.answer)

    def contributions(self, inputs: Any) -> Contributions:
        values = np.tile([0.1, 0.2, -0.3], (len(inputs), 1))
        return Contributions(values=values, base=np.full(len(inputs), 0.5), link=self.link)


@pytest.mark.parametrize(
    ("link", "answer"),
    [("identity", 0.5), ("exp", np.exp(0.5)), ("logistic", 1 / (1 + np.exp(-0.5))), ("square", 0.25)],
)
def test_links_lead_from_the_raw_score_to_the_models_number(model: LoadedModel, link: str, answer: float) -> None:
    found = explain(LoadedModel(model.manifest, Linked(link, answer)), COLUMNS)
    assert found.link == link
    assert np.allclose(found.raw, 0.5)


def test_what_does_not_add_up_is_not_told(model: LoadedModel) -> None:
    with pytest.raises(ModelError, match="is not what it predicts"):
        explain(LoadedModel(model.manifest, Linked("identity", 0.7)), COLUMNS)


def test_steps_after_the_model_are_named_and_values_that_must_be_there_are_asked_for(model: LoadedModel) -> None:
    document = model.manifest.to_json()
    document["postprocess"] = [{"op": "exp"}]
    document["signature"]["missing"] = {"kind": "refuse"}
    strict = LoadedModel(Manifest.from_json(document), model.predictor)
    assert explain(strict, COLUMNS).about() == {"link": "identity", "steps": [{"op": "exp"}]}
    with pytest.raises(PredictionError, match="kind is missing"):
        explain(strict, {**COLUMNS, "kind": np.array([None], dtype=object)})
