"""Published recommenders: which version a reference names, and loading it."""

from __future__ import annotations

from stackwright.assembly.plan import SLOTS
from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import ModelError, ModelNotFound
from stackwright_interfaces.model import Manifest, ModelRef
from stackwright_interfaces.recommender import TASK, Recommender
from stackwright_interfaces.registry import ModelVersion


def resolve(stack: Stack, ref: str | None = None) -> ModelVersion:
    """Return the version that a reference names; a name alone, or nothing, is the champion.

    Raises:
        BlueprintError: nothing is named, and the blueprint has not one recommender.
        ModelNotFound: there is no such version.
    """
    parsed = ModelRef.parse(ref) if ref else ModelRef(stack.recommender().name)
    if parsed.version is None and parsed.alias is None:
        parsed = ModelRef(parsed.name, alias=stack.champion)
    try:
        return stack.registry.resolve(parsed)
    except ModelNotFound as error:
        todo = error.todo or f"Run: stackwright train {parsed.name}, then: stackwright promote {parsed.name}"
        raise ModelNotFound(error.where, error.found, todo) from error


def load(stack: Stack, version: ModelVersion, *, threads: int = 1) -> tuple[Manifest, Recommender]:
    """Fetch a version, verify its files, and load it.

    Raises:
        ArtifactError: the folder is not what its manifest says, or damaged.
        ModelError: it is no recommender.
        AdapterNotInstalled: no installed distribution reads its flavour.
    """
    folder = stack.registry.fetch(version)
    manifest = Manifest.read(folder)
    if manifest.task != TASK:
        todo = f"Run: stackwright predict --model {version.ref}"
        raise ModelError(version.ref, f"is a model of {manifest.task or 'another task'}, no recommender", todo)
    return manifest, stack.recommender_format(manifest.flavour).load(folder, manifest, threads=threads)


def format_factory(stack: Stack, flavour: str) -> str:
    """Return ``module:callable`` of the format of a flavour, for a probe in a process of its own.

    Raises:
        AdapterNotInstalled: no installed distribution reads it.
    """
    where = f"recommender flavour {flavour!r}"
    return stack.plugins.adapter(where, flavour, SLOTS["recommender_format"]).factory
