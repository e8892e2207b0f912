"""The playground: a prediction by keys, explained; of a recommender, a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.live.predict import predict
from stackwright.workflows.live.scoring import scorer
from stackwright.workflows.outcome import Table
from stackwright.workflows.versions.champions import trained_names
from stackwright_console.desk import Desk
from stackwright_console.page import Asked, Field, Form, Page, Section, to
from stackwright_console.pages.lists import asked_for_list
from stackwright_interfaces.errors import PredictionError
from stackwright_interfaces.model import ModelRef
from stackwright_models import charts

_PREFIX = "field."
_DRAWN = 15


def playground(stack: Stack, _desk: Desk, asked: Asked) -> Page:
    """Return the fields that a model asks for, and its answer where they are filled."""
    names = trained_names(stack)
    model = asked.get("model", "") or next(iter(names), "")
    lead = "A prediction by the model that is live, and what each input added to it. Nothing is logged."
    choose = Section("Model", forms=(Form(to("playground"), "Choose", (Field("model", "Model", model, names),)),))
    if not model:
        return Page(title="Playground", here="Playground", lead="The blueprint has no model.")
    if ModelRef.parse(model).name in stack.blueprint.recommenders:
        sections = (choose, *asked_for_list(stack, model, asked))
        lead = "A list by the recommender that is live. Nothing is left to chance, and nothing is logged."
        return Page(title="Playground", here="Playground", lead=lead, sections=sections)
    used = scorer(stack, model)
    service = used.service or stack.service(used.model.manifest.service)
    fields = [
        Field(f"{_PREFIX}{field.name}", field.name, asked.get(f"{_PREFIX}{field.name}", ""), hint=str(field.type),
              required=not field.has_default)
        for field in (*service.request_keys, *service.request)
    ]  # fmt: skip
    form = Form(to("playground"), "Predict", fields, posted=True, hidden={"model": model})
    given = {field.label: field.value for field in fields if field.value}
    answer = _answer(stack, model, given) if given else ()
    found = (choose, Section(f"Ask {used.model.ref}", forms=(form,)), *answer)
    return Page(title="Playground", here="Playground", lead=lead, sections=found)


def _answer(stack: Stack, model: str, given: Mapping[str, str]) -> tuple[Section, ...]:
    try:
        outcome = predict(stack, given, model=model, explain=True)
    except PredictionError:  # a model that cannot explain itself still predicts
        outcome = predict(stack, given, model=model)
    return (
        Section("Answer", lines=(outcome.title, *outcome.notes), pictures=_contributions(outcome.data)),
        Section("Inputs", tables=outcome.tables),
    )


def _contributions(data: Mapping[str, Any]) -> tuple[str, ...]:
    explained = data.get("explanation")
    if not explained:
        return ()
    largest = sorted(explained["contributions"].items(), key=lambda item: -abs(item[1]))[:_DRAWN]
    values = data.get("features", {})
    entries = [(name, float(added), f"({Table(('',), [(values.get(name),)]).rows[0][0]})") for name, added in largest]
    return (charts.bars("What each input added", f"The {len(entries)} largest.", entries),)
