"""The steps that every way has: definitions, history, training, promotion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.features import catalogue
from stackwright.workflows.ledger import Ledger, file_digest
from stackwright.workflows.training.any_model import train
from stackwright.workflows.training.train import newest
from stackwright.workflows.versions.models import promote
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.errors import PromotionRefused
from stackwright_interfaces.plugin import Sample


@dataclass
class Steps:
    """Runs steps, says what each did and how long it took."""

    say: Callable[[str], None]
    done: list[dict[str, Any]] = field(default_factory=list)

    def run(self, name: str, work: Callable[[], tuple[str, bool]]) -> None:
        """Run one step; it returns what it did, and whether anything had to be done."""
        started = time.monotonic()
        what, changed = work()
        took = time.monotonic() - started
        self.done.append({"step": name, "what": what, "changed": changed, "seconds": round(took, 2)})
        mark = f"{took:6.1f} s" if changed else "unchanged"
        self.say(f"{len(self.done):2}. {name:<12} {mark:>9}  {what}")


class Way:
    """The steps over one project with a sample.

    Args:
        ledger: which steps were done, and with what.
    """

    def __init__(self, stack: Stack, sample: Sample, ledger: Ledger, steps: Steps) -> None:
        self.stack = stack
        self.sample = sample
        self.ledger = ledger
        self.steps = steps

    @property
    def is_online(self) -> bool:
        """Whether features are read online."""
        return bool({"online", "feature_store"} & set(self.stack.plan.choices))

    def apply(self) -> tuple[str, bool]:
        """Put the definitions in force."""
        inputs = file_digest(self.stack.project.features)
        if self.stack.definitions.views and self.ledger.unchanged("apply", inputs):
            return "definitions are in force", False
        outcome = catalogue.apply(self.stack)
        self.ledger.finish("apply", inputs)
        definitions = self.stack.definitions
        return f"{len(definitions.views)} views, {len(definitions.services)} services applied", bool(
            outcome.data["changed"]
        )

    def ingest(self) -> tuple[str, bool]:
        """Add rows to the views that the project has; a sample may hold those of others too."""
        added, changed = 0, False
        views = {view.name for view in self.stack.definitions.views}
        for view, path in self.sample.views.items():
            if view not in views:
                continue
            inputs = [file_digest(path), meaning(catalogue.find_view(self.stack.definitions, view))]
            if self.ledger.unchanged(f"ingest {view}", inputs):
                continue
            outcome = catalogue.ingest(self.stack, view, path)
            added, changed = added + int(outcome.data["added"]), True
            self.ledger.finish(f"ingest {view}", inputs)
        return (f"{added:,} rows into {len(views)} views" if changed else "rows are there"), changed

    def bring_online(self, at: datetime) -> int:
        """Bring online what was known at an instant; return how many rows."""
        outcome = catalogue.materialize(self.stack, at=at)
        return sum(item["written"] for item in outcome.data["views"].values())

    def train(self) -> tuple[str, bool]:
        """Train what the blueprint names."""
        name = self.stack.trained().name
        inputs = self.training_inputs()
        known = newest(self.stack, name)
        if known is not None and self.ledger.unchanged("train", [inputs, known.digest]):
            return f"{known.ref} learned from exactly this", False
        outcome = train(self.stack, name)
        if not outcome.ok:
            raise PromotionRefused(str(outcome.data["model"]), "a gate is red", str(outcome))
        self.ledger.finish("train", [inputs, outcome.data["digest"]])
        gates = f"{len(outcome.data['gates'])} gates green"
        return f"published {outcome.data['model']}, {gates}", bool(outcome.data["changed"])

    def training_inputs(self) -> list[Any]:
        """Return what the training set depends on; late labels are not learned from in this run."""
        files = [file_digest(path) for path in (*self.sample.views.values(), *self.sample.labels.values())]
        return [files, file_digest(self.stack.project.blueprint), file_digest(self.stack.project.features)]

    def promote(self) -> tuple[str, bool]:
        """Promote its newest version."""
        outcome = promote(self.stack, self.stack.trained().name)
        return outcome.title, bool(outcome.data["changed"])
