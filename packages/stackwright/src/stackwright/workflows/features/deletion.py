"""A person's right: an entity removed from history and online, in every version of every view there ever was."""

from __future__ import annotations

from collections.abc import Mapping

from stackwright.assembly.stack import Stack
from stackwright.workflows.features import quarantine, sharing
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.rows.arguments import parse_value
from stackwright_interfaces.definitions import Entity
from stackwright_interfaces.errors import DefinitionError, MissingColumn, UnknownName, UsageError


def delete_entity(stack: Stack, name: str, keys: Mapping[str, str], *, yes: bool = False) -> Outcome:
    """Remove one entity's rows, and keep out older rows that come again.

    Of the quarantine its rows are removed, and its events, also those that could not be read: by their keys, or where
    these cannot be read either, by the values of the keys in their text. How many events stay of which it cannot be
    told whose they are, is told.

    The journal keeps predictions and labels: they are evidence of what was decided, and retained by its own rules.

    Args:
        keys: key of the entity → its value as text.
        yes: that it is meant; it cannot be undone.

    Raises:
        UnknownName: no such entity was ever applied.
        UsageError: a key is unknown, or it is not said that it is meant.
        MissingColumn: a key is not given.
        DefinitionError: the entity has views of another team.
    """
    ever = stack.project.ever_applied()
    entities: dict[str, Entity] = {entity.name: entity for entity in ever.entities}
    if name not in entities:
        raise UnknownName.of("entity", name, entities)
    entity = entities[name]
    for given in keys:
        if given not in entity.key_names:
            raise UsageError(f"argument {given!r}", f"is no key of {name!r}", f"Keys: {', '.join(entity.key_names)}.")
    for key in entity.keys:
        if key.name not in keys:
            raise MissingColumn.of("arguments", key.name, list(keys))
    for view in ever.views:
        if view.entity.name == name and sharing.is_foreign(stack, view):
            raise DefinitionError(f"view {view.ref!r}", "it is another team's", "Ask its owner to delete the entity.")
    if not yes:
        raise UsageError("delete-entity", "rows that are deleted cannot be brought back", "Add --yes if it is meant.")
    values = {key.name: [parse_value(keys[key.name], key)] for key in entity.keys}
    removed = stack.store_of(ever).delete(name, values)
    own = [view for view in ever.views if view.entity.name == name]
    aside = quarantine.forget(stack, own, {key: value for key, (value,) in values.items()})
    shown = ", ".join(f"{key}={value}" for key, value in keys.items())
    data = {
        "entity": name,
        "keys": dict(keys),
        "rows": removed,
        "quarantined": aside.removed,
        "unreadable": aside.unknown,
    }
    notes = [f"{aside.removed:,} more were removed from the quarantine."] if aside.removed else []
    if aside.unknown:
        notes.append(
            f"{aside.unknown:,} events in the quarantine cannot be read, and may be of any {name}. Look at them: "
            "stackwright quarantine VIEW --export FILE; let them go: stackwright quarantine VIEW --clear --yes."
        )
    return Outcome(f"Removed {removed:,} rows of {name} {shown}", data, notes=tuple(notes))
