"""Moving what a slot's part keeps into the part that comes into its place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from stackwright.assembly.stack import Stack
from stackwright.workflows.swapping.candidates import Candidate
from stackwright.workflows.swapping.moves import Move
from stackwright.workflows.swapping.moving_history import move_history
from stackwright.workflows.swapping.moving_registry import move_registry
from stackwright.workflows.swapping.moving_rows import move_rows
from stackwright.workflows.swapping.replaying import Clock
from stackwright.workflows.swapping.scratch import scratch
from stackwright_features.watermarks import VIEW

MOVABLE: Final = ("online", "offline", "registry")


def migrate(stack: Stack, old: Candidate, new: Candidate) -> Move:
    """Move and verify what the old part keeps; it is read, and left as it is.

    A move that was cut off, by a kill too, goes on where it ended when it is begun again.

    Raises:
        Mismatch: it is not the same in the new place.
    """
    clock = Clock()
    at: Callable[[], datetime] = clock if old.place.slot == "registry" else stack.clock
    with scratch(stack) as place, stack.other(new.blueprint, place.folder, at) as other:
        if old.place.slot == "registry":
            return move_registry(stack.registry, other.registry, clock, stack.progress)
        views = sorted(stack.project.ever_applied().views, key=lambda view: view.ref)
        if old.place.slot == "online":
            assert stack.online is not None
            assert other.online is not None
            return move_rows(stack.online, other.online, [*(view.ref for view in views), VIEW], stack.progress)
        assert stack.offline is not None
        assert other.offline is not None
        return move_history(stack.offline, other.offline, views, stack.progress)
