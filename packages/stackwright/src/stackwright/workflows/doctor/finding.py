"""What one look found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from stackwright.assembly.reading import Problem


@dataclass(frozen=True)
class Finding:
    """What one look found: nothing to do, or what to do.

    Args:
        subject: what was looked at.
        found: how it is.
        todo: what mends it; empty where all is well.
    """

    subject: str
    found: str
    todo: str = ""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.todo

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {**asdict(self), "state": "ok" if self.ok else "problem"}

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> list[Finding]:
        """Take over problems of a blueprint."""
        return [cls(problem.where, problem.found, problem.todo or "Mend it.") for problem in problems]
