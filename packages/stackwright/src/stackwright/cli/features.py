"""Verbs of the feature store."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, open_stack, pairs, part_of_a_database, seconds, time

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _apply(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import apply

    with open_stack(options) as stack:
        return apply(stack)


def _ingest(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import ingest

    with open_stack(options) as stack:
        return ingest(stack, options.view, options.source, table=options.table, query=options.query)


def _ingest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of the view")
    parser.add_argument(
        "source", metavar="SOURCE", help="files, s3://..., a database's URL, or env:NAME that holds one"
    )
    part_of_a_database(parser)


def _push(options: Options) -> Outcome:
    from stackwright.workflows.features.push import push

    with open_stack(options) as stack:
        return push(stack, options.view, options.source)


def _push_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of the view")
    parser.add_argument("source", nargs="?", default="-", metavar="FILE", help="JSON lines (default: standard input)")


def _backfill(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import find_view
    from stackwright.workflows.features.computation import backfill

    with open_stack(options) as stack:
        view = find_view(stack.definitions, options.view)
        step = None if options.step is None else timedelta(seconds=options.step)
        return backfill(stack, view, options.start, options.end, step=step, force=options.force)


def _backfill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of a computed view")
    parser.add_argument("--from", dest="start", type=time, required=True, metavar="TIME", help="where it starts")
    parser.add_argument("--to", dest="end", type=time, required=True, metavar="TIME", help="where it ends")
    parser.add_argument(
        "--step", type=seconds, metavar="SECONDS", help="an interval (default: the schedule's, or a day)"
    )
    parser.add_argument("--force", action="store_true", help="compute again what has the same inputs")


def _tick(options: Options) -> Outcome:
    from stackwright.workflows.features.schedule import tick

    with open_stack(options) as stack:
        return tick(stack, options.at)


def _tick_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", type=time, metavar="TIME", help="take this instant for the present")


def _statistics(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import find_view
    from stackwright.workflows.features.ingestion import statistics

    with open_stack(options) as stack:
        return statistics(stack, find_view(stack.definitions, options.view))


def _statistics_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="name or name@version of the view")


def _quarantine(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import find_view
    from stackwright.workflows.features.quarantine import quarantine

    with open_stack(options) as stack:
        view = find_view(stack.definitions, options.view) if options.view else None
        return quarantine(stack, view, export=options.export, clear=options.clear, yes=options.yes)


def _quarantine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", nargs="?", metavar="VIEW", help="only this view")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write its rows and reasons: .csv or .parquet")
    parser.add_argument("--clear", action="store_true", help="let its rows go, after the export if one is asked for")
    parser.add_argument("--yes", action="store_true", help="it is meant; rows that are let go cannot be brought back")


def _materialize(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import materialize

    with open_stack(options) as stack:
        return materialize(stack, options.view, at=options.at)


def _materialize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", nargs="*", metavar="VIEW", help="only these views")
    parser.add_argument("--at", type=time, metavar="TIME", help="take this instant for the present")


def _features(options: Options) -> Outcome:
    from stackwright.workflows.features.catalogue import search

    with open_stack(options) as stack:
        return search(stack, options.words)


def _features_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORDS", help="every word must be found")


def _training_set(options: Options) -> Outcome:
    from stackwright.workflows.datasets.training_set import training_set

    with open_stack(options) as stack:
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
    part_of_a_database(parser)
    parser.add_argument(
        "--time", default="event_time", metavar="COLUMN", help="the instant each row asks at (default: event_time)"
    )
    parser.add_argument(
        "--as-of", type=time, metavar="TIME", help="pass over what was ingested later (default: now, which is told)"
    )
    parser.add_argument("--known-by", action="store_true", help="pass over rows created after the asked instant")


def _delete_entity(options: Options) -> Outcome:
    from stackwright.workflows.features.deletion import delete_entity

    with open_stack(options) as stack:
        return delete_entity(stack, options.entity, pairs(options.pairs), yes=options.yes)


def _delete_entity_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entity", metavar="ENTITY", help="name of the entity")
    parser.add_argument("pairs", nargs="+", metavar="KEY=VALUE", help="its keys")
    parser.add_argument("--yes", action="store_true", help="it is meant; deleted rows cannot be brought back")


def _share(options: Options) -> Outcome:
    from stackwright.workflows.features.sharing import share

    with open_stack(options) as stack:
        return share(stack, options.view, to=options.to, why=options.why, revoke=options.revoke)


def _share_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("view", metavar="VIEW", help="NAMESPACE/NAME@VERSION, or NAMESPACE/NAME for every version")
    parser.add_argument("--with", dest="to", required=True, metavar="NAMESPACE", help="the other team, or everyone")
    parser.add_argument("--why", default="", metavar="TEXT", help="written into the catalogue")
    parser.add_argument("--revoke", action="store_true", help="withdraw the permission")


def _import(options: Options) -> Outcome:
    from stackwright.workflows.features.sharing import import_view

    with open_stack(options) as stack:
        return import_view(stack, options.ref)


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="VIEW", help="NAMESPACE/NAME@VERSION, as stackwright features shows it")


FEATURES = (
    Verb(
        "apply",
        "put the definitions of features.py in force",
        _apply,
        description=(
            "Run features.py in a process of its own and put what it defines in force. A changed meaning under an "
            "unchanged version is refused."
        ),
    ),
    Verb(
        "ingest",
        "add rows of files or of a database to a view",
        _ingest,
        _ingest_options,
        description=(
            "Add rows of files or of a database to a view: all of them, or where anything is wrong none. Rows that "
            "are there already are counted, not added twice."
        ),
    ),
    Verb("push", "add events to a view and bring them online at once", _push, _push_options),
    Verb("backfill", "compute a view for a span of the past", _backfill, _backfill_options),
    Verb("tick", "drain streams, run the scheduled views that are due", _tick, _tick_options),
    Verb(
        "statistics",
        "show what the last ingestion into a view held",
        _statistics,
        _statistics_options,
        description=(
            "Show what the last ingestion into a view held, column by column, and how it differs from the ones before."
        ),
    ),
    Verb(
        "quarantine",
        "show, export or let go rows that were set aside",
        _quarantine,
        _quarantine_options,
        description="Show, export or let go rows that were set aside because an expectation did not hold of them.",
    ),
    Verb(
        "materialize",
        "bring new rows online",
        _materialize,
        _materialize_options,
        description="Bring online what was ingested or became due, so that the server and predict read it.",
    ),
    Verb("features", "search the features by name, tag, owner, entity or text", _features, _features_options),
    Verb("training-set", "join labels with features into a Parquet file", _training_set, _training_set_options),
    Verb("delete-entity", "remove an entity from history and online", _delete_entity, _delete_entity_options),
    Verb("share", "permit another team to import a view", _share, _share_options),
    Verb("import", "import another team's view", _import, _import_options),
)
