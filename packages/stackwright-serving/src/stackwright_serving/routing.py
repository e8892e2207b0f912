"""Which endpoint a method and a path mean, and who may ask it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final

from stackwright_serving.exchange import Endpoint
from stackwright_serving.refused import Refused

_SEGMENT: Final = r"[^/]+"
_NAME: Final = re.compile(r"[A-Za-z_][\w-]*(?:/[A-Za-z_][\w-]*)?")
_VERSION: Final = re.compile(r"[\w.-]{1,64}")
_KEPT: Final = 256  # paths that were found lately; a served model is asked under one or two
_HARMFUL: Final = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.\.?(?:/|$)")


class Access(Enum):
    """Who may ask: everyone; who has a token; who has a token of either kind; who has an operator's token."""

    OPEN = "open"
    PREDICT = "predict"
    TOLD = "told"
    ADMIN = "admin"


@dataclass(frozen=True)
class Route:
    """An endpoint at a path.

    Args:
        method: ``"GET"`` or ``"POST"``.
        path: may hold ``{model}``, a name with or without a namespace, ``{version}`` and ``{job}``.
        endpoint: what answers.
        access: who may ask.
        limited: whether it counts among the requests that are limited in number and time.
    """

    method: str
    path: str
    endpoint: Endpoint
    access: Access = Access.PREDICT
    limited: bool = True


@dataclass
class _Place:
    """What lies at one path."""

    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds the route of a request.

    Args:
        routes: of two whose paths both fit, the first is taken.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, _Place] = {}
        self._patterns: list[tuple[re.Pattern[str], str, Route]] = []
        for route in routes:
            if "{" in route.path:
                head, _, rest = route.path.partition("{")
                self._patterns.append((_pattern("{" + rest), head, route))
            else:
                self._exact.setdefault(route.path, _Place()).routes[route.method] = route
        self._found = lru_cache(maxsize=_KEPT)(self._find)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Return the route, and what the path names.

        Raises:
            Refused: there is none (404), none of this method (405), or a name is none that a model could have (400).
        """
        return self._found(method, path)

    def _find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        method = "GET" if method == "HEAD" else method
        place = self._exact.get(path)
        if place is not None and method in place.routes:
            return place.routes[method], {}
        allowed = set(place.routes) if place is not None else set()
        for pattern, head, route in self._patterns:
            match = pattern.fullmatch(path, len(head)) if path.startswith(head) else None
            if match is not None:
                if route.method == method:
                    return route, _checked(match.groupdict())
                allowed.add(route.method)
        shown = path[:200]
        if allowed:
            raise Refused(405, f"{method} is not allowed at {shown}", f"Allowed: {', '.join(sorted(allowed))}.")
        if _HARMFUL.search(path):
            raise Refused(400, f"{shown!r} is no path of this server", "See /openapi.json")
        raise Refused(404, f"{shown}: no such path", "See /openapi.json")


def _pattern(template: str) -> re.Pattern[str]:
    text = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    text = text.replace("{model}", f"(?P<model>{_SEGMENT}(?:/{_SEGMENT})?)")
    text = text.replace("{version}", f"(?P<version>{_SEGMENT})")
    return re.compile(text.replace("{job}", f"(?P<job>{_SEGMENT})"))


def _checked(names: Mapping[str, str]) -> Mapping[str, str]:
    for kind, rule in (("model", _NAME), ("version", _VERSION), ("job", _VERSION)):
        name = names.get(kind)
        if name is not None and not rule.fullmatch(name):
            raise Refused(400, f"{name[:200]!r} is no {kind}", "Ask /models for those that are served.")
    return names
