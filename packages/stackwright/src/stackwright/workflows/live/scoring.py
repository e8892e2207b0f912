"""The scorer of a published model, as the command line, batch jobs and the server's workers make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackwright.assembly.model_part import is_data_service
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets import own_data
from stackwright.workflows.datasets.request_store import RequestStore
from stackwright.workflows.versions.champions import model_names
from stackwright.workflows.versions.resolving import refuse_lists
from stackwright_interfaces.errors import ModelError, ModelNotFound, UsageError
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.model import LoadedModel
from stackwright_serving.probe import probe
from stackwright_serving.scorer import Scorer

if TYPE_CHECKING:
    from stackwright.workflows.live.worker import Guard


def resolve(stack: Stack, ref: str | None) -> ModelVersion:
    """Return the version that a reference names; a name alone, or nothing, is the champion.

    Raises:
        ModelNotFound: there is none.
        UsageError: no model is named, and several are published.
    """
    parsed = ModelRef.parse(ref or _only(stack))
    if parsed.version is None and parsed.alias is None:
        parsed = ModelRef(parsed.name, alias=stack.champion)
    try:
        return stack.registry.resolve(parsed)
    except ModelNotFound as error:
        todo = error.todo or f"Run: stackwright train, then: stackwright promote {parsed.name}"
        raise ModelNotFound(error.where, error.found, todo) from error


def _only(stack: Stack) -> str:
    if stack.blueprint.models:
        return stack.model().name
    names = model_names(stack)
    if not names and stack.blueprint.recommenders:
        raise UsageError("--model", "the blueprint has recommenders alone", "Run: stackwright recommend")
    if len(names) != 1:
        todo = f"Name one of: {', '.join(names)}." if names else "Publish a model first."
        raise UsageError("--model", f"{len(names)} models are published", todo)
    return names[0]


def load(stack: Stack, version: ModelVersion, *, probed: bool = False, seconds: float = 60.0) -> LoadedModel:
    """Fetch and load a version.

    Args:
        probed: load it in a child process first.
        seconds: that the child process may take.

    Raises:
        ArtifactError: the folder is not what its manifest says.
    """
    folder = stack.registry.fetch(version)
    manifest = Manifest.read(folder)
    refuse_lists(version.ref, manifest)
    flavour = manifest.flavour
    if probed:
        factory, config = stack.format_alone(flavour)
        probe(folder, factory, project=stack.project.folder, timeout=seconds, config=config)
    return LoadedModel.published(version, folder, stack.model_format(flavour))


def scorer_of(stack: Stack, model: LoadedModel, guard: Guard | None = None) -> Scorer:
    """Return the scorer of a loaded model, over the stack's features where it has an online store.

    Args:
        guard: makes of the stack's features what the scorer reads.

    Raises:
        ModelError: a transform that it reads is other code now than when it learned.
    """
    _check_code(stack, model)
    if is_data_service(model.manifest.service):
        service = own_data.service_of(model.manifest)
        return Scorer(model, RequestStore(service), service=service)
    part = stack.blueprint.models.get(model.name)
    refuse = part is not None and part.missing == "refuse"
    if "online" not in stack.plan.choices and "feature_store" not in stack.plan.choices:
        return Scorer(model, None, refuse_missing=refuse)
    features = stack.features if guard is None else guard(stack.features, refuses_missing=refuse)
    return Scorer(model, features, refuse_missing=refuse)


def _check_code(stack: Stack, model: LoadedModel) -> None:
    services = {service.ref: service for service in stack.definitions.services}
    if model.manifest.service not in services:
        return
    applied = {step.name: step.code for step in services[model.manifest.service].transforms}
    for name, code in model.manifest.transforms.items():
        if applied.get(name) != code:
            found = f"transform {name!r} of {model.manifest.service!r} is other code now than when the model learned"
            raise ModelError(model.ref, found, "Restore it and run: stackwright apply; or train again.")


def scorer(stack: Stack, ref: str | None = None) -> Scorer:
    """Return the scorer of a published model."""
    return scorer_of(stack, load(stack, resolve(stack, ref)))
