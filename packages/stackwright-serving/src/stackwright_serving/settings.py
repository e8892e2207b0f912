"""Limits of the application."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits of the application.

    Args:
        max_body: bytes of a request's body.
        max_rows: rows of a request.
        max_depth: nesting of a JSON body.
        deadline: seconds that a read from the feature store may take.
        poll: seconds between two looks at the registry.
        shadow_rows: rows that may wait for a shadow; beyond them, requests are not copied to it.
        clock_skew: seconds that an asked instant may lie ahead of the server's clock.
    """

    max_body: int = 10_000_000
    max_rows: int = 10_000
    max_depth: int = 32
    deadline: float = 1.0
    poll: float = 2.0
    shadow_rows: int = 1000
    clock_skew: float = 1.0
