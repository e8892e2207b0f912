"""Where the parts of a blueprint keep, listen and reach: folders here, ports, addresses on the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from stackwright.assembly import options, serving_part
from stackwright.assembly.plan import Choice, selected
from stackwright.assembly.secrets import Secret
from stackwright.assembly.stack import Stack
from stackwright.workflows.doctor.network import Remote, urls
from stackwright_interfaces.errors import BlueprintError
from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.registry import Registry
from stackwright_storage import open_storage

_KEPT: Final = ("feature_store", "offline", "online", "registry")
"""Slots whose parts write below the paths they are given."""

_SECONDS: Final = 5.0


class Places:
    """Where the parts of a stack keep, listen and reach. What cannot be read, an unset secret say, is left out.

    Attributes:
        choices: slot → what fills it.
        folders: the project's, then those that something is written to.

    Raises:
        StackwrightError: the blueprint cannot be read.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.choices = selected(stack.blueprint, stack.plugins, stack.isolation)
        self._configs = {slot: config for slot, choice in self.choices.items() if (config := self._config(choice))}
        project = stack.project
        written = [project.state, project.reports, *self._written()]
        self.folders = [project.folder, *dict.fromkeys(place for place in written if place != project.folder)]

    @property
    def ports(self) -> list[tuple[str, str, int]]:
        """Place in the blueprint, host and port of what listens on a port of its own."""
        config = self._configs.get("server", {})
        number = config.get("port", 0)
        return [(self.choices["server"].part.where, str(config.get("host", "")), number)] if number else []

    @property
    def remotes(self) -> Iterator[Remote]:
        """What is reached over the network."""
        for slot, config in self._configs.items():
            choice = self.choices[slot]
            conninfo = [text for text in [str(config.get("url", ""))] if "=" in text]  # as libpq takes it too
            for url in dict.fromkeys(urls(config)) or conninfo:
                yield Remote(f"{choice.part.where} {choice.spec.name}", url, self._question(choice))
        for subject, url in self._storages():
            if "://" in url and not url.startswith("file:"):
                yield Remote(subject, url, partial(_first, url))
        for part in self._stack.blueprint.monitor.destinations.values():
            url = self._revealed(part.where, part.url)
            if url or part.host:
                yield Remote(part.where, url or f"smtp://{part.host}:{part.port}")
        serving = self._stack.blueprint.serving
        if serving is not None and serving.options.get("traces"):
            yield Remote(f"{serving.where} traces", serving_part.settings(serving, self._stack.project.folder).traces)

    def _config(self, choice: Choice) -> dict[str, Any]:
        try:
            config = options.configure(choice.part, choice.spec, self._stack.project.folder)
        except BlueprintError:
            return {}
        return {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}

    def _written(self) -> Iterator[Path]:
        for slot in (slot for slot in _KEPT if slot in self._configs):
            for path in (value for value in self._configs[slot].values() if isinstance(value, Path)):
                yield path.parent if path.suffix or path.is_file() else path
        registry = self._configs.get("registry", {}).get("url", "")
        kept = [url for _, url in self._storages()] + [self._stack.url(registry)] * bool(registry)
        yield from (Path(url) for url in kept if "://" not in url)

    def _storages(self) -> Iterator[tuple[str, str]]:
        """Give what is kept in a storage: subject, and URL or path."""
        stack = self._stack
        kept: list[tuple[str, str | Secret]] = [("blueprint.toml [journal]", stack.blueprint.journal)]
        if stack.blueprint.catalogue is not None:
            kept.append(("blueprint.toml [catalogue]", stack.blueprint.catalogue.url))
        for subject, place in kept:
            url = self._revealed(subject, place)
            if url:
                yield subject, stack.url(url)

    def _revealed(self, where: str, place: str | Secret) -> str:
        try:
            return place.reveal(where, self._stack.project.folder) if isinstance(place, Secret) else place
        except BlueprintError:
            return ""

    def _question(self, choice: Choice) -> Callable[[], object] | None:
        """Return what asks a part for something that is not there."""
        if choice.spec.provides is OnlineStore:
            return lambda: self._stack.build(choice).read(["doctor@1"], [[b"-"]], timeout=_SECONDS)
        if choice.spec.provides is Registry:
            return lambda: self._stack.build(choice).generation()
        return None


def _first(url: str) -> object:
    return next(open_storage(url).list("doctor/"), None)
