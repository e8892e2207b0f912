"""Which rules are for models and which for recommenders, and whether what ``[monitor]`` names is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from stackwright.assembly.monitor_part import OF_LISTS, OF_ROWS, MonitorPart, RulePart
from stackwright.assembly.reading import Problem
from stackwright_interfaces.definitions import Definitions
from stackwright_interfaces.errors import did_you_mean


def unfit(rule: RulePart, *, lists: bool) -> str:
    """Return why a rule cannot judge a recommender's lists, or a model's predictions; nothing where it can."""
    of, known = ("lists", OF_LISTS) if lists else ("predictions", OF_ROWS)
    if rule.watch not in known:
        return f"watch is {rule.watch!r}, which {of} do not have"
    if rule.against == ("training" if lists else "start"):
        return f"{of} are not held against {rule.against!r}"
    named = [key for key in ("by", "columns") if getattr(rule, key)] if lists else []
    if named:
        return f"{named[0]} is given, and lists have no columns"
    return "lists have no truths to estimate" if lists and rule.basis == "estimated" else ""


def check(
    monitor: MonitorPart,
    models: Mapping[str, str],
    recommenders: Collection[str],
    definitions: Definitions,
    where: str = "blueprint.toml [monitor",
) -> Iterator[Problem]:
    """Give what rules and experiments name and is not there; features and targets once something was applied.

    Args:
        models: model → its service, empty for one that learns from rows of its own.
        recommenders: those of the blueprint.
    """
    targets = [target.name for target in definitions.targets]
    for name, rule in monitor.rules.items():
        place = f"{where}.rules.{name}]"
        for model in rule.models:
            yield from _unknown(place, "model", model, [*models, *recommenders])
        yield from _unfitting(place, rule, models, recommenders)
        read = [models[model] for model in rule.models or models if models.get(model)]
        known = [
            field.name for service in definitions.services if service.ref in read for field in service.output_fields
        ]
        for column in (*rule.by, *rule.columns) if known else ():
            yield from _unknown(place, "feature", column, [*known, "prediction"])
    for name, experiment in monitor.experiments.items():
        place = f"{where}.experiments.{name}]"
        if experiment.model in recommenders:
            found = f"{experiment.model!r} is a recommender: its lists have clicks, no truths"
            yield Problem(place, found, "Compare versions by: stackwright report NAME --replay N; or watch a canary.")
        elif experiment.model:
            yield from _unknown(place, "model", experiment.model, list(models))
        for measured in (experiment.goal, *experiment.guardrails):
            kind, _, target = measured.partition(":")
            if kind == "mean" and targets:
                yield from _unknown(place, "target", target, targets)


def _unfitting(place: str, rule: RulePart, models: Collection[str], recommenders: Collection[str]) -> Iterator[Problem]:
    """Give what a rule cannot judge of those it names, or that it can judge none at all."""
    named = [name for name in rule.models if name in models or name in recommenders]
    why = {name: unfit(rule, lists=name in recommenders) for name in named or (*models, *recommenders)}
    if not why or (not named and not all(why.values())):
        return
    for name, found in why.items():
        if found:
            todo = f"Of {name} choose from: {', '.join(OF_LISTS if name in recommenders else OF_ROWS)}."
            yield Problem(place, f"{found}, and {name!r} {_kind(name, recommenders)}", todo)


def _kind(name: str, recommenders: Collection[str]) -> str:
    return "is a recommender" if name in recommenders else "is a model"


def _unknown(where: str, kind: str, name: str, known: Sequence[str]) -> Iterator[Problem]:
    if name not in known:
        todo = did_you_mean(name, known) or f"Known: {', '.join(known) or 'none'}."
        yield Problem(where, f"there is no {kind} {name!r}", todo)
