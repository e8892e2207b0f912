"""``[serving]``: settings of the application that a server hosts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import options
from stackwright.assembly.reading import Part, Problem
from stackwright.assembly.secrets import Secret
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_serving.settings import Settings

SPEC: Final = AdapterSpec(name="serving", provides=Settings, contract=1, config=Settings, factory="")
"""Describes the section as if it were an adapter's, so that it is checked and read like one."""

SECRET: Final = ("tokens", "admin_tokens")


def check(part: Part) -> list[Problem]:
    """Return what is wrong with the section; a token must not stand in the blueprint itself."""
    return [*options.check(part, SPEC), *_unsealed(part)]


def settings(part: Part | None, project: Path) -> Settings:
    """Return the settings, secrets revealed.

    Raises:
        BlueprintError: a secret cannot be read, or a value is refused.
    """
    found: Any = Settings() if part is None else options.configure(part, SPEC, project)
    assert isinstance(found, Settings)
    return found


def _unsealed(part: Part) -> Iterable[Problem]:
    for key in SECRET:
        value = part.options.get(key, [])
        if isinstance(value, list) and any(Secret.parse(item) is None for item in value):
            yield Problem(part.where, f"{key} holds a token itself", 'Write { env = "NAME" } or { file = "PATH" }.')
