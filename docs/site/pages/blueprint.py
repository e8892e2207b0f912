"""Every key of a blueprint, from the classes that it is read into."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pages.cells import default, meanings, prose, table, toml
from stackwright.assembly import blueprint as parts
from stackwright.assembly import recommender_part as lists
from stackwright.assembly.gate_options import GATE_OPTIONS, LIST_GATE_OPTIONS
from stackwright.assembly.output_part import OutputPart
from stackwright.workflows.gates import GATES
from stackwright.workflows.recommending.gates import LIST_GATES
from stackwright_interfaces.recommender import AtMost, Boosted, Hidden, Pinned
from stackwright_serving.settings import Settings

_UNWRITTEN: Final = ("name", "place")
"""Fields of the classes that say where they were read, and that no blueprint writes."""

_KINDS: Final = (
    ("str", "text"),
    ("float", "number"),
    ("int", "whole number"),
    ("bool", "`true` or `false`"),
    ("Secret", "secret"),
    ("Holdout", "text"),
    ("Limits", "`[lowest, highest]`"),
    (r"str \| Secret", "text or secret"),
    (r"str \| float", "text or number"),
    (r"tuple\[str, \.\.\.\]", "list of texts"),
    (r"tuple\[float, \.\.\.\]", "list of numbers"),
    (r"tuple\[Part, \.\.\.\]", "list of parts"),
    (r"tuple\[Place, \.\.\.\]", "output, or a list of them"),
    (r"tuple\[Rule, \.\.\.\]", "list of rules"),
    ("Part", "part"),
    (r"\w+Part|Mapping\[.*\]", "table"),
)
"""Annotation → what is written in TOML."""


def blueprint() -> Iterator[str]:
    """Give the page of all keys."""
    yield "# Blueprint keys\n"
    yield (
        'Every key of `blueprint.toml`, as the code reads it. A *part* is `adapter = "NAME"` with the keys of '
        'that adapter beside it, or just `"NAME"`; a *secret* is `{ env = "NAME" }` or `{ file = "PATH" }`. [What'
        " they are for, with examples](../blueprint.md).\n"
    )
    says = meanings(parts.Blueprint)
    unwritten = ("path", "env", "offline", "online")
    keys = [item.name for item in dataclasses.fields(parts.Blueprint) if item.name not in unwritten]
    yield from table(("key", "what it says"), [(f"`{key}`", says[key]) for key in keys])
    yield from _keys("`[models.NAME]`", parts.ModelPart)
    yield from _keys("`data` of a model", parts.DataPart)
    yield from _keys("`tune` of a model", parts.TunePart)
    yield from _keys("`rules` of a model", parts.RulesPart)
    yield from _keys("`output` of a model", OutputPart)
    yield from _gates("Gates of a model", GATE_OPTIONS, {name: gate.check for name, gate in GATES.items()})
    yield from _keys("`[recommenders.NAME]`", parts.RecommenderPart)
    yield from _keys("`interactions` of a recommender", lists.InteractionsPart)
    yield from _keys("`items` of a recommender", lists.ItemsPart)
    yield from _keys("`holdout` of a recommender", lists.HoldoutPart)
    yield from _keys("`list` of a recommender", lists.ListPart)
    yield from _rules()
    yield from _keys("`session` of a recommender", lists.SessionPart)
    yield from _gates("Gates of a recommender", LIST_GATE_OPTIONS, LIST_GATES)
    yield from _keys("`[serving]`", Settings)
    yield from _keys("`[monitor]`", parts.MonitorPart)
    yield from _keys("`[monitor.rules.NAME]`", parts.RulePart)
    yield from _keys("`[monitor.destinations.NAME]`", parts.DestinationPart, unwritten=("where",))
    yield from _keys("`[monitor.experiments.NAME]`", parts.ExperimentPart, unwritten=("where",))
    yield from _keys("`[jobs.NAME]`", parts.JobPart)
    yield from _keys("`[deploy]`", parts.DeployPart)
    yield from _keys("`[streams.NAME]`", parts.StreamPart)
    yield from _keys("`[catalogue]`", parts.CataloguePart)
    yield from _keys("`[hooks]`", parts.HooksPart)


def _keys(title: str, part: type, unwritten: Sequence[str] = _UNWRITTEN) -> Iterator[str]:
    yield f"## {title}\n"
    says = {name: text for each in reversed(part.__mro__) for name, text in meanings(each).items()}
    rows = [
        (f"`{item.name}`", _kind(str(item.type)), default(item), says[item.name])
        for item in dataclasses.fields(part)
        if item.name not in unwritten
    ]
    yield from table(("key", "type", "default", "what it says"), rows)


def _kind(annotation: str) -> str:
    written = annotation.removesuffix(" | None")
    return next(kind for pattern, kind in _KINDS if re.fullmatch(pattern, written))


def _gates(
    title: str, options: Mapping[str, Mapping[str, Any]], checks: Mapping[str, Callable[..., Any]]
) -> Iterator[str]:
    yield f"## {title}\n"
    rows = [
        (f"`{name}`", ", ".join(f"`{key} = {toml(value)}`" for key, value in given.items()), _says(checks[name]))
        for name, given in options.items()
    ]
    yield from table(("gate", "options", "green when"), rows)


def _rules() -> Iterator[str]:
    yield "### Rules of a list\n"
    rules = {"hide": Hidden, "at_most": AtMost, "pin": Pinned, "boost": Boosted}
    rows = [
        (f"`{name}`", ", ".join(f"`{item.name}`" for item in dataclasses.fields(rule)), _says(rule))
        for name, rule in rules.items()
    ]
    yield from table(("rule", "its keys", "what it does"), rows)


def _says(of: object) -> str:
    return prose((inspect.getdoc(of) or "").partition("\n\n")[0])
