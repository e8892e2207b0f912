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
    │   ├── VersionConflict
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
    """Base of the tree.

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
    """A call or command line that cannot be carried out as written."""


class ProjectError(StackwrightError):
    """A project folder, its files or its locks."""


class BlueprintError(StackwrightError):
    """A blueprint with an unknown key, a wrong value or a name that fits nothing."""


class PluginError(StackwrightError):
    """A plugin or adapter that cannot be used."""


class AdapterNotInstalled(PluginError):
    """A blueprint names an adapter that no installed distribution provides."""

    @classmethod
    def named(cls, where: str, name: str, installed: Iterable[str]) -> Self:
        """Name the adapter, what is installed, and the nearest name or the install command."""
        names = sorted(installed)
        shown = f" Installed: {', '.join(names)}." if names else " None is installed."
        near = did_you_mean(name, names)
        todo = near or f"Run: pip install stackwright-{name}"
        return cls(where, f"no adapter named {name!r}.{shown}", todo)


class DefinitionError(StackwrightError):
    """An entity, view, transform, service or target that does not hold together."""


class UnknownName(DefinitionError):
    """A definition that was asked for by name and does not exist."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> Self:
        """Name the kind and what is applied."""
        names = sorted(known)
        found = f"no {kind} named {name!r}." + (f" Applied: {', '.join(names)}." if names else " None is applied.")
        return cls(
            "definitions", found, did_you_mean(name, names) or "Define it in features.py and run: stackwright apply"
        )


class VersionRequired(DefinitionError):
    """A definition changed its meaning under an unchanged version."""


class DataError(StackwrightError):
    """Rows or tables that cannot be taken as they are."""


class MissingColumn(DataError):
    """A table or request lacks a column that is needed."""

    @classmethod
    def of(cls, where: str, name: str, present: Iterable[str]) -> Self:
        """Name the column and those that are there."""
        names = list(present)
        found = f"column {name!r} is missing. Present: {', '.join(names) or 'none'}."
        return cls(where, found, did_you_mean(name, names) or f"Add {name!r}, or name the column that holds it.")


class WrongType(DataError):
    """A column or value has another type than declared."""

    @classmethod
    def of(cls, where: str, name: str, found: str, expected: str) -> Self:
        """Name the column, the type found and the type declared."""
        return cls(
            where,
            f"column {name!r} holds {found}, declared is {expected}",
            "Convert the data or change the definition.",
        )


class StorageError(StackwrightError):
    """A storage operation failed."""


class ObjectNotFound(StorageError):
    """Nothing is stored under the key."""


class PreconditionFailed(StorageError):
    """The stored object is not in the state that the caller asked for."""


class FeatureStoreError(StackwrightError):
    """A feature store failed; the data given to it was right."""


class StoreTimeout(FeatureStoreError):
    """A read did not end before its deadline."""


class TrainingError(StackwrightError):
    """A model cannot be fitted with this data or these parameters."""


class ModelError(StackwrightError):
    """A model cannot be loaded or used."""


class ArtifactError(ModelError):
    """A model folder is incomplete, altered or not allowed, and was refused before it was parsed."""


class PredictionError(ModelError):
    """A model was asked for something it cannot predict, or answered with nonsense."""


class RegistryError(StackwrightError):
    """A registry operation failed."""


class ModelNotFound(RegistryError):
    """No such model, version or alias."""


class VersionConflict(RegistryError):
    """Another digest already holds this version number."""


class AliasConflict(RegistryError):
    """The alias no longer points to where the caller believed."""


class PromotionRefused(RegistryError):
    """The evidence does not allow the promotion."""


class ServerError(StackwrightError):
    """A server cannot start, or ended without being asked to."""


class MonitorError(StackwrightError):
    """A report cannot be made."""
