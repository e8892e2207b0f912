"""The verbs: name, options, and the workflow each calls. Workflows are imported when a verb runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from stackwright_interfaces.errors import UsageError

if TYPE_CHECKING:
    from stackwright.assembly.stack import Stack
    from stackwright.workflows.outcome import Outcome

Options = argparse.Namespace


@dataclass(frozen=True)
class Verb:
    """One verb of the command line."""

    name: str
    summary: str
    run: Callable[[Options], Outcome | None]
    configure: Callable[[argparse.ArgumentParser], None] = lambda _parser: None
    description: str = ""
    in_project: bool = True


@contextmanager
def _stack(options: Options) -> Iterator[Stack]:
    from stackwright.assembly.stack import Stack
    from stackwright.progress import shown

    with shown(quiet=options.json) as progress, Stack(options.project, env=options.env, progress=progress) as stack:
        _tell_of_drift(stack)
        yield stack


def _tell_of_drift(stack: Stack) -> None:
    """Say in one line that a stack differs from its lock; ``check`` says how."""
    if stack.project.lock.exists():
        from stackwright.assembly.blueprint import BlueprintProblems
        from stackwright.workflows.inspection import drifted

        found = []
        with suppress(BlueprintProblems):  # the verb tells them, or mends them as apply does
            found = drifted(stack)
        if found:
            sys.stderr.write(f"{len(found)} differences from the lock, the first: {found[0]} All: stackwright check\n")


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time, 2025-03-01T00:00:00Z say") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pairs(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"argument {pair!r}", "is not KEY=VALUE", "Write listing_id=L1, say.")
        found[name] = value
    return found


def _new(options: Options) -> Outcome:
    from stackwright.progress import shown
    from stackwright.workflows.new import new

    with shown(quiet=options.json) as progress:
        return new(
            options.folder, options.blueprint, sample=options.sample, options=_pairs(options.set), progress=progress
        )


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the project folder to make")
    parser.add_argument("--blueprint", required=True, metavar="NAME", help="the blueprint to start from")
    parser.add_argument("--sample", action="store_true", help="add the blueprint's sample data")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the sample")


def _plugins(_options: Options) -> Outcome:
    from stackwright.workflows.inspection import plugins

    return plugins()


def _check(options: Options) -> Outcome:
    from stackwright.workflows.inspection import check

    return check(options.project, options.env)


def _lock(options: Options) -> Outcome:
    from stackwright.assembly.stack import Stack
    from stackwright.workflows.inspection import lock

    with Stack(options.project, env=options.env) as stack:
        return lock(stack)


def _apply(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import apply

    with _stack(options) as stack:
        return apply(stack)


def _ingest(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import ingest

    with _stack(options) as stack:
        return ingest(stack, options.view, options.source, table=options.table, query=options.query)


def _ingest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of the view")
    parser.add_argument(
        "source", metavar="SOURCE", help="files, s3://..., a database's URL, or env:NAME that holds one"
    )
    _part_of_a_database(parser)


def _part_of_a_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", metavar="NAME", help="the table to read, where the source is a database")
    parser.add_argument("--query", metavar="SQL", help="a SELECT to read, where the source is a database")


def _push(options: Options) -> Outcome:
    from stackwright.workflows.push import push

    with _stack(options) as stack:
        return push(stack, options.view, options.source)


def _push_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of the view")
    parser.add_argument("source", nargs="?", default="-", metavar="FILE", help="JSON lines (default: standard input)")


def _backfill(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import find_view
    from stackwright.workflows.computation import backfill

    with _stack(options) as stack:
        view = find_view(stack.definitions, options.view)
        step = None if options.step is None else timedelta(seconds=options.step)
        return backfill(stack, view, options.start, options.end, step=step, force=options.force)


def _backfill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of a computed view")
    parser.add_argument("--from", dest="start", type=_time, required=True, metavar="TIME", help="where it starts")
    parser.add_argument("--to", dest="end", type=_time, required=True, metavar="TIME", help="where it ends")
    parser.add_argument("--step", type=float, metavar="SECONDS", help="an interval (default: the schedule's, or a day)")
    parser.add_argument("--force", action="store_true", help="compute again what has the same inputs")


def _tick(options: Options) -> Outcome:
    from stackwright.workflows.schedule import tick

    with _stack(options) as stack:
        return tick(stack, options.at)


def _tick_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", type=_time, metavar="TIME", help="take this instant for the present")


def _statistics(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import find_view
    from stackwright.workflows.ingestion import statistics

    with _stack(options) as stack:
        return statistics(stack, find_view(stack.definitions, options.view))


def _statistics_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of the view")


def _quarantine(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import find_view
    from stackwright.workflows.quarantine import quarantine

    with _stack(options) as stack:
        view = find_view(stack.definitions, options.view) if options.view else None
        return quarantine(stack, view, export=options.export, clear=options.clear, yes=options.yes)


def _quarantine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", nargs="?", metavar="VIEW", help="only this view")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write its rows and reasons: .csv or .parquet")
    parser.add_argument("--clear", action="store_true", help="let its rows go, after the export if one is asked for")
    parser.add_argument("--yes", action="store_true", help="it is meant; rows that are let go cannot be brought back")


def _materialize(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import materialize

    with _stack(options) as stack:
        return materialize(stack, options.view, at=options.at)


def _materialize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", nargs="*", metavar="VIEW", help="only these views")
    parser.add_argument("--at", type=_time, metavar="TIME", help="take this instant for the present")


def _features(options: Options) -> Outcome:
    from stackwright.workflows.catalogue import search

    with _stack(options) as stack:
        return search(stack, options.words)


def _features_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORDS", help="every word must be found")


def _training_set(options: Options) -> Outcome:
    from stackwright.workflows.training_set import training_set

    with _stack(options) as stack:
        return training_set(
            stack,
            options.service,
            options.labels,
            options.out,
            table=options.table,
            query=options.query,
            time=options.time,
            as_of=options.as_of,
            known_by=options.known_by,
        )


def _training_set_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", metavar="SERVICE", help="name@version of the feature service")
    parser.add_argument("labels", metavar="LABELS", help="a source as ingest takes it: keys, request fields, time")
    parser.add_argument("out", type=Path, metavar="OUT", help="the .parquet file to write")
    _part_of_a_database(parser)
    parser.add_argument(
        "--time", default="event_time", metavar="COLUMN", help="the instant each row asks at (default: event_time)"
    )
    parser.add_argument(
        "--as-of", type=_time, metavar="TIME", help="pass over what was ingested later (default: now, which is told)"
    )
    parser.add_argument("--known-by", action="store_true", help="pass over rows created after the asked instant")


def _delete_entity(options: Options) -> Outcome:
    from stackwright.workflows.deletion import delete_entity

    with _stack(options) as stack:
        return delete_entity(stack, options.entity, _pairs(options.pairs), yes=options.yes)


def _delete_entity_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entity", metavar="ENTITY", help="name of the entity")
    parser.add_argument("pairs", nargs="+", metavar="KEY=VALUE", help="its keys")
    parser.add_argument("--yes", action="store_true", help="it is meant; deleted rows cannot be brought back")


def _share(options: Options) -> Outcome:
    from stackwright.workflows.sharing import share

    with _stack(options) as stack:
        return share(stack, options.view, to=options.to, why=options.why, revoke=options.revoke)


def _share_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="NAMESPACE/NAME@VERSION, or NAMESPACE/NAME for every version")
    parser.add_argument("--with", dest="to", required=True, metavar="NAMESPACE", help="the other team, or everyone")
    parser.add_argument("--why", default="", metavar="TEXT", help="written into the catalogue")
    parser.add_argument("--revoke", action="store_true", help="withdraw the permission")


def _import(options: Options) -> Outcome:
    from stackwright.workflows.sharing import import_view

    with _stack(options) as stack:
        return import_view(stack, options.ref)


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="VIEW", help="NAMESPACE/NAME@VERSION, as stackwright features shows it")


def _train(options: Options) -> Outcome:
    from stackwright.workflows.train import train

    with _stack(options) as stack:
        return train(stack, options.model, force=options.force)


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="the model, where the blueprint has several")
    parser.add_argument("--force", action="store_true", help="train even where nothing changed")


def _runs(options: Options) -> Outcome:
    from stackwright.workflows.models import runs

    with _stack(options) as stack:
        return runs(stack, options.model)


def _models(options: Options) -> Outcome:
    from stackwright.workflows.models import models

    with _stack(options) as stack:
        return models(stack, options.model)


def _one_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="only this model")


def _promote(options: Options) -> Outcome:
    from stackwright.workflows.models import promote

    with _stack(options) as stack:
        return promote(stack, options.ref, alias=options.alias, force=options.force, reason=options.reason)


def _promote_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="NAME@VERSION, or NAME for the newest")
    parser.add_argument("--alias", default="champion", help="the alias to move (default: champion)")
    parser.add_argument("--force", action="store_true", help="promote past red gates; needs --reason")
    parser.add_argument("--reason", default="", help="written into the journal")


def _rollback(options: Options) -> Outcome:
    from stackwright.workflows.models import rollback

    with _stack(options) as stack:
        return rollback(stack, options.model, alias=options.alias, reason=options.reason)


def _rollback_options(parser: argparse.ArgumentParser) -> None:
    _one_model(parser)
    parser.add_argument("--alias", default="champion", help="the alias to move back (default: champion)")
    parser.add_argument("--reason", default="", help="written into the journal")


def _predict(options: Options) -> Outcome:
    from stackwright.workflows.predict import predict

    with _stack(options) as stack:
        return predict(stack, _pairs(options.pairs), model=options.model, at=options.at)


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", nargs="+", metavar="KEY=VALUE", help="entity keys and request fields")
    parser.add_argument("--model", metavar="REF", help="NAME, NAME@VERSION or NAME@ALIAS (default: the champion)")
    parser.add_argument("--at", type=_time, metavar="TIME", help="the instant that is asked for (default: now)")


def _serve(options: Options) -> None:
    from stackwright.workflows.serve import serve

    with _stack(options) as stack:
        if options.port is not None:
            stack.override("server", port=options.port)
        serve(stack)


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, metavar="N", help="another port than the blueprint's; 0 takes a free one")


def _score(options: Options) -> Outcome:
    from stackwright.workflows.predict import score

    with _stack(options) as stack:
        return score(stack, options.source, options.out, model=options.model, at=options.at)


def _score_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="IN", help="keys, or whole feature rows: .csv or .parquet")
    parser.add_argument("out", type=Path, metavar="OUT", help="the same rows with predictions: .csv or .parquet")
    parser.add_argument("--model", metavar="REF", help="NAME, NAME@VERSION or NAME@ALIAS (default: the champion)")
    parser.add_argument("--at", type=_time, metavar="TIME", help="the instant that is asked for (default: now)")


def _label(options: Options) -> Outcome:
    from stackwright.workflows.labels import label

    with _stack(options) as stack:
        return label(stack, options.source, target=options.target, table=options.table, query=options.query)


def _label_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="labels: a source as ingest takes it")
    parser.add_argument("--target", metavar="NAME", help="the target, where several are applied")
    _part_of_a_database(parser)


def _report(options: Options) -> Outcome:
    from stackwright.workflows.report import report

    with _stack(options) as stack:
        return report(stack, options.model, start=options.since, end=options.until)


def _report_options(parser: argparse.ArgumentParser) -> None:
    _one_model(parser)
    parser.add_argument("--since", type=_time, metavar="TIME", help="first instant of the window (default: the first)")
    parser.add_argument("--until", type=_time, metavar="TIME", help="end of the window (default: now)")


def _up(options: Options) -> Outcome:
    from stackwright.progress import shown
    from stackwright.workflows.up import up

    with shown(quiet=options.json) as progress:
        return up(
            options.project,
            blueprint=options.blueprint,
            sample=options.sample,
            options=_pairs(options.set),
            env=options.env,
            progress=progress,
            say=(lambda _line: None) if options.json else (lambda line: print(line, flush=True)),
            keep_serving=options.serve,
        )


def _up_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--blueprint", default="realtime", metavar="NAME", help="made from this where DIR is no project"
    )
    parser.add_argument("--sample", action="store_true", help="with the blueprint's sample data")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the sample")
    parser.add_argument("--serve", action="store_true", help="go on serving at the end, until interrupted")


VERBS: tuple[Verb, ...] = (
    Verb("new", "make a project folder from a blueprint", _new, _new_options, in_project=False),
    Verb("plugins", "show what is installed, by slot", _plugins, in_project=False),
    Verb("check", "check the blueprint: every problem at once", _check),
    Verb("lock", "record what the stack is built of, for check to compare", _lock),
    Verb("apply", "put the definitions of features.py in force", _apply),
    Verb("ingest", "add rows of files or of a database to a view", _ingest, _ingest_options),
    Verb("push", "add events to a view and bring them online at once", _push, _push_options),
    Verb("backfill", "compute a view for a span of the past", _backfill, _backfill_options),
    Verb("tick", "drain streams, run the scheduled views that are due", _tick, _tick_options),
    Verb("statistics", "show what the last ingestion into a view held", _statistics, _statistics_options),
    Verb("quarantine", "show, export or let go rows that were set aside", _quarantine, _quarantine_options),
    Verb("materialize", "bring new rows online", _materialize, _materialize_options),
    Verb("features", "search the features by name, tag, owner, entity or text", _features, _features_options),
    Verb("training-set", "join labels with features into a Parquet file", _training_set, _training_set_options),
    Verb("delete-entity", "remove an entity from history and online", _delete_entity, _delete_entity_options),
    Verb("share", "permit another team to import a view", _share, _share_options),
    Verb("import", "import another team's view", _import, _import_options),
    Verb("train", "build the training set, fit, judge and publish a model", _train, _train_options),
    Verb("runs", "list training runs", _runs, _one_model),
    Verb("models", "list published models", _models, _one_model),
    Verb("promote", "point an alias to a version whose gates are green", _promote, _promote_options),
    Verb("rollback", "point an alias back to where it was", _rollback, _rollback_options),
    Verb("predict", "predict once, by the live path, without a server", _predict, _predict_options),
    Verb("serve", "serve the promoted models over HTTP", _serve, _serve_options),
    Verb("score", "predict for every row of a file", _score, _score_options),
    Verb("label", "add ground truth, whenever it comes", _label, _label_options),
    Verb("report", "monitor a window: HTML and JSON", _report, _report_options),
    Verb("up", "the whole way, from nothing to a live, monitored model", _up, _up_options),
)
