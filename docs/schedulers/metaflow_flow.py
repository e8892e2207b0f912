"""A flow of Metaflow: check, train, promote, value the homes, report. Every step is one verb.

``python metaflow_flow.py run`` runs it here, ``run --with batch`` on AWS Batch; ``step-functions create`` hands it to
Step Functions.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from metaflow import FlowSpec, Parameter, retry, step


def verb(project: str, *words: str) -> Any:
    """Return what a verb says; a red gate or check ends the step."""
    done = subprocess.run(["stackwright", *words, "--project", project, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class ValuationsFlow(FlowSpec):
    """The model of the week, and the valuations of a night. What a verb said is an artifact of its step."""

    project = Parameter("project", default="/srv/valuations", help="the project's folder")
    at = Parameter("at", default="2026-01-01T00:00:00Z", help="the instant that is asked for")

    @step
    def start(self) -> None:
        """Check the blueprint."""
        self.checked = verb(self.project, "check")
        self.next(self.train)

    @retry(times=1)
    @step
    def train(self) -> None:
        """Train, and hold the model to its gates."""
        self.trained = verb(self.project, "train", "valuation")
        self.next(self.promote)

    @step
    def promote(self) -> None:
        """Make it the champion."""
        self.promoted = verb(self.project, "promote", "valuation")
        self.next(self.score)

    @retry(times=1)
    @step
    def score(self) -> None:
        """Value every home; a try that was cut off is taken up."""
        self.scored = verb(self.project, "job", "nightly", "--at", self.at)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Report on it."""
        self.reported = verb(self.project, "report", "valuation")


if __name__ == "__main__":
    ValuationsFlow()
