"""A stack for notebooks: the verbs as methods, results that show themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from stackwright.workflows.datasets.labelled_rows import LabelledRows
    from stackwright_interfaces.feature_store import ArrowStream


class NotebookStack(Stack):
    """The parts of a project, with every verb as a method. Each gives an :class:`Outcome`, which shows itself."""

    def __init__(self, folder: Path | str = ".", **options: Any) -> None:
        from stackwright.progress import Bar

        self._bar = Bar()
        super().__init__(folder, **{"progress": self._bar, **options})

    def __repr__(self) -> str:
        """Say which project it is."""
        return f"<stack {self.blueprint.name!r} of {self.project.folder}>"

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Take the progress bar away at the end, also of work that was cut off."""
        try:
            yield
        finally:
            self._bar.close()

    def check(self) -> Outcome:
        """Check the blueprint: every problem at once."""
        from stackwright.workflows.inspection import check

        return check(self.project.folder, self.project.env)

    def lock(self) -> Outcome:
        """Record what the stack is built of, for ``check`` to compare."""
        from stackwright.workflows.inspection import lock

        return lock(self)

    def compare(self, slot: str, *adapters: str, options: Mapping[str, str] | None = None) -> Outcome:
        """Run the project's own workload on two adapters of a slot; one alone is held against the blueprint's."""
        from stackwright.workflows.swapping.compare import compare

        with self._watched():
            return compare(self, slot, list(adapters), options)

    def swap(
        self,
        slot: str,
        adapter: str,
        options: Mapping[str, str] | None = None,
        *,
        prove: bool = False,
        migrate: bool = False,
    ) -> Outcome:
        """Put another adapter into a slot of the blueprint; load the project anew to work with it."""
        from stackwright.workflows.swapping.swap import swap

        with self._watched():
            return swap(self, slot, adapter, options, prove=prove, move=migrate)

    def apply(self) -> Outcome:
        """Put the definitions of ``features.py`` in force."""
        from stackwright.workflows.features.catalogue import apply

        return apply(self)

    def ingest(self, view: str, source: object, *, table: str | None = None, query: str | None = None) -> Outcome:
        """Add rows of files, of a database, or of a frame to a view."""
        from stackwright.workflows.features.catalogue import ingest

        return ingest(self, view, source, table=table, query=query)

    def push(self, view: str, source: Path | str) -> Outcome:
        """Add events, JSON lines of a file, to a view and bring them online at once."""
        from stackwright.workflows.features.push import push

        return push(self, view, str(source))

    def backfill(
        self, view: str, start: datetime, end: datetime, *, step: timedelta | None = None, force: bool = False
    ) -> Outcome:
        """Compute a view for a span of the past, an interval at a time."""
        from stackwright.workflows.features.catalogue import find_view
        from stackwright.workflows.features.computation import backfill

        with self._watched():
            return backfill(self, find_view(self.definitions, view), start, end, step=step, force=force)

    def tick(self, at: datetime | None = None) -> Outcome:
        """Drain streams, and run the scheduled views that are due."""
        from stackwright.workflows.features.schedule import tick

        with self._watched():
            return tick(self, at)

    def statistics(self, view: str) -> Outcome:
        """Show what the last ingestion into a view held."""
        from stackwright.workflows.features.catalogue import find_view
        from stackwright.workflows.features.ingestion import statistics

        return statistics(self, find_view(self.definitions, view))

    def quarantine(
        self, view: str | None = None, *, export: Path | str | None = None, clear: bool = False, yes: bool = False
    ) -> Outcome:
        """Show, export or let go rows that were set aside."""
        from stackwright.workflows.features.catalogue import find_view
        from stackwright.workflows.features.quarantine import quarantine

        chosen = None if view is None else find_view(self.definitions, view)
        return quarantine(self, chosen, export=None if export is None else Path(export), clear=clear, yes=yes)

    def materialize(self, *views: str, at: datetime | None = None) -> Outcome:
        """Bring new rows online."""
        from stackwright.workflows.features.catalogue import materialize

        with self._watched():
            return materialize(self, views, at=at)

    def search(self, *words: str) -> Outcome:
        """Search the features by name, tag, owner, entity or text (the verb ``features``)."""
        from stackwright.workflows.features.catalogue import search

        return search(self, words)

    def share(self, view: str, *, to: str, why: str = "", revoke: bool = False) -> Outcome:
        """Permit another team to import a view, or withdraw that."""
        from stackwright.workflows.features.sharing import share

        return share(self, view, to=to, why=why, revoke=revoke)

    def import_view(self, ref: str) -> Outcome:
        """Import another team's view (the verb ``import``)."""
        from stackwright.workflows.features.sharing import import_view

        return import_view(self, ref)

    def training_set(self, model: str | None = None) -> pa.Table:
        """Return a model's training set: the service's outputs, the target, and when each row was asked for."""
        import pyarrow as pa

        from stackwright.workflows.datasets.building import build

        part = self.model(model)
        rows = build(self, part)
        return pa.table({**rows.columns, part.target: rows.target, "asked_at": rows.asked})

    def join(
        self,
        service: str,
        labels: Path | str,
        out: Path | str,
        *,
        table: str | None = None,
        query: str | None = None,
        time: str = "event_time",
        as_of: datetime | None = None,
        known_by: bool = False,
    ) -> Outcome:
        """Join labels with features into a Parquet file (the verb ``training-set``)."""
        from stackwright.workflows.datasets.training_set import training_set

        with self._watched():
            return training_set(
                self, service, labels, Path(out), table=table, query=query, time=time, as_of=as_of, known_by=known_by
            )

    def rows(
        self,
        name: str,
        labels: ArrowStream | None = None,
        *,
        target: str | None = None,
        time: str = "",
        censored: bool = False,
        known_at: datetime | None = None,
        as_of: datetime | None = None,
        known_by: bool = False,
    ) -> LabelledRows:
        """Return labels joined with features as plain columns, of a model or of a service."""
        from stackwright.workflows.datasets.labelled_rows import labelled_rows

        with self._watched():
            return labelled_rows(
                self,
                name,
                labels,
                target=target,
                time=time,
                censored=censored,
                known_at=known_at,
                as_of=as_of,
                known_by=known_by,
            )

    def publish(
        self,
        estimator: Any,
        name: str,
        *,
        columns: Mapping[str, Any],
        target: Any,
        asked: Any,
        keys: Mapping[str, Any],
        observed: Any = None,
        group: Any = None,
        position: Any = None,
        event: Any = None,
        settings: Mapping[str, Any] | None = None,
        about: Mapping[str, str] | None = None,
        adapter: str = "sklearn",
        force: bool = False,
    ) -> Outcome:
        """Fit a copy of an estimator on the older rows, judge it by the newer ones, and publish it."""
        from stackwright.workflows.training.publish_estimator import NotebookRows, publish_estimator

        rows = NotebookRows(
            columns=columns,
            target=target,
            asked=asked,
            observed=observed,
            keys=keys,
            group=group,
            position=position,
            event=event,
        )
        with self._watched():
            return publish_estimator(
                self, estimator, name, rows, settings=settings, about=about, adapter=adapter, force=force
            )

    def delete_entity(self, entity: str, *, yes: bool = False, **keys: str) -> Outcome:
        """Remove an entity from history and online."""
        from stackwright.workflows.features.deletion import delete_entity

        return delete_entity(self, entity, keys, yes=yes)

    def train(self, model: str | None = None, *, force: bool = False) -> Outcome:
        """Build the training set, fit, judge and publish a model."""
        from stackwright.workflows.training.any_model import train

        with self._watched():
            return train(self, model, force=force)

    def runs(self, model: str | None = None) -> Outcome:
        """List training runs."""
        from stackwright.workflows.versions.models import runs

        return runs(self, model)

    def models(self, model: str | None = None) -> Outcome:
        """List published models."""
        from stackwright.workflows.versions.models import models

        return models(self, model)

    def promote(self, ref: str, *, alias: str = "", force: bool = False, reason: str = "") -> Outcome:
        """Point an alias to a version whose gates are green."""
        from stackwright.workflows.versions.models import promote

        return promote(self, ref, alias=alias, force=force, reason=reason)

    def rollback(self, model: str | None = None, *, alias: str = "", reason: str = "") -> Outcome:
        """Point an alias back to where it was."""
        from stackwright.workflows.versions.models import rollback

        return rollback(self, model, alias=alias, reason=reason)

    def runs_compare(self, first: str, second: str) -> Outcome:
        """Put two runs side by side, what differs first."""
        from stackwright.workflows.lineage.comparing import compare

        return compare(self, first, second)

    def runs_show(self, run: str) -> Outcome:
        """Show a run in full: what it cost, where it failed, its log."""
        from stackwright.workflows.lineage.run_showing import show_run

        return show_run(self, run)

    def models_show(self, ref: str, *, out: Path | str | None = None) -> Outcome:
        """Show a published model in full, and write its card."""
        from stackwright.workflows.versions.showing import show_model

        return show_model(self, ref, out=None if out is None else Path(out))

    def retire(self, ref: str, *, reason: str = "", drain: bool = False, undo: bool = False) -> Outcome:
        """Take a version out of use, or back into it."""
        from stackwright.workflows.versions.retirement import retire

        return retire(self, ref, reason=reason, drain=drain, undo=undo)

    def impact(self, name: str | None = None, *, diff: Path | str | None = None) -> Outcome:
        """Tell what a change would reach, and who owns it."""
        from stackwright.workflows.lineage.impact import impact

        return impact(self, name, diff=None if diff is None else Path(diff))

    def trace(self, prediction_id: str, *, rows: Path | str | None = None) -> Outcome:
        """Trace a prediction to its model, rows, features and files."""
        from stackwright.workflows.lineage.trace import trace

        return trace(self, prediction_id, rows=None if rows is None else Path(rows))

    def reproduce(self, ref: str) -> Outcome:
        """Train a version again as things were known then."""
        from stackwright.workflows.lineage.reproduce import reproduce

        with self._watched():
            return reproduce(self, ref)

    def export(self, ref: str, out: Path | str) -> Outcome:
        """Write a model as a folder that predicts on its own."""
        from stackwright.workflows.versions.export import export

        return export(self, ref, Path(out))

    def worth(self, *words: str, days: float = 30.0) -> Outcome:
        """Show what features are read for, what they cost and are worth."""
        from stackwright.workflows.lineage.worth import worth

        return worth(self, words, days=days)

    def ablate(self, ref: str) -> Outcome:
        """Fit a model again without each feature, to find what that is worth."""
        from stackwright.workflows.lineage.ablation import ablate

        with self._watched():
            return ablate(self, ref)

    def scorecard(self, model: str | None = None) -> Outcome:
        """Score the project by Google's ML Test Score, from what was measured."""
        from stackwright.workflows.scorecard.score import scorecard

        return scorecard(self, model)

    def recommend(self, ref: str | None = None, *, to: Path | str | None = None, **asked: Any) -> Outcome:
        """Recommend: one list, or with ``to`` the lists of all users; keywords are ``user``, ``session``, ``n``..."""
        from stackwright.workflows.batch.lists import recommend_all
        from stackwright.workflows.recommending.asking import question_of, recommend

        if to is not None:
            with self._watched():
                into = asked.pop("into", None)
                return recommend_all(self, question_of(asked), str(to), ref=ref, into=into)
        return recommend(self, question_of(asked), ref=ref)

    def predict(
        self, *, model_ref: str | None = None, at: datetime | None = None, explain: bool = False, **keys: Any
    ) -> Outcome:
        """Predict for one entity, given its keys and request fields as keywords."""
        from stackwright.workflows.live.predict import predict

        return predict(self, keys, model=model_ref, at=at, explain=explain)

    def serve(self, *, port: int | None = None) -> None:
        """Serve the promoted models over HTTP until interrupted."""
        from stackwright.workflows.live.serve import serve

        if port is not None:
            self.override("server", port=port)
        serve(self)

    def console(self, *, host: str = "127.0.0.1", port: int = 8500, token: str = "") -> None:
        """Show the project as a web page until interrupted."""
        from stackwright.cli.console import open_console

        open_console(self.project.folder, self.project.env, host=host, port=port, token=token)

    def image(
        self, out: Path | str, *, kind: str = "docker", wheels: Path | str | None = None, include: Sequence[str] = ()
    ) -> Outcome:
        """Write the context of a container image that serves the promoted models."""
        from stackwright.workflows.live.image import image

        return image(self, Path(out), kind=kind, wheels=None if wheels is None else Path(wheels), include=include)

    def canary(
        self,
        model: str,
        version: int | None = None,
        *,
        share: float | None = None,
        shadow: bool = False,
        by: Sequence[str] = (),
        end: bool = False,
        force: bool = False,
        reason: str = "",
    ) -> Outcome:
        """Put a version on trial beside the champion, change its share, or end the trial."""
        from stackwright.workflows.versions.challengers import canary

        return canary(self, model, version, share=share, shadow=shadow, by=by, end=end, force=force, reason=reason)

    def verify(
        self,
        url: str | None = None,
        *,
        model_ref: str | None = None,
        p99_ms: float | None = None,
        requests: int = 100,
        record: bool = False,
        **keys: Any,
    ) -> Outcome:
        """Hold a live server to what the registry says that it serves; keywords are keys of a row to predict."""
        from stackwright.workflows.live.verify import verify

        return verify(self, url, model=model_ref, keys=keys, p99_ms=p99_ms, requests=requests, record=record)

    def deploy(self, to: str, *, model: str | None = None, **keys: Any) -> Outcome:
        """Move a verified version into an environment, whichever this stack is of; keywords are keys of a row."""
        from stackwright.workflows.live.deploy import deploy

        common: Any = {"plugins": self.plugins, "progress": self.progress, "clock": self.clock}
        with (
            Stack(self.project.folder, env=to, **common) as target,
            Stack(self.project.folder, env=target.blueprint.deploy.after, **common) as source,
        ):
            return deploy(source, target, model=model, keys=keys)

    def score(
        self,
        source: Path | str,
        out: Path | str,
        *,
        model: str | None = None,
        at: datetime | None = None,
        table: str | None = None,
        query: str | None = None,
        into: str | None = None,
        keep: Sequence[str] = (),
        by: Sequence[str] = (),
        max_rejected: float | None = None,
        restart: bool = False,
        journal: bool = False,
    ) -> Outcome:
        """Predict for every row of a table, in bounded memory, resumably."""
        from stackwright.workflows.batch.score import Request, score

        request = Request(
            source=str(source),
            out=str(out),
            model=model,
            at=at,
            table=table,
            query=query,
            into=into,
            keep=tuple(keep),
            by=tuple(by),
            max_rejected=max_rejected,
            restart=restart,
            journal=journal,
        )
        with self._watched():
            return score(self, request)

    def job(self, name: str, at: datetime | None = None) -> Outcome:
        """Run a job of the blueprint: a table scored into its outputs, as of a day."""
        from stackwright.workflows.batch.jobs import job

        with self._watched():
            return job(self, name, at)

    def label(
        self,
        source: Path | str,
        *,
        target: str | None = None,
        table: str | None = None,
        query: str | None = None,
        clicks: bool = False,
    ) -> Outcome:
        """Add ground truth, whenever it comes; or clicks on the lists of a recommender."""
        from stackwright.workflows.monitoring.clicks import add_clicks
        from stackwright.workflows.monitoring.labels import label

        if clicks:
            return add_clicks(self, source, table=table, query=query)
        return label(self, source, target=target, table=table, query=query)

    def report(
        self,
        model: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_at: datetime | None = None,
        labels: int | None = None,
        replay: int | None = None,
    ) -> Outcome:
        """Monitor a window: HTML and JSON; of a recommender, its lists, and what another version would have earned."""
        from stackwright.workflows.monitoring.report import report

        return report(self, model, start=start, end=end, known_at=known_at, position=labels, challenger=replay)

    def parity(
        self,
        model: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        rows: int = 1000,
        tolerance: float = 1e-5,
    ) -> Outcome:
        """Hold live answers against the offline path as it was known then."""
        from stackwright.workflows.monitoring.parity import parity

        return parity(self, model, start=start, end=end, rows=rows, tolerance=tolerance)

    def watch(self, model: str | None = None, *, act: bool = True) -> Outcome:
        """Judge windows, alert, retrain or roll back, and tell people, once."""
        from stackwright.workflows.monitoring.watch import watch

        with self._watched():
            return watch(self, model, act=act)

    def decisions(self, model: str | None = None, *, number: int | None = None) -> Outcome:
        """Show what was decided about models, and why."""
        from stackwright.workflows.monitoring.decisions import decisions

        return decisions(self, model, number=number)

    def experiment(
        self, name: str | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> Outcome:
        """Compare live, canary and shadow on declared metrics."""
        from stackwright.workflows.monitoring.experiment import experiment

        return experiment(self, name, start=start, end=end)

    def _repr_html_(self) -> str:
        rows: Sequence[Sequence[Any]] = [(slot, choice.spec.name) for slot, choice in self.plan.choices.items()]
        return Outcome(f"stack {self.blueprint.name!r}", tables=(Table(("slot", "adapter"), rows),))._repr_html_()
