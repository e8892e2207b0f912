"""The flow: check, train, promote, stage, verify, release, report.

``python -m stackwright_metaflow.flow run --model NAME`` runs it.

Training, the gates and publishing are one verb: what is judged is what is published.
"""

from __future__ import annotations

from metaflow import FlowSpec, Parameter, retry, step

from stackwright_metaflow.verbs import verb


class Pipeline(FlowSpec):
    """Takes a model from rows to production. What a verb said is an artifact of its step.

    A subclass may stand in a file of its own, decorated for where it runs, and take the place of steps.
    """

    project = Parameter("project", default=".", help="the project's folder, or where it lies in the image")
    model = Parameter("model", required=True, help="the model, by its name in the blueprint")
    staging = Parameter("staging", default="", help="the environment before production; none is passed over")
    production = Parameter("production", default="", help="the environment that serves; none is passed over")

    @step
    def start(self) -> None:
        """Check the blueprint."""
        self.checked = verb(self.project, "check")
        self.next(self.train)

    @retry(times=1)
    @step
    def train(self) -> None:
        """Train, hold the model to its gates, and publish it where they are green."""
        self.trained = verb(self.project, "train", self.model)
        self.next(self.promote)

    @step
    def promote(self) -> None:
        """Make it the champion: what was trained here, whatever was published since."""
        self.promoted = verb(self.project, "promote", self.trained["model"])
        self.next(self.stage)

    @step
    def stage(self) -> None:
        """Move it into the environment before production."""
        self.staged = verb(self.project, "deploy", self.staging, "--model", self.model) if self.staging else None
        self.next(self.verify)

    @step
    def verify(self) -> None:
        """Hold the server there to its word, and write down what was found."""
        self.verified = verb(self.project, "verify", "--record", "--env", self.staging) if self.staging else None
        self.next(self.release)

    @step
    def release(self) -> None:
        """Move what held into production; it goes back where it does not hold there."""
        self.released = (
            verb(self.project, "deploy", self.production, "--model", self.model) if self.production else None
        )
        self.next(self.end)

    @step
    def end(self) -> None:
        """Report on it."""
        self.reported = verb(self.project, "report", self.model)


if __name__ == "__main__":
    Pipeline()
