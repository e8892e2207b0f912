"""A stack: the chosen parts, each built when it is first asked for, all closed in reverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stackwright.assembly import blueprint as blueprints
from stackwright.assembly import isolation
from stackwright.assembly.blueprint import Blueprint, ModelPart, Part, RecommenderPart, Trained
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.isolation import Isolation
from stackwright.assembly.making import make
from stackwright.assembly.plan import SLOTS, Choice, Plan, plan
from stackwright.assembly.project import Project
from stackwright_interfaces.compute import Inline
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.errors import BlueprintError, UnknownName, did_you_mean
from stackwright_interfaces.plugin import AdapterSpec, Context, Progress

if TYPE_CHECKING:
    from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineStore
    from stackwright_interfaces.model import ModelFormat
    from stackwright_interfaces.monitor import Monitor
    from stackwright_interfaces.recommender import RecommenderFormat, RecommenderTrainer
    from stackwright_interfaces.registry import Registry
    from stackwright_interfaces.server import Server
    from stackwright_interfaces.streams import StreamSource
    from stackwright_interfaces.trainer import Trainer

T = TypeVar("T")


def _chosen(parts: Mapping[str, T], name: str | None, *kinds: str) -> T:
    """Return the part of a name; the only one where no name is given. It is of one of some kinds."""
    if name is None and len(parts) == 1:
        return next(iter(parts.values()))
    if name is not None and name in parts:
        return parts[name]
    known = f"Defined: {', '.join(sorted(parts)) or 'none'}."
    where = f"{blueprints.FILE} {', '.join(f'[{kind}s]' for kind in kinds)}"
    if name is None:
        several = " and ".join(f"{kind}s" for kind in kinds)
        raise BlueprintError(where, f"{len(parts)} {several} are defined", f"Name one of them. {known}")
    near = did_you_mean(name, parts) or "Name one of them."
    raise BlueprintError(where, f"no {' or '.join(kinds)} {name!r}", f"{near} {known}")


def _silent(_what: str, _done: int, _total: int) -> None:
    return None


class Stack:
    """The parts of a project.

    Args:
        folder: the project folder.
        env: the environment to lay over the blueprint; ``None`` takes that of ``STACKWRIGHT_ENV``, or none.
        read_only: open the online store through a reader handle, as a server worker does.
        plugins: the installed plugins.
        progress: told about long work.
        clock: the present, in UTC.
        make: make the environments of isolated parts that are not there yet.

    Attributes:
        implied: definitions that nobody wrote: of models that learn from rows of their own.
    """

    def __init__(
        self,
        folder: Path | str = ".",
        *,
        env: str | None = None,
        read_only: bool = False,
        plugins: Plugins | None = None,
        progress: Progress = _silent,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        make: bool = True,
    ) -> None:
        self.project = Project.find(Path(folder), env)
        self.plugins = plugins or Plugins()
        self.progress = progress
        self.clock = clock
        self.isolation = Isolation(self.project, make=make, progress=progress)
        self._read_only = read_only
        self.implied = Definitions()
        self._open = ExitStack()

    @cached_property
    def definitions(self) -> Definitions:
        """The definitions in force."""
        return self.project.definitions()

    @cached_property
    def blueprint(self) -> Blueprint:
        """The blueprint, with the environment laid over it."""
        found = blueprints.read(self.project.blueprint, self.project.env)
        self.plugins.order = found.hooks.order
        return found

    @property
    def champion(self) -> str:
        """The alias that says which version of a model this environment runs."""
        return self.blueprint.deploy.alias

    def override(self, slot: str, **given: Any) -> None:
        """Set options of a part over those of the blueprint; before anything is built.

        Raises:
            BlueprintError: the slot is empty.
        """
        part: Part | None = getattr(self.blueprint, slot)
        if part is None:
            raise self._absent(slot, f'Add [{slot}] with adapter = "..."')
        changed = replace(part, options={**part.options, **given})
        parts: dict[str, Any] = {slot: changed}
        self.__dict__["blueprint"] = replace(self.blueprint, **parts)

    def other(self, blueprint: Blueprint, cache: Path, clock: Callable[[], datetime] | None = None) -> Stack:
        """Return a stack of the same project and plugins by another blueprint; whoever asks closes it.

        Args:
            cache: a folder for it alone, so that what one stack fetched is not taken for what the other holds.
            clock: the present; without it, that of this stack.
        """
        stack = Stack(
            self.project.folder,
            env=self.project.env,
            plugins=self.plugins,
            progress=self.progress,
            clock=clock or self.clock,
        )
        stack.__dict__["blueprint"] = blueprint
        stack.__dict__["context"] = replace(stack.context, cache=cache)
        return stack

    @cached_property
    def plan(self) -> Plan:
        """The blueprint, checked.

        Raises:
            BlueprintProblems: all that is wrong with it.
        """
        return plan(self.blueprint, self.plugins, self.definitions, self.isolation)

    def plan_for(self, definitions: Definitions) -> Plan:
        """Check the blueprint against definitions that are about to come into force.

        Raises:
            BlueprintProblems: all that is wrong with it.
        """
        self.__dict__["plan"] = plan(self.blueprint, self.plugins, definitions, self.isolation)
        return self.plan

    @cached_property
    def context(self) -> Context:
        """What adapters get beside their configuration."""
        from stackwright_storage import open_storage

        self.project.cache.mkdir(parents=True, exist_ok=True)
        return Context(
            project=self.project.folder,
            cache=self.project.cache,
            storage=lambda url: open_storage(self.url(url)),
            clock=self.clock,
            progress=self.progress,
            executor=lambda: self.executor,
        )

    def url(self, text: str) -> str:
        """Return a URL as it stands, a path resolved against the project."""
        return text if "://" in text or text.startswith("file:") else self.path(text)

    def path(self, text: str) -> str:
        """Return a path of the blueprint, resolved against the project."""
        return str(self.project.folder / Path(text).expanduser())

    @cached_property
    def features(self) -> FeatureStore:
        """The feature store: the whole one that is named, or the halves composed."""
        return self.store_of(self.definitions)

    def store_of(self, definitions: Definitions) -> FeatureStore:
        """Return a feature store with these definitions in force.

        Raises:
            BlueprintError: the slot is empty.
        """
        if "feature_store" in self.plan.choices:
            whole: FeatureStore = self._part("feature_store")
            whole.apply(definitions)
            return whole
        from stackwright_features.store import ComposedFeatureStore

        offline = None if self._read_only else self.offline
        online = self.online
        if offline is None and online is None:
            raise self._absent("feature_store", "Add [feature_store] with an offline and an online part.")
        store: FeatureStore = ComposedFeatureStore(
            offline, online, definitions=definitions, project=self.project.folder, clock=self.clock
        )
        return self._hold(store)

    @cached_property
    def offline(self) -> OfflineStore | None:
        """The offline half; ``None`` where the slot is empty."""
        offline: OfflineStore | None = self._part("offline") if "offline" in self.plan.choices else None
        return offline

    @cached_property
    def online(self) -> OnlineStore | None:
        """The online half, through a reader where the stack only reads; ``None`` where the slot is empty."""
        if "online" not in self.plan.choices:
            return None
        part = self._part("online")
        online: OnlineStore = self._hold(part.reader()) if self._read_only else part
        return online

    @cached_property
    def registry(self) -> Registry:
        """The registry."""
        registry: Registry = self._part("registry")
        return registry

    @cached_property
    def executor(self) -> Executor:
        """Where fits run: what the compute slot holds, or this thread."""
        if "compute" not in self.plan.choices:
            return Inline()
        executor: Executor = self._part("compute")
        return executor

    @cached_property
    def server(self) -> Server:
        """The server."""
        server: Server = self._part("server")
        return server

    def stream(self, name: str) -> StreamSource:
        """Return a stream of the blueprint, opened anew; whoever asks closes it."""
        source: StreamSource = self._make(self.plan.choices[f"stream:{name}"])
        return source

    def model(self, name: str | None = None) -> ModelPart:
        """Return a model of the blueprint; the only one where no name is given.

        Raises:
            BlueprintError: there is none of this name, or none can be chosen.
        """
        recommenders = self.blueprint.recommenders
        if name in recommenders or (name is None and recommenders and not self.blueprint.models):
            where, todo = f"{blueprints.FILE} [recommenders]", "For lists run: stackwright recommend, report or watch."
            raise BlueprintError(
                where, f"{name or next(iter(recommenders))} is a recommender, and predicts no rows", todo
            )
        return _chosen(self.blueprint.models, name, "model")

    def trained(self, name: str | None = None) -> Trained:
        """Return a model or a recommender of the blueprint; the only one where no name is given.

        Raises:
            BlueprintError: there is none of this name, or none can be chosen.
        """
        blueprint = self.blueprint
        if name in blueprint.models or not blueprint.recommenders:
            return self.model(name)
        if name in blueprint.recommenders or (name is None and not blueprint.models):
            return self.recommender(name)
        return _chosen(blueprint.trained, name, *(["model"] if blueprint.models else []), "recommender")

    def recommender(self, name: str | None = None) -> RecommenderPart:
        """Return a recommender of the blueprint; the only one where no name is given.

        Raises:
            BlueprintError: there is none of this name, or none can be chosen.
        """
        return _chosen(self.blueprint.recommenders, name, "recommender")

    def recommender_trainer(self, part: RecommenderPart) -> RecommenderTrainer:
        """Return the trainer that a recommender's settings name: those of the blueprint, or those it had once."""
        planned = self.plan.choices.get(f"recommender:{part.name}")
        if planned is None or planned.part != part.trainer:
            spec = self.plugins.adapter(part.trainer.where, part.trainer.adapter, SLOTS["recommender"])
            planned = Choice(part.trainer, spec)
        trainer: RecommenderTrainer = self.build(planned)
        return trainer

    def recommender_format(self, flavour: str) -> RecommenderFormat:
        """Return the format of a flavour of recommenders.

        Raises:
            AdapterNotInstalled: no installed distribution reads it.
        """
        found: RecommenderFormat = self._named(f"recommender flavour {flavour!r}", flavour, "recommender_format")
        return found

    def trainer(self, model: ModelPart) -> Trainer:
        """Return the trainer that a model's settings name: those of the blueprint, or those it had once."""
        planned = self.plan.choices.get(f"trainer:{model.name}")
        if planned is not None and planned.part == model.trainer:
            trainer: Trainer = self.build(planned)
            return trainer
        if model.trainer.isolated is None:
            spec = self.plugins.adapter(model.trainer.where, model.trainer.adapter, SLOTS["trainer"])
        else:
            spec = self.isolation.adapter(f"trainer:{model.name}", model.trainer, SLOTS["trainer"])
        other: Trainer = self.build(Choice(model.trainer, spec))
        return other

    def trainer_named(self, adapter: str) -> Trainer:
        """Return the trainer of an adapter, with its default options, whatever the blueprint names.

        Raises:
            AdapterNotInstalled: no installed distribution provides it.
        """
        found: Trainer = self._named(f"trainer {adapter!r}", adapter, "trainer")
        return found

    def server_named(self, adapter: str) -> Server:
        """Return the server of an adapter: as the blueprint has it where it names that one, else as it is by itself.

        Raises:
            AdapterNotInstalled: no installed distribution provides it.
        """
        part = self.blueprint.server
        if part is not None and part.adapter == adapter:
            return self.server
        found: Server = self._named(f"server {adapter!r}", adapter, "server")
        return found

    def reporters(self) -> dict[str, Monitor]:
        """Return the reporters by adapter name, in the blueprint's order."""
        return {part.adapter: self._part(f"monitor:{part.adapter}") for part in self.blueprint.monitor.reports}

    def model_format(self, flavour: str) -> ModelFormat:
        """Return the format of a flavour, whatever trainer the blueprint names.

        A flavour that the environment of an isolated trainer can load is loaded there: by what wrote it.

        Raises:
            AdapterNotInstalled: no installed distribution reads it.
        """
        found: ModelFormat = self.build(Choice(Part(f"model flavour {flavour!r}", flavour), self._format(flavour)))
        return found

    def format_alone(self, flavour: str) -> tuple[str, str | None]:
        """Return what loads a flavour in another process: a factory, and its configuration if it has one, as text.

        Raises:
            AdapterNotInstalled: no installed distribution reads it.
        """
        spec = self._format(flavour)
        if spec.factory != isolation.FACTORY:
            return spec.factory, None
        return isolation.FACTORY_FROM_TEXT, spec.config().to_text()

    def _format(self, flavour: str) -> AdapterSpec:
        for slot, choice in self.plan.choices.items():
            if slot.startswith("trainer:") and choice.part.isolated is not None:
                spec = self.isolation.offered(slot, choice.part, SLOTS["model_format"], flavour)
                if spec is not None:
                    return spec
        return self.plugins.adapter(f"model flavour {flavour!r}", flavour, SLOTS["model_format"])

    def service(self, ref: str) -> Any:
        """Return an applied service.

        Raises:
            UnknownName: there is none.
        """
        known = {service.ref: service for service in (*self.definitions.services, *self.implied.services)}
        if ref not in known:
            raise UnknownName.of("service", ref, known)
        return known[ref]

    def target(self, name: str) -> Any:
        """Return an applied target.

        Raises:
            UnknownName: there is none.
        """
        known = {target.name: target for target in (*self.implied.targets, *self.definitions.targets)}
        if name not in known:
            raise UnknownName.of("target", name, known)
        return known[name]

    def _part(self, slot: str) -> Any:
        if slot not in self.plan.choices:
            kind = slot.partition(":")[0]
            raise self._absent(kind, f'Add [{kind}] with adapter = "..."; see: stackwright plugins')
        return self.build(self.plan.choices[slot])

    def _named(self, where: str, adapter: str, slot: str) -> Any:
        """Build an adapter with its default options, whatever the blueprint names."""
        return self.build(Choice(Part(where, adapter), self.plugins.adapter(where, adapter, SLOTS[slot])))

    def _absent(self, slot: str, todo: str) -> BlueprintError:
        return BlueprintError(f"{blueprints.FILE} [{slot}]", "the slot is empty", todo)

    def build(self, choice: Choice) -> Any:
        """Build what fills a slot; it is closed with the stack.

        Raises:
            PluginError: its adapter cannot be loaded.
        """
        return self._hold(self._make(choice))

    def _make(self, choice: Choice) -> Any:
        return make(choice.part, choice.spec, self.project.folder, self.context)

    def _hold(self, part: T) -> T:
        close = getattr(part, "close", None) or getattr(part, "shutdown", None)
        if close is not None:
            self._open.callback(close)
        return part

    def close(self) -> None:
        """Close every built part, last first. Closing twice is allowed."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
