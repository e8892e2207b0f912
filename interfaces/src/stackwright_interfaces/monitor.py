"""The monitor: compares two sets of rows and renders what it finds. It decides nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stackwright_interfaces.feature_store import ArrowStream
from stackwright_interfaces.model import Signature

CONTRACT: Final = 1


@dataclass(frozen=True, kw_only=True)
class MonitorResult:
    """What a report found.

    Args:
        page: the file to open, self-contained.
        files: all files written.
        findings: column → what the reporter found, JSON values.
        skipped: column → why it could not be compared.
    """

    page: Path
    files: tuple[Path, ...] = ()
    findings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


class Monitor(ABC):
    """Renders a comparison."""

    @abstractmethod
    def compare(self, reference: ArrowStream, current: ArrowStream, signature: Signature, out: Path) -> MonitorResult:
        """Write a report that opens offline into the folder ``out``.

        Args:
            reference: rows as the model learned them: its inputs, and where known ``prediction`` and ``target``.
            current: rows of the window under report, with the same columns; they may be empty, all null or missing.

        Raises:
            MonitorError: no report can be made at all.
        """

    def close(self) -> None:
        """Release what is held. Closing twice is allowed."""
