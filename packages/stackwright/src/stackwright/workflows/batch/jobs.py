"""Jobs of the blueprint: tables that are scored again and again, each run as of one instant."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from stackwright.assembly.blueprint import JobPart
from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.score import Request, score
from stackwright.workflows.live.job_requests import find, midnight
from stackwright.workflows.outcome import Outcome


def job(stack: Stack, name: str, at: datetime | None = None) -> Outcome:
    """Run a job as of an instant. Run again, it ends as if it had run once: outputs hold each row of that instant once.

    Args:
        at: features are those of then; without it, of the beginning of the present day in the job's zone.

    Raises:
        UsageError: there is no such job; and what :func:`~stackwright.workflows.batch.score.score` raises.
    """
    part = find(stack, name)
    return score(stack, request(stack, part, at or midnight(stack, part)))


def request(stack: Stack, part: JobPart, at: datetime) -> Request:
    """Return what a job asks for as of an instant: ``{date}`` and ``{project}`` filled in, paths below the project."""
    date = at.astimezone(ZoneInfo(part.zone)).date().isoformat()

    def filled(text: str) -> str:
        return text.replace("{date}", date).replace("{project}", str(stack.project.folder))

    def located(text: str) -> str:
        return text if text.startswith("env:") else stack.url(filled(text))

    first, *others = [(located(out), into) for out, into in part.out]
    return Request(
        source=located(part.source),
        out=first[0],
        into=first[1],
        also=tuple(others),
        model=part.model or None,
        at=at,
        table=part.table,
        query=None if part.query is None else filled(part.query),
        keep=part.keep,
        journal=part.journal,
        stamped=True,
    )
