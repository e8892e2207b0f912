"""The adapters ``python``: a trainer that runs a class of the project, and the format that loads what it saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stackwright_interfaces.model import CONTRACT as MODEL_CONTRACT
from stackwright_interfaces.model import ModelFormat
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl
from stackwright_interfaces.trainer import CONTRACT, Trainer


class PythonConfig:
    """Options of the trainer.

    Args:
        class: the project's class, ``my_model:MyModel`` for ``MyModel`` in ``my_model.py``.
        config: handed to the class, which asks for it as ``config``; values for names of ``get_parameters`` go over
            the defaults there.
        given: any other option is an entry of ``config``.
    """

    takes_others: ClassVar[bool] = True
    config: dict[str, Any]

    def __init__(self, *, config: dict[str, Any] | None = None, **given: Any) -> None:
        self.reference: str = given.pop("class", "")
        self.config = {**given, **(config or {})}


# ``class`` is a keyword: the field cannot be written like others, nor would the methods of dataclasses compile.
setattr(PythonConfig, "config", field(default_factory=dict))  # noqa: B010
PythonConfig.__annotations__ = {"class": "str", "config": "dict[str, Any]"}
dataclass(init=False, repr=False, eq=False)(PythonConfig)


@dataclass(frozen=True, kw_only=True)
class PythonFormatConfig:
    """The format has no options."""


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the trainer and the model format."""
    return (
        AdapterSpec(
            name="python",
            provides=Trainer,
            contract=CONTRACT,
            config=PythonConfig,
            factory="stackwright_python.trainer:PythonTrainer",
            conformance="stackwright_python.conformance:PythonConformance",
            capabilities=frozenset({Capability.RANKING, Capability.TIME_TO_EVENT}),
            description="A class of the project with train and get_parameters.",
        ),
        AdapterSpec(
            name="python",
            provides=ModelFormat,
            contract=MODEL_CONTRACT,
            config=PythonFormatConfig,
            factory="stackwright_python.format:PythonFormat",
            description="Loads what a class of the project trained; refuses when the project's code is another.",
        ),
    )
