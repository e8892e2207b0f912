"""The shared catalogue: one document a namespace, with its views, who may import them, and who does.

Documents lie on any storage and are replaced by compare-and-set, so that teams that publish at once lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stackwright_interfaces.catalogue import from_json, to_json
from stackwright_interfaces.definitions import Definitions, FeatureView
from stackwright_interfaces.errors import DefinitionError, ObjectNotFound, PreconditionFailed, StorageError
from stackwright_interfaces.imports import with_entities
from stackwright_interfaces.storage import Storage

FORMAT: Final = 1
EVERYONE: Final = "everyone"

_FOLDER: Final = "namespaces/"
_ATTEMPTS: Final = 50

Line = Mapping[str, Any]
"""A grant, a use or a line of the journal, as JSON holds it."""


@dataclass(frozen=True)
class Namespace:
    """What one team has published.

    Args:
        published: view reference → project, who, at, and the store that holds its rows.
        grants: ``view`` (a name covers every version), ``to`` (a namespace, or ``everyone``), who, at, why.
        uses: ``view``, ``by`` (a namespace), project, services, who, at.
        journal: every change, oldest first.
    """

    name: str
    definitions: Definitions = field(default_factory=Definitions)
    published: Mapping[str, Line] = field(default_factory=dict)
    grants: tuple[Line, ...] = ()
    uses: tuple[Line, ...] = ()
    journal: tuple[Line, ...] = ()

    def view(self, ref: str) -> FeatureView | None:
        """Return a view by reference, or ``None``."""
        return next((view for view in self.definitions.views if view.ref == ref), None)

    def permits(self, view: FeatureView, namespace: str) -> bool:
        """Return whether a namespace may import a view."""
        return any(
            grant["view"] in (view.ref, view.name) and grant["to"] in (namespace, EVERYONE) for grant in self.grants
        )

    def with_views(self, views: Iterable[FeatureView], published: Mapping[str, Line]) -> Namespace:
        """Return it with other views."""
        return replace(self, definitions=with_entities(views), published=published)

    def noted(self, line: Line) -> Namespace:
        """Return it with a line more in its journal."""
        return replace(self, journal=(*self.journal, line))


class SharedCatalogue:
    """The namespaces under one URL.

    Args:
        storage: where they lie.
        place: its name in messages.
    """

    def __init__(self, storage: Storage, place: str) -> None:
        self._storage = storage
        self._place = place

    def namespaces(self) -> Iterator[Namespace]:
        """Give every namespace, by name.

        Raises:
            StorageError: the catalogue cannot be read.
            DefinitionError: a document is damaged.
        """
        for key in self._storage.list(_FOLDER):
            yield self._read(key.removeprefix(_FOLDER).removesuffix(".json"))[0]

    def namespace(self, name: str) -> Namespace:
        """Return a namespace; an empty one where nothing was published."""
        return self._read(name)[0]

    def change(self, name: str, edit: Callable[[Namespace], Namespace]) -> Namespace:
        """Replace a namespace by what ``edit`` makes of it; tried again where another project was quicker.

        Raises:
            StorageError: the catalogue cannot be written, or others change it all the time.
        """
        for _ in range(_ATTEMPTS):
            found, tag = self._read(name)
            wanted = edit(found)
            if wanted == found:
                return found
            data = (json.dumps(_to_json(wanted), indent=1, sort_keys=True) + "\n").encode()
            try:
                if tag is None:
                    self._storage.put_if_absent(_key(name), data)
                else:
                    self._storage.put_if_match(_key(name), data, tag)
            except PreconditionFailed:
                continue
            return wanted
        raise StorageError(f"{self._place} {name!r}", f"was changed by others {_ATTEMPTS} times", "Try again.")

    def _read(self, name: str) -> tuple[Namespace, str | None]:
        try:
            stored = self._storage.get(_key(name))
        except ObjectNotFound:
            return Namespace(name), None
        try:
            return _from_json(name, json.loads(stored.data)), stored.tag
        except (ValueError, KeyError, TypeError, AttributeError, DefinitionError) as error:
            where = f"{self._place} {_key(name)}"
            raise DefinitionError(where, f"cannot be read ({error})", "Restore an earlier state of it.") from error


def _key(name: str) -> str:
    return f"{_FOLDER}{name}.json"


def _to_json(namespace: Namespace) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "definitions": to_json(namespace.definitions),
        "published": namespace.published,
        "grants": namespace.grants,
        "uses": namespace.uses,
        "journal": namespace.journal,
    }


def _from_json(name: str, document: Mapping[str, Any]) -> Namespace:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}, this version reads {FORMAT}")
    return Namespace(
        name=name,
        definitions=from_json(document["definitions"]),
        published=dict(document["published"]),
        grants=tuple(document["grants"]),
        uses=tuple(document["uses"]),
        journal=tuple(document["journal"]),
    )
