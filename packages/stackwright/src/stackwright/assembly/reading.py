"""Walking a blueprint: values of the right kind out, every problem gathered instead of the first alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.errors import BlueprintError, StackwrightError, did_you_mean

VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PUBLISHED = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*/)?[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what was found, what to do."""

    where: str
    found: str
    todo: str = ""

    @classmethod
    def of(cls, error: StackwrightError) -> Problem:
        """Take over an error's three parts."""
        return cls(error.where, error.found, error.todo)

    def __str__(self) -> str:
        return str(StackwrightError(self.where, self.found, self.todo))


class BlueprintProblems(BlueprintError):
    """All problems of a blueprint at once.

    Args:
        problems: what is wrong.
        blueprint: what could be read of it all the same.
    """

    def __init__(self, problems: Sequence[Problem], blueprint: Any = None) -> None:
        self.problems = tuple(problems)
        self.blueprint = blueprint
        super().__init__("", "\n".join(map(str, self.problems)))

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True)
class Part:
    """An adapter chosen for a slot, with the options written for it.

    Args:
        where: the place in the blueprint, ``blueprint.toml [registry]``.
        adapter: the adapter's name.
        options: every other key.
        isolated: what is installed in an environment of its own, where the adapter then runs: requirements, or nothing
            for its distribution; ``None`` runs it in this process.
    """

    where: str
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    isolated: tuple[str, ...] | None = None


class Reader:
    """Walks the document and gathers problems instead of stopping at the first."""

    def __init__(self, path: Path, env: str) -> None:
        self.path = path
        self.env = env
        self.top = f"{path.name} (env {env})" if env else path.name
        self.problems: list[Problem] = []

    def add(self, where: str, found: str, todo: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(where, found, todo))

    def section(self, name: str) -> str:
        """Return how a section is named in messages."""
        return f"{self.top} [{name}]"

    def published(self, section: str, name: str, table: Any) -> tuple[str, Mapping[str, Any]]:
        """Return how messages name the section of what is published under a name, and its table; note a bad name."""
        where = self.section(f"{section}.{name}")
        if not _PUBLISHED.fullmatch(name):
            todo = "Use letters, digits, underscores and hyphens, with at most one namespace before a slash."
            self.add(where, f"{name!r} is not a usable name", todo)
        if isinstance(table, Mapping):
            return where, table
        self.add(where, f"is {table!r}", "Write a table.")
        return where, {}

    def substitute(self, value: Any, where: str) -> Any:
        """Replace ``${NAME}`` in every text."""
        if isinstance(value, str):
            return VARIABLE.sub(lambda match: self._variable(match[1], where), value)
        if isinstance(value, dict):
            return {key: self.substitute(item, f"{where} {key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self.substitute(item, where) for item in value]
        return value

    def _variable(self, name: str, where: str) -> str:
        if name not in os.environ:
            self.add(where, f"environment variable {name} is not set", f"Run: export {name}=...")
        return os.environ.get(name, "")

    def keys(self, where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        """Note every key that is not known."""
        for key in table:
            if key not in known:
                self.add(where, f"unknown key {key!r}", did_you_mean(key, known) or f"Known: {', '.join(known)}.")

    def take(self, where: str, table: Mapping[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Return a value of this kind, or note what is wrong and return the default."""
        if key not in table:
            return default
        value = table[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(item.__name__ for item in kinds)
            self.add(where, f"{key} is {value!r}, a {type(value).__name__}", f"Give a {expected}.")
            return default
        return value

    def number(self, where: str, table: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
        """Return a number within limits, or note what is wrong and return the default."""
        value = float(self.take(where, table, key, (int, float), default))
        if not low <= value <= high:
            self.add(where, f"{key} is {value:g}", f"Give a number from {low:g} to {high:g}.")
            return default
        return value

    def choice(self, where: str, table: Mapping[str, Any], key: str, known: Sequence[str], default: str) -> str:
        """Return one of the known texts, or note what is wrong and return the default."""
        value = str(self.take(where, table, key, str, default))
        if value not in known and value != default:
            self.add(where, f"{key} is {value!r}", did_you_mean(value, known) or f"Choose from: {', '.join(known)}.")
            return default
        return value

    def required(self, where: str, table: Mapping[str, Any], key: str) -> str:
        """Return a text that must be there; note it where it is not."""
        value = str(self.take(where, table, key, str, ""))
        if not value and key not in table:
            self.add(where, f"{key} is missing", f'Add: {key} = "..."')
        return value

    def part(self, where: str, value: Any) -> Part | None:
        """Read ``{ adapter = "name", ... }`` or just ``"name"``."""
        if isinstance(value, str):
            return Part(where, value)
        if not isinstance(value, Mapping) or not isinstance(value.get("adapter"), str):
            self.add(where, "no adapter is named", 'Add: adapter = "..."')
            return None
        options = {key: item for key, item in value.items() if key not in ("adapter", "isolated")}
        return Part(where, value["adapter"], options, self._isolated(where, value.get("isolated", False)))

    def _isolated(self, where: str, value: Any) -> tuple[str, ...] | None:
        """Read ``true`` or ``["requirement", ...]``."""
        if isinstance(value, bool):
            return () if value else None
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.add(where, f"isolated is {value!r}", "Give true, or a list of requirements.")
        return None
