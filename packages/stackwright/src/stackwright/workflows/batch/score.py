"""``score``: predictions for every row of a source, part by part; what is done stays done, however a run ends."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from stackwright.assembly.locking import held
from stackwright.assembly.output_part import OutputPart
from stackwright.assembly.project import write_json
from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.checks import Check, checks_of
from stackwright.workflows.batch.elsewhere import run_elsewhere
from stackwright.workflows.batch.journaling import enter
from stackwright.workflows.batch.parts import Part, parts_of
from stackwright.workflows.batch.staging import is_direct, on_disk, staged
from stackwright.workflows.batch.targets import FINISHED, Target, targets_of
from stackwright.workflows.batch.work import (
    Done,
    Job,
    Worker,
    done,
    output_of,
    rejected_file,
)
from stackwright.workflows.datasets.pins import Pin, SupportsWatermarks
from stackwright.workflows.live.scoring import resolve
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows import files
from stackwright.workflows.rows.files import Found
from stackwright.workflows.rows.sources import refuse_parts
from stackwright_interfaces.catalogue import canonical
from stackwright_interfaces.compute import SupportsWorkers, cores
from stackwright_interfaces.errors import DataError, RegistryError, UsageError
from stackwright_interfaces.feature_store import Watermark
from stackwright_interfaces.model import Manifest
from stackwright_interfaces.registry import ModelVersion
from stackwright_numerics.drift import Histogram

_JOB: Final = "job.json"
_DEATHS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for.

    Args:
        source: keys, or whole feature rows: a source as :func:`stackwright.workflows.rows.sources.rows_of` has it.
        out: a file, a folder, ``s3://``, or a database's URL.
        model: the model; nothing is the champion.
        at: the instant that is asked for; nothing is now.
        table: the table to read, where the source is a database.
        query: a SELECT to read, instead.
        into: the table to write, where the output is a database.
        keep: columns that are written beside the predictions; nothing is all.
        by: columns that the output is cut by, as ``NAME=VALUE`` folders.
        max_rejected: instead of the blueprint's.
        restart: forget what an earlier run of the same did.
        journal: write the predictions into the journal too, once the output is there.
        stamped: say in the output which model answered, and of which instant.
        also: further outputs, each with its table where it is a database.
    """

    source: str
    out: str
    model: str | None = None
    at: datetime | None = None
    table: str | None = None
    query: str | None = None
    into: str | None = None
    keep: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    max_rejected: float | None = None
    restart: bool = False
    journal: bool = False
    stamped: bool = False
    also: tuple[tuple[str, str | None], ...] = ()

    @property
    def places(self) -> tuple[tuple[str, str | None], ...]:
        """Every output, each with its table where it is a database."""
        return ((self.out, self.into), *self.also)


def score(stack: Stack, request: Request) -> Outcome:
    """Predict for every row of a source, and write them where they are wanted once all of them are checked.

    Rows hold the service's keys and request fields; or the features themselves, from which transforms are computed.
    Features are read online, and by a join from a stack that has history alone.

    Raises:
        UsageError: source, output or columns are not what they can be, or another run writes there.
        MissingColumn: neither the keys nor the inputs are all there.
        DataError: a file is damaged, or too many rows cannot be scored.
    """
    version = resolve(stack, request.model)
    output = _expectations(stack, version, request)
    homes = {_home(stack, out, into): out for out, into in request.places}
    with ExitStack() as opened:
        for home, out in sorted(homes.items()):
            if not opened.enter_context(held(home.with_suffix(".lock"))):
                raise UsageError(out, "another run writes there", "Wait for its end, or end it.")
        found = on_disk(request.source)
        begun = _begun(stack, request, version, found, _home(stack, request.out, request.into))
        folder = begun.folder
        target = targets_of(stack, request.places, folder)
        opened.callback(target.close)
        if request.by and not target.cut:
            raise UsageError("--by", "the output is no folder", "Give a folder or a prefix of a bucket as OUT.")
        part = {"table": request.table, "query": request.query}
        if found is None or not is_direct(found):
            found = staged(stack, request.source, folder / "rows", part)
        else:
            refuse_parts("file", **part)
        parts = parts_of(found)
        total = sum(item.rows for item in parts)
        schema = files.read(found, {}).schema
        job = _job(stack, request, version, begun, target.staging(folder), schema, output, total)
        result = _run(stack, job, parts, total)
        return _finish(stack, _Ended(job, folder, target, parts, result, total, version, output))


@dataclass(frozen=True)
class _Ended:
    """A job all of whose parts are done."""

    job: Job
    folder: Path
    target: Target
    parts: Sequence[Part]
    result: Done
    total: int
    version: ModelVersion
    output: OutputPart


def _expectations(stack: Stack, version: ModelVersion, request: Request) -> OutputPart:
    part = stack.blueprint.models.get(version.name)
    output = OutputPart() if part is None else part.output
    if request.max_rejected is None:
        return output
    if not 0 <= request.max_rejected <= 1:
        raise UsageError("--max-rejected", f"{request.max_rejected} is no share", "Give 0 to 1.")
    return OutputPart(**{**asdict(output), "max_rejected": request.max_rejected})


@dataclass(frozen=True)
class _Begun:
    """A job that was begun, now or by an earlier run that did not end.

    Args:
        folder: where it lies.
        pin: the instant that is asked for, and what is known.
        when: when it was begun.
    """

    folder: Path
    pin: Pin
    when: datetime


def _home(stack: Stack, out: str, into: str | None) -> Path:
    """Return where jobs of an output lie."""
    return stack.project.state / "score" / _hash(out, into)


def _begun(stack: Stack, request: Request, version: ModelVersion, found: Found | None, jobs: Path) -> _Begun:
    """Begin a job, or take up what an earlier run of the same did, with its instant and what was known then.

    What an earlier run left that was asked something else, and wrote to the same place, is let go.
    """
    asked = [
        *(request.source, request.table, request.query, list(request.keep), list(request.by), str(request.at)),
        *([list(place) for place in request.also], request.journal, request.stamped),
    ]
    files = [] if found is None else [[str(file.path), *_state(file.path)] for file in found.files]
    folder = jobs / _hash(*asked, version.digest, files)
    for other in jobs.glob("*"):
        if other != folder or request.restart:
            shutil.rmtree(other, ignore_errors=True)
    try:
        noted = json.loads((folder / _JOB).read_text(encoding="utf-8"))
        return _Begun(folder, Pin.from_json(noted["pin"]), datetime.fromisoformat(noted["begun"]))
    except (OSError, ValueError, KeyError, RegistryError):
        shutil.rmtree(folder, ignore_errors=True)
    now = stack.clock()
    pin = Pin(known_at=request.at or now, views=_known(stack, Manifest.read(stack.registry.fetch(version)).service))
    folder.mkdir(parents=True)
    told = {"at": pin.known_at.isoformat(), "source": _shown(request.source), "model": version.ref}
    write_json(folder / _JOB, {**told, "begun": now.isoformat(), "pin": pin.to_json()})
    return _Begun(folder, pin, now)


def _known(stack: Stack, service: str) -> Mapping[str, Watermark] | None:
    """Return how much of its history counts where features are joined, so that all parts read the same."""
    applied = {item.ref for item in stack.definitions.services}
    if "offline" not in stack.plan.choices or "online" in stack.plan.choices or service not in applied:
        return None
    store = stack.features
    return store.watermarks(service) if isinstance(store, SupportsWatermarks) else None


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _shown(source: str) -> str:
    return source if "://" not in source else f"{source.partition('://')[0]}://"


def _hash(*parts: Any) -> str:
    return hashlib.sha256(canonical(list(parts))).hexdigest()[:16]


def _job(
    stack: Stack,
    request: Request,
    version: ModelVersion,
    begun: _Begun,
    folder: Path,
    schema: pa.Schema,
    output: OutputPart,
    rows: int,
) -> Job:
    for option, names in (("--keep", request.keep), ("--by", request.by)):
        unknown = [name for name in names if name not in schema.names]
        if unknown:
            raise UsageError(option, f"no column named {unknown[0]!r}", f"There are: {', '.join(schema.names)}.")
    job = Job(
        project=stack.project.folder,
        env=stack.project.env,
        folder=folder,
        model=version.ref,
        at=begun.pin.known_at,
        schema=schema,
        keep=request.keep,
        by=request.by,
        most=int(output.max_rejected * rows),
        run=_run_of(begun),
        begun=begun.when,
        home=begun.folder,
        plan=stack.plan.digest,
        known=begun.pin.views,
        journal=request.journal,
        stamped=request.stamped,
    )
    return job if job.keep else replace(job, keep=tuple(name for name in schema.names if name not in job.added))


def _run_of(begun: _Begun) -> str:
    """Return what names a job, its instant and the history it reads: the same names the same answers."""
    positions = None if begun.pin.views is None else {ref: mark.position for ref, mark in begun.pin.views.items()}
    return _hash(begun.folder.name, begun.pin.known_at.isoformat(), positions)


def _run(stack: Stack, job: Job, parts: Sequence[Part], total: int) -> Done:
    """Run what is not done of the parts; where one fails, those under way end first."""
    results = {part.number: found for part in parts if (found := done(job.folder, part)) is not None}
    left = [part for part in parts if part.number not in results]
    rows, deaths = sum(found.rows for found in results.values()), Counter[int]()
    stack.progress("score", rows, total)
    with _workers(stack, job) as (submit, workers):
        running: dict[Future[Done], Part] = {}
        while left or running:
            while left and len(running) < workers:
                part = left.pop(0)
                running[submit(part)] = part
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                part = running.pop(future)
                try:
                    results[part.number] = future.result()
                except BrokenExecutor as error:
                    deaths[part.number] += 1
                    if deaths[part.number] == _DEATHS:
                        raise _deadly(part, error) from error
                    left.append(part)
                    continue
                rows += results[part.number].rows
                stack.progress("score", rows, total)
            rejected = sum(found.rejected for found in results.values())
            if rejected > job.most:
                left = []
    return sum((results[number] for number in sorted(results)), Done())


def _deadly(part: Part, error: BrokenExecutor) -> DataError:
    found = f"the process that scored it died {_DEATHS} times ({error})"
    return DataError(part.path, found, "Was there too little memory? Give [compute] fewer workers.")


@contextmanager
def _workers(stack: Stack, job: Job) -> Iterator[tuple[Any, int]]:
    """Give what takes parts, and how many at once: the compute slot, or threads of this process.

    Where features are read from the store, one thread does: the store uses the processors itself.
    """
    first = Worker(stack, job)
    if "compute" in stack.plan.choices:
        executor: Executor = stack.executor
        workers = executor.workers if isinstance(executor, SupportsWorkers) else 1
        yield lambda part: executor.submit(run_elsewhere, job, part), workers
        return
    own = threading.local()
    own.worker = first

    def run(part: Part) -> Done:
        if not hasattr(own, "worker"):
            own.worker = Worker(stack, job)
        worker: Worker = own.worker
        return worker.run(part)

    count = 1 if first.reads_features else cores()
    with ThreadPoolExecutor(count, thread_name_prefix="score") as pool:
        yield lambda part: pool.submit(run, part), count


def _finish(stack: Stack, ended: _Ended) -> Outcome:
    result, version = ended.result, ended.version
    rejected = _rejected(ended)
    manifest = Manifest.read(stack.registry.fetch(version))
    reference = manifest.histograms.get("prediction")
    checks = checks_of(ended.output, result, ended.total, None if reference is None else Histogram.from_json(reference))
    ok = all(check.ok for check in checks)
    data = {
        "model": version.ref,
        "digest": version.digest,
        "at": ended.job.at.isoformat(),
        "rows": ended.total,
        "answered": result.answered,
        "out": ended.target.place,
        "incomplete": result.incomplete,
        "rejected": result.rejected,
        "rejected_file": rejected,
        "seconds": round(result.seconds, 3),
        "mean": result.total / result.answered if result.answered else None,
        "low": result.low,
        "high": result.high,
        "checks": [asdict(check) for check in checks],
    }
    notes = _notes(data)
    if not ok:
        notes.append("Nothing was written. Mend the rows or the limits, and run it again: what is scored stays so.")
        red = ", ".join(check.name for check in checks if not check.ok)
        return Outcome(f"The output is not as it must be ({red})", data, (_table(checks),), tuple(notes), ok=False)
    files = [output_of(ended.job.folder, part) for part in ended.parts]
    stack.progress("write", 0, 1)
    about = {name: data[name] for name in ("model", "digest", "at", "answered", "incomplete", "rejected")}
    ended.target.finish(files, {**about, "job": ended.job.run})
    enter(stack, ended.folder, ended.job.run, ended.job.begun)
    stack.progress("write", 1, 1)
    _clear(ended)
    title = f"Scored {result.answered:,} rows with {version.ref} into {ended.target.place}"
    return Outcome(title, data, (), tuple(notes))


def _notes(data: Mapping[str, Any]) -> list[str]:
    notes = []
    if data["incomplete"]:
        notes.append(f"{data['incomplete']:,} rows lacked a feature; see the column 'incomplete'.")
    if data["rejected"]:
        notes.append(f"{data['rejected']:,} rows could not be scored; with their reasons: {data['rejected_file']}.")
    return notes


def _table(checks: Sequence[Check]) -> Table:
    rows = [(check.name, "ok" if check.ok else "red", str(check.found), str(check.allowed)) for check in checks]
    return Table(("check", "", "found", "allowed"), rows)


def _rejected(ended: _Ended) -> str | None:
    """Join the rejected rows of all parts in one file beside the job; return where."""
    paths = [path for part in ended.parts if (path := rejected_file(ended.job.folder, part)).exists()]
    if not paths:
        return None
    tables = [pyarrow.parquet.ParquetFile(path).read() for path in paths]
    out = ended.folder / "rejected.parquet"
    pyarrow.parquet.write_table(pa.concat_tables(tables, promote_options="permissive"), out)
    return str(out)


def _clear(ended: _Ended) -> None:
    """Leave of a job that is ended the rows it rejected, and nothing that a run would go on from."""
    for name in ("parts", "done", "rejected", "rows"):
        shutil.rmtree(ended.folder / name, ignore_errors=True)
        shutil.rmtree(ended.job.folder / name, ignore_errors=True)
    for name in (_JOB, FINISHED):
        (ended.folder / name).unlink(missing_ok=True)
    if not any(ended.folder.iterdir()):
        ended.folder.rmdir()
