"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl
from stackwright_interfaces.registry import CONTRACT, Registry


@dataclass(frozen=True, kw_only=True)
class FilesConfig:
    """Where the registry lies.

    Args:
        url: a path relative to the project, or the URL of a storage (``file:///srv/registry``).
    """

    url: str = "registry"


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the registry."""
    return (
        AdapterSpec(
            name="files",
            provides=Registry,
            contract=CONTRACT,
            config=FilesConfig,
            factory="stackwright_files.registry:FilesRegistry",
            capabilities=frozenset({Capability.RUNS}),
            description="Models, aliases, journal and runs as plain files",
        ),
    )
