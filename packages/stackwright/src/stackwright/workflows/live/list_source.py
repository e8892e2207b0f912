"""Where the recommenders of a server's workers come from: the champions in the registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stackwright.assembly.recommender_part import RecommenderPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.registry_source import Registered
from stackwright.workflows.recommending.loading import format_factory
from stackwright.workflows.versions.champions import recommender_names
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_serving.lists import ListOptions, LoadedLists, SessionReader
from stackwright_serving.probe import probe

if TYPE_CHECKING:
    from stackwright.workflows.live.worker import Guard


class ListsFromRegistry(Registered):
    """The champions of the blueprint's recommenders, each probed in a child process first.

    Args:
        guard: makes of the stack's features what sessions are read from.
        probe_seconds: seconds that a version may take to be loaded in the child process.
        stale: seconds since a version was published from which on its lists are flagged.
    """

    def __init__(self, stack: Stack, guard: Guard, *, probe_seconds: float, stale: float) -> None:
        super().__init__(stack, recommender_names, stack.project.state / "served_lists.json")
        self._guard = guard
        self._probe_seconds = probe_seconds
        self._stale = stale

    def open(self, version: ModelVersion) -> LoadedLists:
        """Probe, load and warm a version."""
        folder = self._stack.registry.fetch(version)
        return loaded(self._stack, version, folder, self._guard, probe_seconds=self._probe_seconds, stale=self._stale)


def loaded(
    stack: Stack, version: ModelVersion, folder: Path, guard: Guard, *, probe_seconds: float, stale: float
) -> LoadedLists:
    """Probe a version's folder in a child process, load it, and warm it with what the blueprint says of its lists.

    Raises:
        ArtifactError: it is damaged, or does not load in time.
        PredictionError: it does not answer.
    """
    manifest = Manifest.read(folder)
    factory = format_factory(stack, manifest.flavour)
    probe(folder, factory, project=stack.project.folder, timeout=probe_seconds)
    part = stack.blueprint.recommenders[version.name]
    options = ListOptions(usual=part.list.request(), stale=stale)
    session = _session(stack, part, guard)
    recommender = stack.recommender_format(manifest.flavour).load(folder, manifest)
    return LoadedLists.warmed(version, recommender, options, session)


def _session(stack: Stack, part: RecommenderPart, guard: Guard) -> SessionReader | None:
    if part.session is None:
        return None
    features = guard(stack.features, refuses_missing=True)
    return SessionReader(features, stack.service(part.session.service), part.session.feature)
