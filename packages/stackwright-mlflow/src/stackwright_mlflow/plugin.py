"""What this distribution offers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl
from stackwright_interfaces.registry import CONTRACT, Registry

SCHEMES: Final = ("http://", "https://")
"""How the URL of a server begins."""

LONGEST: Final = 100
"""Characters that ``experiment`` and ``prefix`` may have; MLflow's columns bound what is made of them."""

_PREFIX: Final = re.compile(r"[\w.-]*")


@dataclass(frozen=True, kw_only=True)
class MlflowConfig:
    """Which server keeps the models, under which names, and how long it is waited for.

    Args:
        url: ``http://HOST:PORT`` or ``https://USER:PASSWORD@HOST/PATH`` of an MLflow server that serves artifacts.
        experiment: the experiment of the runs; the journal is kept in another one, ``EXPERIMENT journal``.
        prefix: how the names of registered models begin in MLflow; stacks that share a server need different ones
            (and different experiments).
        token: sent as bearer token.
        timeout: seconds to wait for a connection and for each answer.

    Raises:
        ValueError: an option has no meaning; URL and token, which may be secret, are not repeated.
    """

    url: str = field(default="http://127.0.0.1:5000", repr=False)
    experiment: str = "stackwright"
    prefix: str = ""
    token: str = field(default="", repr=False)
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if self.url.startswith("sqlite:"):
            raise ValueError(
                "url must be that of a server; start one over the database:"
                " mlflow server --backend-store-uri sqlite:///mlflow.db"
            )
        if not self.url.startswith(SCHEMES):
            raise ValueError(f"url must begin with {' or '.join(SCHEMES)}")
        try:
            urlsplit(self.url)
        except ValueError:
            raise ValueError("url cannot be read: look at its host and port") from None
        if not self.experiment.strip() or len(self.experiment) > LONGEST or "'" in self.experiment:
            raise ValueError(f"experiment must have 1 to {LONGEST} characters, and no quote: {self.experiment!r}")
        if not _PREFIX.fullmatch(self.prefix) or len(self.prefix) > LONGEST:
            raise ValueError(f"prefix must be at most {LONGEST} letters, digits, '_', '.' and '-': {self.prefix!r}")
        if not 0 < self.timeout <= 3600:
            raise ValueError(f"timeout must be more than 0 and at most 3600 seconds: {self.timeout!r}")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the registry."""
    return (
        AdapterSpec(
            name="mlflow",
            provides=Registry,
            contract=CONTRACT,
            config=MlflowConfig,
            factory="stackwright_mlflow.registry:MlflowRegistry",
            conformance="stackwright_mlflow.conformance:MlflowConformance",
            capabilities=frozenset({Capability.RUNS}),
            description="Models, aliases, journal and runs on an MLflow server",
        ),
    )
