"""The configuration of an adapter that runs apart: the options that were given, and what starts it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from stackwright_isolated import documents
from stackwright_isolated.process import Launch


class IsolatedConfig:
    """Options as they are handed over; the adapter's own class fills in the rest, and refuses what does not fit.

    Args:
        given: the options that are set.

    Attributes:
        launch: what starts the adapter.
    """

    launch: Launch

    def __init__(self, **given: Any) -> None:
        self.given: Mapping[str, Any] = given

    def __reduce__(self) -> tuple[Any, ...]:
        return IsolatedConfig.of, (self.launch, dict(self.given))

    def to_text(self) -> str:
        """Return it as text, for another process."""
        return json.dumps(documents.write({"launch": vars(self.launch), "given": self.given}))

    @classmethod
    def from_text(cls, text: str) -> IsolatedConfig:
        """Read the text."""
        document = documents.read(json.loads(text))
        return cls.of(Launch(**document["launch"]), document["given"])

    @classmethod
    def of(cls, launch: Launch, given: Mapping[str, Any]) -> IsolatedConfig:
        """Return the options of an adapter whose class of configurations is not known here."""
        config = IsolatedConfig(**given)
        config.launch = launch
        return config


def config_class(name: str, fields: Mapping[str, tuple[Any, Any]], launch: Launch, *, takes_others: bool) -> type:
    """Return a class of configurations that a blueprint's options are checked against.

    Args:
        fields: name → type and default; ``dataclasses.MISSING`` where there is none.
    """
    defaults = {
        field: _default(default) for field, (_, default) in fields.items() if default is not dataclasses.MISSING
    }
    kinds = {field: kind for field, (kind, _) in fields.items()}
    space = {"__annotations__": kinds, "launch": launch, "takes_others": takes_others, **defaults}
    return dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True)(type(name, (IsolatedConfig,), space))


def _default(value: Any) -> Any:
    if isinstance(value, dict | list):
        return dataclasses.field(default_factory=lambda: value)
    return dataclasses.field(default=value)
