"""Secrets: named in a blueprint, resolved at build, shown nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from stackwright_interfaces.errors import BlueprintError

MASK: Final = "***"

_SHORTEST: Final = 4
_told: set[str] = set()


class Revealed(str):
    """A secret's value: a text for the adapter that needs it, a mask wherever it is shown as part of something else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def redact(text: str) -> str:
    """Return a text with every secret masked that this process has revealed, also the password inside a secret URL.

    Secrets of fewer than four characters are not looked for: they would be found everywhere.
    """
    for value in sorted(_told, key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def _tell(value: str) -> Revealed:
    password = _password(value)
    parts = [part for part in (value, password, unquote(password)) if len(part) >= _SHORTEST]
    _told.update(form for part in parts for form in (part, json.dumps(part)[1:-1], repr(part)[1:-1]))
    return Revealed(value)


def _password(value: str) -> str:
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Secret:
    """Where a secret is kept: an environment variable or a file.

    Only the place is ever shown, hashed or written; :meth:`reveal` reads the value.
    """

    env: str = ""
    file: str = ""

    @classmethod
    def parse(cls, value: Any) -> Self | None:
        """Return the secret that ``{ env = "NAME" }`` or ``{ file = "PATH" }`` names, or ``None`` for anything else."""
        if isinstance(value, Mapping) and len(value) == 1:
            ((kind, place),) = value.items()
            if kind in ("env", "file") and isinstance(place, str):
                return cls(**{kind: place})
        return None

    def to_json(self) -> dict[str, str]:
        """Return the place, as the blueprint writes it."""
        return {"env": self.env} if self.env else {"file": self.file}

    def reveal(self, where: str, project: Path) -> Revealed:
        """Return the value.

        Raises:
            BlueprintError: the variable is not set, or the file cannot be read.
        """
        if self.env:
            if self.env not in os.environ:
                raise BlueprintError(
                    where, f"environment variable {self.env} is not set", f"Run: export {self.env}=..."
                )
            return _tell(os.environ[self.env])
        path = project / Path(self.file).expanduser()
        try:
            return _tell(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            found = f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
            raise BlueprintError(where, found, "Write the secret there.") from error
