"""The work on one part: read, sift, score, write."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet

from stackwright.assembly.project import write_json
from stackwright.assembly.replacing import replacing
from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.answering import Answered, Answering
from stackwright.workflows.batch.journaling import ARM, Staged
from stackwright.workflows.batch.parts import Part
from stackwright.workflows.batch.rejects import Sifted, sift, with_reasons
from stackwright.workflows.live.scoring import load, scorer_of
from stackwright.workflows.rows.files import first_line
from stackwright.workflows.versions.resolving import find
from stackwright_features.arrow import INSTANT
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import Watermark
from stackwright_journal.rows import PredictionRows
from stackwright_numerics.drift import Counts, Histogram
from stackwright_serving.scorer import Scored

PREDICTIONS: Final = ("prediction", "lower", "upper", "incomplete")
STAMPS: Final = ("model", "asked_at")
ID: Final = "prediction_id"


@dataclass(frozen=True)
class Job:
    """What is the same for all parts; crosses to other processes.

    Args:
        project: the project's folder.
        env: its environment.
        folder: where parts are laid down.
        model: ``NAME@VERSION``.
        at: the instant that is asked for.
        schema: columns of the source.
        keep: those that are written beside the predictions.
        by: those that the output is cut by.
        most: rejected rows after which a part is given up.
        run: names this job and its instant, as no other.
        begun: when it was begun.
        home: where the job keeps what is no output.
        plan: digest of the plan.
        known: view reference → how much of its history counts; ``None`` counts all.
        journal: its predictions enter the journal.
        stamped: the output says which model answered, and of which instant.
    """

    project: Path
    env: str | None
    folder: Path
    model: str
    at: datetime
    schema: pa.Schema
    keep: tuple[str, ...]
    by: tuple[str, ...]
    most: int
    run: str
    begun: datetime
    home: Path
    plan: str
    known: Mapping[str, Watermark] | None = None
    journal: bool = False
    stamped: bool = False

    @property
    def added(self) -> tuple[str, ...]:
        """Columns that are written whatever the source has of these names."""
        return (*PREDICTIONS, *(STAMPS if self.stamped else ()), *((ID,) if self.journal else ()))


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of a part.

    Args:
        rows: rows that were read.
        answered: rows that were scored.
        rejected: rows that could not be.
        incomplete: rows that lacked a feature.
        seconds: how long it took.
        low: the least prediction.
        high: the greatest.
        total: the sum of the predictions.
        counts: predictions in the bins of the training's, where the model has them.
    """

    rows: int = 0
    answered: int = 0
    rejected: int = 0
    incomplete: int = 0
    seconds: float = 0.0
    low: float | None = None
    high: float | None = None
    total: float = 0.0
    counts: dict[str, Any] | None = None

    def __add__(self, other: Done) -> Done:
        counts = [Counts.from_json(item) for item in (self.counts, other.counts) if item is not None]
        lows = [item for item in (self.low, other.low) if item is not None]
        highs = [item for item in (self.high, other.high) if item is not None]
        return Done(
            rows=self.rows + other.rows,
            answered=self.answered + other.answered,
            rejected=self.rejected + other.rejected,
            incomplete=self.incomplete + other.incomplete,
            seconds=self.seconds + other.seconds,
            low=min(lows, default=None),
            high=max(highs, default=None),
            total=self.total + other.total,
            counts=sum(counts[1:], counts[0]).to_json() if counts else None,
        )

    @classmethod
    def of(cls, scored: Scored, reference: Histogram | None) -> Self:
        """Describe answered rows."""
        values = scored.prediction.value
        if not len(values):
            return cls()
        return cls(
            answered=len(values),
            incomplete=len(scored.incomplete),
            low=float(values.min()),
            high=float(values.max()),
            total=float(values.sum()),
            counts=None if reference is None else reference.count(values).to_json(),
        )


class Worker:
    """Scores parts of a job with a model of its own: what a model holds while it predicts is not shared by threads.

    Args:
        stack: the project, open.
        job: what is the same for all parts.

    Attributes:
        schema: columns of the output.
        reads_features: features come from the feature store.

    Raises:
        MissingColumn: neither the keys nor the inputs are all there.
    """

    def __init__(self, stack: Stack, job: Job) -> None:
        used = scorer_of(stack, load(stack, find(stack, job.model)))
        self._job = job
        self._model = used.model
        self._answer = Answering(stack, used, job.schema.names, job.at, job.known)
        self.reads_features = self._answer.reads_features
        wanted = {*job.keep, *job.by, *self._answer.columns, *(self._answer.keys if job.journal else ())}
        self._columns = [name for name in job.schema.names if name in wanted]
        found = used.model.manifest.histograms.get("prediction")
        self._reference = None if found is None else Histogram.from_json(found)
        none = job.schema.empty_table().select(self._columns)
        self.schema: pa.Schema = self._output(self._answer(none), []).schema

    def run(self, part: Part) -> Done:
        """Score a part, unless that was done.

        Raises:
            DataError: its file is damaged, too many rows cannot be scored, or the disk cannot take the answers.
        """
        before = done(self._job.folder, part)
        if before is not None:
            return before
        started = time.perf_counter()
        tally = _Tally(self._reference)
        try:
            with Staged(self._job.home, part.number) as lines:
                lay_down(self._job, part, self.schema, self._outputs(part, tally, lines))
            if tally.aside:
                with replacing(rejected_file(self._job.folder, part)) as temporary:
                    pyarrow.parquet.write_table(with_reasons(tally.aside), temporary)
        except OSError as error:
            todo = "Free space there and run the same again: what is done stays done."
            raise DataError(str(self._job.folder), f"cannot be written ({first_line(error)})", todo) from error
        found = replace(tally.done, seconds=round(time.perf_counter() - started, 4))
        write_json(_note(self._job.folder, part), asdict(found))
        return found

    def _outputs(self, part: Part, tally: _Tally, lines: Staged) -> Iterator[pa.Table]:
        for batch in part.batches(self._job.schema, self._columns):
            rows = pa.Table.from_batches([batch])
            sifted = sift(rows, self._answer, self._job.most - len(tally.aside))
            before = tally.done.answered
            tally.add(rows, sifted)
            for answered in sifted.answered:
                ids: list[str] = []
                if self._job.journal:
                    ids = [f"{self._job.run}-{part.number}-{before + row}" for row in range(answered.table.num_rows)]
                    lines.add(self._rows(answered, ids))
                before += answered.table.num_rows
                yield self._output(answered, ids).cast(self.schema)

    def _rows(self, answered: Answered, ids: Sequence[str]) -> PredictionRows:
        """Return answered rows as the journal holds them."""
        prediction, model, job, table = answered.scored.prediction, self._model, self._job, answered.table
        return PredictionRows(
            prediction_ids=ids,
            prediction=prediction.value,
            lower=prediction.lower,
            upper=prediction.upper,
            outputs=prediction.further,
            model=model.name,
            version=model.version,
            digest=model.digest,
            features=answered.features,
            columns=answered.columns,
            keys={name: table[name].to_pylist() for name in self._answer.keys},
            request={name: table[name].to_pylist() for name in self._answer.request if name in table.column_names},
            fallbacks=answered.scored.incomplete,
            request_ids=[job.run] * len(ids),
            blueprint=job.plan,
            arm=ARM,
            asked_at=job.at,
            predicted_at=job.begun,
        )

    def _output(self, answered: Answered, ids: Sequence[str]) -> pa.Table:
        """Return what is kept of some rows, with their answers."""
        table, scored, job = answered.table, answered.scored, self._job
        answer = scored.prediction
        ours = {*job.added, *answer.further}
        taken = [name for name in table.column_names if name in {*job.keep, *job.by} - ours]
        table = table.select(taken)
        if job.stamped:
            table = table.append_column("model", pa.repeat(self._model.ref, len(answer.value)))
            table = table.append_column("asked_at", pa.repeat(pa.scalar(job.at, INSTANT), len(answer.value)))
        if job.journal:
            table = table.append_column(ID, pa.array(ids, pa.string()))
        table = table.append_column("prediction", pa.array(answer.value))
        if answer.lower is not None and answer.upper is not None:
            table = table.append_column("lower", pa.array(answer.lower)).append_column("upper", pa.array(answer.upper))
        for name, values in answer.further.items():
            table = table.append_column(name, pa.array(values, from_pandas=True))
        gaps = (
            [None] * len(answer.value)
            if not scored.incomplete
            else [
                ", ".join(scored.incomplete[row]) if row in scored.incomplete else None
                for row in range(len(answer.value))
            ]
        )
        return table.append_column("incomplete", pa.array(gaps, pa.string()))


class _Tally:
    """Counts what becomes of the rows of a part."""

    def __init__(self, reference: Histogram | None) -> None:
        self._reference = reference
        self.done = Done()
        self.aside: list[tuple[pa.Table, str]] = []

    def add(self, rows: pa.Table, sifted: Sifted) -> None:
        """Take note of a batch."""
        self.aside += sifted.rejected
        self.done += Done(rows=rows.num_rows, rejected=len(sifted.rejected))
        for answered in sifted.answered:
            self.done += Done.of(answered.scored, self._reference)


def lay_down(job: Job, part: Part, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    """Write the output of a part, whole or not at all."""
    path = output_of(job.folder, part)
    if not job.by:
        texts = [field.name for field in schema if not pa.types.is_floating(field.type)]
        with (
            replacing(path) as temporary,
            pyarrow.parquet.ParquetWriter(temporary, schema, use_dictionary=texts) as out,
        ):
            for table in tables:
                out.write_table(table)
        return
    begun = path.with_name(f".{path.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    with _first_raised() as told:
        ds.write_dataset(
            pa.RecordBatchReader.from_batches(schema, told(batch for table in tables for batch in table.to_batches())),
            begun,
            format="parquet",
            partitioning=ds.partitioning(pa.schema([schema.field(name) for name in job.by]), flavor="hive"),
            basename_template=f"part-{part.number:05}-{{i}}.parquet",
            use_threads=False,
        )
    begun.mkdir(exist_ok=True)
    begun.replace(path)


@contextmanager
def _first_raised() -> Iterator[Callable[[Iterator[Any]], Iterator[Any]]]:
    """Raise what ended a stream as it was: a consumer in another language keeps its text alone."""
    raised: list[Exception] = []

    def told(batches: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from batches
        except Exception as error:
            raised.append(error)
            raise

    try:
        yield told
    except Exception:
        if raised:
            raise raised[0] from raised[0].__cause__
        raise


def output_of(folder: Path, part: Part) -> Path:
    """Return where the output of a part lies: a file, or a folder where the output is cut by columns."""
    return folder / "parts" / f"part-{part.number:05}.parquet"


def rejected_file(folder: Path, part: Part) -> Path:
    """Return where the rows of a part lie that could not be scored."""
    return folder / "rejected" / f"{part.number:05}.parquet"


def done(folder: Path, part: Part) -> Done | None:
    """Return what became of a part, ``None`` where it is not done."""
    try:
        return Done(**json.loads(_note(folder, part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _note(folder: Path, part: Part) -> Path:
    return folder / "done" / f"{part.number:05}.json"
