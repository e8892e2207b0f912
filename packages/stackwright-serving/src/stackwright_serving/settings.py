"""Settings of the application: ``[serving]`` of a blueprint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the application. Every limit holds for one worker process.

    Args:
        tokens: bearer tokens that open predictions and what is told of models, each a secret of 16 characters or more;
            several, so that one can be replaced while clients still send the other. Without any they are open to
            everyone who reaches the address.
        admin_tokens: bearer tokens that open ``/admin`` and ``/jobs``. Without any these are closed to everyone.
        max_head: bytes of a request's headers.
        max_body: bytes of a request's body, also of one that it unpacks to.
        max_rows: rows of a request.
        max_depth: nesting of a JSON body.
        concurrency: requests that may be under way; more are answered with 503 at once.
        timeout: seconds from the head of a request to its answer.
        deadline: seconds that a read from the feature store may take, for each thousand rows that it is of.
        threads: requests that are worked on beside those that are answered at once.
        at_once: bytes of a body from which on a request is worked on beside the others.
        together: rows of a request up to which it is answered together with others that come at the same moment; 0
            answers each by itself.
        patience: seconds of a read from the feature store from which on the next ones are done beside the others.
        failures: failed reads in a row after which the feature store is left alone.
        rest: seconds that it is left alone.
        fallback: answer from defaults, and say so, where the feature store fails; without it the answer is 503 or 504.
        poll: seconds between two looks at the registry.
        probe: seconds that a new version may take to be loaded and checked in a process of its own.
        explain_rows: rows of a request whose answers are to be explained.
        shadow_rows: rows, or lists, that may wait for a shadow; beyond them, requests are not copied to it.
        stale_lists: seconds since a recommender was published from which on its lists are flagged as stale.
        max_jobs: requests for jobs that may wait, of all workers.
        clock_skew: seconds that an asked instant may lie ahead of the server's clock.
        log_level: least level of what is logged: ``debug``, ``info``, ``warning`` or ``error``.
        access_log: log every request; without it those alone that the server failed at.
        service: name of the service in logs and traces; without it the blueprint's.
        traces: address of an OpenTelemetry receiver for OTLP over HTTP, ``http://localhost:4318`` say; empty exports
            nothing. Needs ``stackwright-serving[otel]``.
        trace_headers: headers for it, secrets among them.
        trace_share: share of the traces that begin here which are exported; others follow their parent's choice.

    Raises:
        ValueError: one is out of its range.
    """

    tokens: tuple[str, ...] = field(default=(), repr=False)
    admin_tokens: tuple[str, ...] = field(default=(), repr=False)
    max_head: int = 32_768
    max_body: int = 10_000_000
    max_rows: int = 10_000
    max_depth: int = 32
    concurrency: int = 128
    timeout: float = 30.0
    deadline: float = 1.0
    threads: int = 4
    at_once: int = 65_536
    together: int = 16
    patience: float = 0.005
    failures: int = 5
    rest: float = 5.0
    fallback: bool = False
    poll: float = 2.0
    probe: float = 60.0
    explain_rows: int = 100
    shadow_rows: int = 1000
    stale_lists: float = 604_800.0
    max_jobs: int = 100
    clock_skew: float = 1.0
    log_level: str = "info"
    access_log: bool = False
    service: str = ""
    traces: str = ""
    trace_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    trace_share: float = 1.0

    def __post_init__(self) -> None:
        for name in (
            "max_head",
            "max_body",
            "max_rows",
            "max_depth",
            "concurrency",
            "threads",
            "failures",
            "explain_rows",
            "max_jobs",
        ):
            self._check(name, 1, math.inf)
        for name in ("timeout", "deadline", "poll", "probe"):
            self._check(name, 0.001, math.inf)
        for name in ("at_once", "together", "patience", "rest", "shadow_rows", "stale_lists", "clock_skew"):
            self._check(name, 0, math.inf)
        self._check("trace_share", 0, 1)
        if self.log_level not in LEVELS:
            raise ValueError(f"log_level is {self.log_level!r}, must be one of: {', '.join(LEVELS)}")
        if self.traces and not self.traces.startswith(("http://", "https://")):
            raise ValueError(f"traces is {self.traces!r}, must be an address that starts with http:// or https://")
        for name in ("tokens", "admin_tokens"):
            if any(len(token) < SHORTEST for token in getattr(self, name)):
                raise ValueError(f"{name} holds a token of fewer than {SHORTEST} characters")

    def deadline_of(self, rows: int) -> float:
        """Return the seconds that a read of so many rows may take."""
        return self.deadline * max(1.0, rows / ROWS)

    def _check(self, name: str, low: float, high: float) -> None:
        if not low <= getattr(self, name) <= high:
            range_ = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
            raise ValueError(f"{name} is {getattr(self, name)!r}, must be {range_}")


ROWS: Final = 1000
"""Rows that one ``deadline`` is for: a read of more takes longer, and no store is to blame for it."""

SHORTEST: Final = 16
"""Characters of a token: fewer could be guessed."""
