"""Registered models, versions and aliases of an MLflow server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stackwright_mlflow.names import registered
from stackwright_mlflow.server import Refused, Server

_PAGE: Final = 1000
_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """A version as MLflow keeps it: its number, the run it came from, its tags and aliases."""

    number: int
    run: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        if not error.is_missing:
            raise


class Shelf:
    """What we ask of registered models; every call raises ``RegistryError``."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._server = server
        self._prefix = prefix

    def name(self, model: str) -> str:
        """Return what a model is called in MLflow."""
        return registered(self._prefix, model)

    def ensure(self, model: str) -> None:
        """Make a registered model where none is."""
        try:
            self._server.post("registered-models/create", name=self.name(model))
        except Refused as error:
            if error.code != _EXISTS:
                raise

    def versions(self, model: str) -> dict[int, Shelved]:
        """Return the versions by number, whoever made them; none where there is no such model."""
        found: dict[int, Shelved] = {}
        token: dict[str, str] = {}
        while True:
            page = self._server.get(
                "model-versions/search", filter=f"name='{self.name(model)}'", max_results=_PAGE, **token
            )
            for document in page.get("model_versions", ()):
                shelved = _shelved(document)
                found[shelved.number] = shelved
            if not page.get("next_page_token"):
                return dict(sorted(found.items()))
            token = {"page_token": page["next_page_token"]}

    def version(self, model: str, number: int) -> Shelved | None:
        """Return a version, or ``None``."""
        try:
            found = self._server.get("model-versions/get", name=self.name(model), version=number)
        except Refused as error:
            if error.is_missing:
                return None
            raise
        return _shelved(found["model_version"])

    def create(self, model: str, source: str, run: str, tags: Mapping[str, str]) -> int:
        """Make a version with its tags, in one step; MLflow gives the number."""
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        made = self._server.post("model-versions/create", name=self.name(model), source=source, run_id=run, tags=pairs)
        return int(made["model_version"]["version"])

    def tag(self, model: str, number: int, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._server.post("model-versions/set-tag", name=self.name(model), version=str(number), key=key, value=value)

    def delete(self, model: str, number: int) -> None:
        """Remove a version; its number is not given again."""
        with _missing_is_fine():
            self._server.post("model-versions/delete", method="DELETE", name=self.name(model), version=str(number))

    def aliases(self, model: str) -> dict[str, int]:
        """Return the aliases in MLflow's own books."""
        try:
            found = self._server.get("registered-models/get", name=self.name(model))["registered_model"]
        except Refused as error:
            if error.is_missing:
                return {}
            raise
        return {pair["alias"]: int(pair["version"]) for pair in found.get("aliases", ())}

    def set_alias(self, model: str, alias: str, number: int | None) -> None:
        """Let an alias point to a version in MLflow's own books, or to none."""
        name = self.name(model)
        with _missing_is_fine():  # the version was deleted: nothing can point to it
            if number is None:
                self._server.post("registered-models/alias", method="DELETE", name=name, alias=alias)
            else:
                self._server.post("registered-models/alias", name=name, alias=alias, version=str(number))


def _shelved(document: Mapping[str, Any]) -> Shelved:
    return Shelved(
        number=int(document["version"]),
        run=document.get("run_id", ""),
        tags={pair["key"]: pair.get("value", "") for pair in document.get("tags", ())},
        aliases=tuple(document.get("aliases", ())),
    )
