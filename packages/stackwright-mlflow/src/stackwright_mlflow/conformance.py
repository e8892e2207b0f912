"""What the conformance kit is told of the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar


class MlflowConformance:
    """An experiment and a prefix a test, on the server that is given."""

    options: ClassVar[Mapping[str, Any]] = {"experiment": "{name}", "prefix": "{name}."}
    kills: ClassVar[int] = 5
    inapplicable: ClassVar[Mapping[str, str]] = {
        "test_altered_files_are_not_handed_out": "what the server keeps cannot be damaged from here"
    }

    def copy(self: Any, source: Path, target: Path) -> None:
        """Publish and record anew what the registry of one folder holds."""
        original, copied = self.open(source), self.open(target)
        versions, events = original.history()
        for version in versions:
            copied.publish(version.name, original.fetch(version), version.record)
        for event in events:
            if event.kind == "alias":
                copied.record(event, expected=event.before)
