"""The scorer of a published model, as the command line, batch jobs and the server's workers make it."""

from __future__ import annotations

from stackwright.assembly.model_part import is_data_service
from stackwright.assembly.stack import Stack
from stackwright.workflows.datasets import own_data
from stackwright.workflows.datasets.request_store import RequestStore
from stackwright_interfaces.errors import ModelError, ModelNotFound, UsageError
from stackwright_interfaces.model import Manifest, ModelFormat, ModelRef
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.model import LoadedModel
from stackwright_serving.probe import probe
from stackwright_serving.scorer import Scorer


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


def model_names(stack: Stack) -> list[str]:
    """Return the models of the blueprint; of a blueprint that names none, all that are published."""
    return list(stack.blueprint.models) or sorted({version.name for version in stack.registry.history()[0]})


def _only(stack: Stack) -> str:
    if stack.blueprint.models:
        return stack.model().name
    names = model_names(stack)
    if len(names) != 1:
        todo = f"Name one of: {', '.join(names)}." if names else "Publish a model first."
        raise UsageError("--model", f"{len(names)} models are published", todo)
    return names[0]


def load(stack: Stack, version: ModelVersion, *, probed: bool = False) -> LoadedModel:
    """Fetch and load a version.

    Args:
        probed: load it in a child process first.

    Raises:
        ArtifactError: the folder is not what its manifest says.
    """
    folder = stack.registry.fetch(version)
    flavour = Manifest.read(folder).flavour
    if probed:
        probe(folder, stack.plugins.adapter(version.ref, flavour, ModelFormat).factory, project=stack.project.folder)
    return LoadedModel.published(version, folder, stack.model_format(flavour))


def scorer_of(stack: Stack, model: LoadedModel) -> Scorer:
    """Return the scorer of a loaded model, over the stack's features where it has an online store.

    Raises:
        ModelError: a transform that it reads is other code now than when it learned.
    """
    _check_code(stack, model)
    if is_data_service(model.manifest.service):
        service = own_data.service_of(model.manifest)
        return Scorer(model, RequestStore(service), service=service)
    part = stack.blueprint.models.get(model.name)
    refuse = part is not None and part.missing == "refuse"
    reads = "online" in stack.plan.choices or "feature_store" in stack.plan.choices
    return Scorer(model, stack.features if reads else None, refuse_missing=refuse)


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
