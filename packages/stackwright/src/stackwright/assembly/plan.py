"""A blueprint, checked against what is installed and what was applied: every problem at once, nothing imported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from stackwright.assembly import gate_options, job_part, monitor_check, options, serving_part
from stackwright.assembly.blueprint import Blueprint, BlueprintProblems, ModelPart, Part, Problem, RecommenderPart
from stackwright.assembly.discovery import Plugins
from stackwright.assembly.isolation import Isolation
from stackwright.assembly.project import Project
from stackwright.assembly.secrets import Secret
from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.errors import BlueprintError, PluginError, StackwrightError, did_you_mean
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineStore
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.monitor import Monitor
from stackwright_interfaces.plugin import AdapterSpec, Capability
from stackwright_interfaces.recommender import RecommenderFormat, RecommenderTrainer
from stackwright_interfaces.registry import Registry
from stackwright_interfaces.server import Server
from stackwright_interfaces.streams import StreamSource
from stackwright_interfaces.tables import TableSource, TableTarget
from stackwright_interfaces.trainer import Trainer

SLOTS: Final[Mapping[str, type]] = {
    "feature_store": FeatureStore,
    "offline": OfflineStore,
    "online": OnlineStore,
    "trainer": Trainer,
    "model_format": ModelFormat,
    "recommender": RecommenderTrainer,
    "recommender_format": RecommenderFormat,
    "registry": Registry,
    "compute": Executor,
    "server": Server,
    "monitor": Monitor,
    "stream": StreamSource,
    "tables": TableSource,
    "table_targets": TableTarget,
}

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "realtime": ("models", "registry", "server"),
    "batch": ("models", "registry"),
    "recommender": ("recommenders", "registry", "server"),
}


@dataclass(frozen=True)
class Choice:
    """A slot filled: the part as written and the adapter's specification."""

    part: Part
    spec: AdapterSpec


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A blueprint that can be built.

    Args:
        choices: slot → what fills it. Trainers stand under ``trainer:MODEL`` and ``recommender:NAME``, reporters
            under ``monitor:ADAPTER``.
    """

    blueprint: Blueprint
    choices: Mapping[str, Choice] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:`` of adapters and options; secrets count by their place alone."""
        document = {slot: _identity(choice) for slot, choice in self.choices.items()}
        if self.blueprint.serving is not None:
            document["serving"] = ["", plain(self.blueprint.serving.options)]
        return "sha256:" + hashlib.sha256(canonical(document)).hexdigest()


def _identity(choice: Choice) -> list[Any]:
    apart = [] if choice.part.isolated is None else [["isolated", *choice.part.isolated]]
    return [choice.spec.name, plain(choice.part.options), *apart]


def plan(blueprint: Blueprint, plugins: Plugins, definitions: Definitions, isolation: Isolation | None = None) -> Plan:
    """Check a blueprint.

    Args:
        definitions: the applied definitions; models are checked against them once something was applied.
        isolation: finds the adapters of isolated parts; without it they are found where their environment is made.

    Raises:
        BlueprintProblems: all that is wrong.
    """
    problems: list[Problem] = []
    choices: dict[str, Choice] = {}
    isolation = isolation or Isolation(Project(blueprint.path.parent, blueprint.env), make=False)
    for slot, part in _parts(blueprint):
        choice = _choose(slot, part, plugins, isolation, problems)
        if choice is not None:
            choices[slot] = choice
    problems += _needs(blueprint)
    problems += _order(blueprint, plugins)
    problems += _readers(choices)
    if blueprint.serving is not None:
        problems += serving_part.check(blueprint.serving)
    for model in blueprint.models.values():
        problems += _names(model, definitions)
        problems += _task(model, choices.get(f"trainer:{model.name}"), definitions)
        problems += gate_options.check(model, plugins, definitions)
    for recommender in blueprint.recommenders.values():
        problems += _session(recommender, blueprint, definitions)
        problems += gate_options.check(recommender, plugins, definitions)
    for job in blueprint.jobs.values():
        problems += job_part.check(job, blueprint.models)
    services = {name: "" if model.data else model.service for name, model in blueprint.models.items()}
    problems += monitor_check.check(blueprint.monitor, services, blueprint.recommenders, definitions)
    if problems:
        raise BlueprintProblems(problems)
    return Plan(blueprint=blueprint, choices=choices)


def selected(blueprint: Blueprint, plugins: Plugins, isolation: Isolation) -> dict[str, Choice]:
    """Return slot → choice of those parts whose adapters are installed, whatever else is wrong."""
    choices = {slot: _choose(slot, part, plugins, isolation, []) for slot, part in _parts(blueprint)}
    return {slot: choice for slot, choice in choices.items() if choice is not None}


def of_parts(blueprint: Blueprint, plugins: Plugins, isolation: Isolation) -> list[Problem]:
    """Return what is wrong with the parts that a blueprint names: adapters that are not there, and their options."""
    problems: list[Problem] = []
    for slot, part in _parts(blueprint):
        if part.adapter:
            _choose(slot, part, plugins, isolation, problems)
    return problems


def _parts(blueprint: Blueprint) -> Iterable[tuple[str, Part]]:
    for slot in ("feature_store", "offline", "online", "registry", "compute", "server"):
        part = getattr(blueprint, slot)
        if part is not None:
            yield slot, part
    for name, model in blueprint.models.items():
        yield f"trainer:{name}", model.trainer
    for name, recommender in blueprint.recommenders.items():
        yield f"recommender:{name}", recommender.trainer
    for report in blueprint.monitor.reports:
        yield f"monitor:{report.adapter}", report
    for name, stream in blueprint.streams.items():
        yield f"stream:{name}", stream.source


def _choose(slot: str, part: Part, plugins: Plugins, isolation: Isolation, problems: list[Problem]) -> Choice | None:
    provides = SLOTS[slot.partition(":")[0]]
    try:
        if part.isolated is None:
            spec = plugins.adapter(part.where, part.adapter, provides)
        else:
            spec = isolation.adapter(slot, part, provides)
    except (BlueprintError, PluginError) as error:
        problems.append(Problem.of(error))
        return None
    problems += options.check(part, spec)
    return Choice(part, spec)


def _needs(blueprint: Blueprint) -> Iterable[Problem]:
    top = blueprint.path.name
    for slot in NEEDED.get(blueprint.use_case, ()):
        if not getattr(blueprint, slot):
            yield Problem(
                top, f"use case {blueprint.use_case!r} needs [{slot}]", f"Add [{slot}], or leave out use_case."
            )
    joined = [model for model in blueprint.models.values() if model.data is None]
    if joined and not (blueprint.offline or blueprint.feature_store):
        yield Problem(top, "models need a feature store to learn from", "Add [feature_store] with an offline part.")
    if blueprint.trained and not blueprint.registry:
        yield Problem(top, "models need a registry", 'Add [registry] with adapter = "files".')


def _order(blueprint: Blueprint, plugins: Plugins) -> Iterable[Problem]:
    """Give what the order of hooks names that is no plugin."""
    for name in blueprint.hooks.order:
        if name not in plugins.names:
            todo = did_you_mean(name, plugins.names) or f"Installed: {', '.join(plugins.names)}."
            yield Problem(f"{blueprint.path.name} [hooks]", f"order names {name!r}, and there is no such plugin", todo)


def _readers(choices: Mapping[str, Choice]) -> Iterable[Problem]:
    if "server" in choices and "online" in choices:
        online = choices["online"]
        if Capability.READERS not in online.spec.capabilities:
            found = f"{online.spec.name!r} cannot be read by another process, and a server is one"
            yield Problem(online.part.where, found, 'Choose another online store, adapter = "sqlite" say.')


def _names(model: ModelPart, definitions: Definitions) -> Iterable[Problem]:
    if model.data is not None or not (definitions.services or definitions.targets):
        return
    check = partial(_known, model.place)
    yield from check("service", model.service, [service.ref for service in definitions.services])
    yield from check("target", model.target, [target.name for target in definitions.targets])


def _session(part: RecommenderPart, blueprint: Blueprint, definitions: Definitions) -> Iterable[Problem]:
    """Give why the session of a person cannot be read."""
    if part.session is None:
        return
    where = f"{part.place} session"
    if not (blueprint.online or blueprint.feature_store):
        yield Problem(where, "sessions are read online, and there is no online store", "Add [feature_store] online.")
    if not definitions.services:
        return
    service = next((item for item in definitions.services if item.ref == part.session.service), None)
    if service is None:
        yield from _known(where, "service", part.session.service, [item.ref for item in definitions.services])
        return
    names = [item.name for item in service.output_fields]
    if part.session.feature not in names:
        todo = did_you_mean(part.session.feature, names) or f"Choose from: {', '.join(names)}."
        yield Problem(where, f"{service.ref} has no feature {part.session.feature!r}", todo)
    if len(service.request_keys) != 1 or service.request:
        asked = ", ".join(item.name for item in (*service.request_keys, *service.request))
        yield Problem(where, f"{service.ref} is asked with {asked}", "Name a service that is asked by one key alone.")


def _task(model: ModelPart, trainer: Choice | None, definitions: Definitions) -> Iterable[Problem]:
    """Give why a model cannot have its task: of its trainer, or of its target."""
    needed = {capability for capability in (Capability.RANKING, Capability.TIME_TO_EVENT) if capability == model.task}
    if trainer is not None and not needed <= trainer.spec.capabilities:
        todo = 'Choose one that does, adapter = "lightgbm" say.'
        yield Problem(model.trainer.where, f"{trainer.spec.name!r} does no {model.task}", todo)
    if trainer is not None and model.quantiles and Capability.QUANTILES not in trainer.spec.capabilities:
        todo = 'Choose one that does, adapter = "lightgbm" say, or remove quantiles.'
        yield Problem(model.trainer.where, f"{trainer.spec.name!r} gives no quantiles", todo)
    target = next((target for target in definitions.targets if target.name == model.target), None)
    if model.task == "ranking" and model.data is None and target is not None and target.group is None:
        found = f"target {model.target!r} names no group, and a ranking is of lists"
        todo = 'Say which column names the list, Target(..., group="search_id"), and run: stackwright apply'
        yield Problem(model.place, found, todo)


def _known(place: str, kind: str, name: str, known: list[str]) -> Iterable[Problem]:
    if name and name not in known:
        todo = (
            did_you_mean(name, known) or f"Applied: {', '.join(known) or 'none'}. Define it and run: stackwright apply"
        )
        yield Problem(place, f"no {kind} {name!r}", todo)


def plain(value: Any) -> Any:
    """Return an option as JSON holds it; a secret is its place."""
    secret = Secret.parse(value)
    if secret is not None:
        return secret.to_json()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def problems_of(error: StackwrightError) -> tuple[Problem, ...]:
    """Return the problems that an error stands for."""
    return error.problems if isinstance(error, BlueprintProblems) else (Problem.of(error),)
