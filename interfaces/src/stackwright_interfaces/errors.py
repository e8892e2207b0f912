"""Every error of stackwright, in one tree.

::

    StackwrightError
    ├── UsageError                  a call or command line that cannot be carried out as written
    ├── ProjectError                a project folder, its files or its locks
    ├── BlueprintError              blueprint.toml: keys, values, names
    ├── PluginError                 a plugin or adapter that cannot be used
    │   └── AdapterNotInstalled
    ├── DefinitionError             entities, views, transforms, services, targets
    │   ├── UnknownName
    │   └── VersionRequired         a change of meaning under an unchanged version
    ├── DataError                   rows and tables handed over by the user
    │   ├── MissingColumn
    │   └── WrongType
    ├── StorageError                get, put, list on a URL
    │   ├── ObjectNotFound
    │   └── PreconditionFailed
    ├── FeatureStoreError           a store that failed, not the data given to it
    │   └── StoreTimeout
    ├── TrainingError               a fit that cannot be done
    ├── ModelError                  artifacts and predictions
    │   ├── ArtifactError           a model folder that must not be loaded
    │   └── PredictionError
    ├── RegistryError               versions, aliases, runs
    │   ├── ModelNotFound
    │   ├── AliasConflict
    │   └── PromotionRefused
    ├── ServerError                 starting and stopping a server
    └── MonitorError                a report that cannot be made

A message says where, what was found, and what to do. Named constructors keep each wording in one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self


class StackwrightError(Exception):
    """Base of the tree: catch it to catch all.

    Args:
        where: the place the user can look at (file and key, command and option, view and column).
        found: what is wrong there.
        todo: what to do about it; empty when nothing useful can be said.
    """

    def __init__(self, where: str, found: str, todo: str = "") -> None:
        self.where = where
        self.found = found
        self.todo = todo
        super().__init__(where, found, todo)

    def __str__(self) -> str:
        message = f"{self.where}: {self.found}" if self.where else self.found
        message = message if message.endswith((".", "?", "!")) else f"{message}."
        return f"{message} {self.todo}" if self.todo else message


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the nearest known name, or an empty string."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""


class UsageError(StackwrightError):
    """A call or command line that cannot be carried out as written.

    What helps: ``stackwright VERB --help``.
    """


class ProjectError(StackwrightError):
    """A project folder, its files or its locks cannot be used.

    What helps: name a project with ``--project``; free space, allow writing.
    """


class BlueprintError(StackwrightError):
    """A blueprint with an unknown key, a wrong value, or a slot that is needed and empty.

    What helps: ``stackwright check`` tells every problem at once.
    """


class PluginError(StackwrightError):
    """A plugin is broken, offered twice, or written to another contract.

    What helps: ``stackwright plugins`` names its distribution; upgrade it.
    """


class AdapterNotInstalled(PluginError):
    """A blueprint names an adapter that no installed distribution provides.

    What helps: the ``pip install`` line of the message.
    """

    @classmethod
    def named(cls, where: str, name: str, installed: Iterable[str]) -> Self:
        """Name the adapter, what is installed, and the nearest name or the install command."""
        names = sorted(installed)
        shown = f" Installed: {', '.join(names)}." if names else " None is installed."
        near = did_you_mean(name, names)
        todo = near or f"Run: pip install stackwright-{name}"
        return cls(where, f"no adapter named {name!r}.{shown}", todo)


class DefinitionError(StackwrightError):
    """An entity, view, transform, service or target that does not hold together.

    What helps: mend ``features.py`` at the place named, then ``stackwright apply``.
    """


class UnknownName(DefinitionError):
    """A definition that was asked for by name and is not applied.

    What helps: the names of the message; ``stackwright features``.
    """

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> Self:
        """Name the kind and what is applied."""
        names = sorted(known)
        found = f"no {kind} named {name!r}." + (f" Applied: {', '.join(names)}." if names else " None is applied.")
        return cls(
            "definitions", found, did_you_mean(name, names) or "Define it in features.py and run: stackwright apply"
        )


class VersionRequired(DefinitionError):
    """A definition changed its meaning under an unchanged version.

    What helps: raise its version: what learned from the old one keeps it.
    """


class DataError(StackwrightError):
    """Rows or tables that cannot be taken as they are; nothing of them was.

    What helps: mend the rows named, and send all again.
    """


class MissingColumn(DataError):
    """A table or request lacks a column that is needed.

    What helps: add it, or name the column that holds it with ``Source(rename=...)``.
    """

    @classmethod
    def of(cls, where: str, name: str, present: Iterable[str]) -> Self:
        """Name the column and those that are there."""
        names = list(present)
        found = f"column {name!r} is missing. Present: {', '.join(names) or 'none'}."
        return cls(where, found, did_you_mean(name, names) or f"Add {name!r}, or name the column that holds it.")


class WrongType(DataError):
    """A column or value has another type than declared.

    What helps: convert the data, or declare the type it has.
    """

    @classmethod
    def of(cls, where: str, name: str, found: str, expected: str) -> Self:
        """Name the column, the type found and the type declared."""
        return cls(
            where,
            f"column {name!r} holds {found}, declared is {expected}",
            "Convert the data or change the definition.",
        )


class StorageError(StackwrightError):
    """A storage operation failed.

    What helps: the place named: its path, its permissions, its credentials.
    """


class ObjectNotFound(StorageError):
    """Nothing is stored under the key."""


class PreconditionFailed(StorageError):
    """The stored object is not in the state that the caller asked for: another process was first.

    What helps: read it again and repeat.
    """


class FeatureStoreError(StackwrightError):
    """A feature store failed; the data given to it was right.

    What helps: see that it runs and can be reached; nothing of ours need be started again.
    """


class StoreTimeout(FeatureStoreError):
    """A read did not end before its deadline.

    What helps: the store's load; the deadline.
    """


class TrainingError(StackwrightError):
    """A model cannot be fitted with this data or these parameters.

    What helps: more labels; the parameter named.
    """


class ModelError(StackwrightError):
    """A model cannot be loaded or used.

    What helps: train it again, or roll back.
    """


class ArtifactError(ModelError):
    """A model folder is incomplete, altered or not allowed, and was refused before it was parsed.

    What helps: publish it again; never mend it by hand.
    """


class PredictionError(ModelError):
    """A model failed, answered with nonsense, or refuses a row by its policy.

    What helps: the request; ``missing = "refuse"`` is such an answer, over HTTP 404 where nothing is stored of an
    entity, and 422 for any other row that is refused.
    """


class RegistryError(StackwrightError):
    """A registry operation failed.

    What helps: the place named.
    """


class ModelNotFound(RegistryError):
    """No such model, version or alias.

    What helps: ``stackwright models``.
    """


class AliasConflict(RegistryError):
    """The alias no longer points to where the caller believed: somebody else moved it first.

    What helps: look at ``stackwright models``, then decide again.
    """


class PromotionRefused(RegistryError):
    """A gate is red, or evidence is missing or of another digest.

    What helps: the gate's reason; ``--force --reason`` goes past it, on record.
    """


class ServerError(StackwrightError):
    """A server cannot start, or ended without being asked to.

    What helps: its last words, which stand in the message.
    """


class MonitorError(StackwrightError):
    """A report cannot be made.

    What helps: the reporter named.
    """
