"""Verbs of models in use, and the whole way."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stackwright.cli.delivery import DELIVERY
from stackwright.cli.verb import Options, Verb, count, items, one_model, open_stack, pairs, part_of_a_database, time

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _predict(options: Options) -> Outcome:
    from stackwright.workflows.live.predict import predict

    with open_stack(options) as stack:
        return predict(stack, pairs(options.pairs), model=options.model, at=options.at, explain=options.explain)


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pairs", nargs="+", metavar="KEY=VALUE", help="entity keys and request fields")
    parser.add_argument("--model", metavar="REF", help="NAME, NAME@VERSION or NAME@ALIAS (default: the champion)")
    parser.add_argument("--at", type=time, metavar="TIME", help="the instant that is asked for (default: now)")
    parser.add_argument(
        "--explain", action="store_true", help="tell what each input adds, and how old the features are"
    )


def _recommend(options: Options) -> Outcome:
    from stackwright.workflows.batch.lists import recommend_all
    from stackwright.workflows.recommending.asking import Question, recommend

    question = Question(
        user=options.user,
        session=options.session,
        like=options.like,
        candidates=options.candidates,
        n=options.n,
        at=options.at,
        area=options.area,
        budget=options.budget,
    )
    with open_stack(options) as stack:
        if options.to is not None:
            return recommend_all(stack, question, options.to, ref=options.model, into=options.into)
        return recommend(stack, question, ref=options.model)


def _recommend_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="REF", help="NAME, NAME@VERSION or NAME@ALIAS (default: the champion)"
    )
    parser.add_argument("--user", metavar="ID", help="whose list it is")
    parser.add_argument(
        "--session", type=items, metavar="A,B", help="what was looked at just now (default: what the store knows)"
    )
    parser.add_argument("--like", metavar="ITEM", help="what is like it, whoever asks")
    parser.add_argument("--candidates", type=items, metavar="A,B", help="items to choose from, those of a search say")
    parser.add_argument("-n", type=count, metavar="N", help="places (default: the blueprint's)")
    parser.add_argument("--at", type=time, metavar="TIME", help="the instant that is asked for (default: now)")
    parser.add_argument("--area", metavar="NAME", help="what area is asked for")
    parser.add_argument("--budget", type=float, metavar="AMOUNT", help="the most a price may be")
    parser.add_argument("--to", metavar="OUT", help="write the lists of all users there: an output as score takes it")
    parser.add_argument("--into", metavar="NAME", help="the table to append to, where OUT is a database")


def _serve(options: Options) -> None:
    from stackwright.workflows.live.serve import serve

    with open_stack(options) as stack:
        if options.port is not None:
            stack.override("server", port=options.port)
        serve(stack)


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, metavar="N", help="another port than the blueprint's; 0 takes a free one")


def _image(options: Options) -> Outcome:
    from stackwright.workflows.live.image import image

    with open_stack(options) as stack:
        return image(stack, options.out, kind=options.kind, wheels=options.wheels, include=options.include)


def _image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write; must not exist yet")
    parser.add_argument(
        "--for", dest="kind", default="docker", metavar="KIND", help="docker, bentoml, sagemaker or another server"
    )
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="wheels of what no index has")
    parser.add_argument(
        "--include", action="append", default=[], metavar="PATTERN", help="more files of the project, *.json say"
    )


def _score(options: Options) -> Outcome:
    from stackwright.workflows.batch.score import Request, score

    with open_stack(options) as stack:
        request = Request(
            source=options.source,
            out=options.out,
            model=options.model,
            at=options.at,
            table=options.table,
            query=options.query,
            into=options.into,
            keep=tuple(options.keep),
            by=tuple(options.by),
            max_rejected=options.max_rejected,
            restart=options.restart,
            journal=options.journal,
        )
        return score(stack, request)


def _score_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="keys, or whole feature rows: a source as ingest takes it")
    parser.add_argument(
        "out", metavar="OUT", help="a .parquet, .csv or .arrow file, a folder, s3://BUCKET/..., or a database's URL"
    )
    parser.add_argument("--model", metavar="REF", help="NAME, NAME@VERSION or NAME@ALIAS (default: the champion)")
    parser.add_argument("--at", type=time, metavar="TIME", help="the instant that is asked for (default: now)")
    parser.add_argument("--into", metavar="NAME", help="the table to append to, where OUT is a database")
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="COLUMN",
        help="write this column of IN; without it, all of them",
    )
    parser.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="cut a folder by it: COLUMN=VALUE/part-....parquet"
    )
    parser.add_argument(
        "--max-rejected",
        type=float,
        metavar="SHARE",
        help="rows that may be set aside (default: 0.05)",
    )
    parser.add_argument("--restart", action="store_true", help="forget what an earlier run, cut off, had done")
    parser.add_argument(
        "--journal", action="store_true", help="write the predictions into the journal too, as live ones are"
    )
    part_of_a_database(parser)


def _job(options: Options) -> Outcome:
    from stackwright.workflows.batch.jobs import job

    with open_stack(options) as stack:
        return job(stack, options.name, options.at)


def _job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the job, [jobs.NAME] of the blueprint")
    parser.add_argument(
        "--at", type=time, metavar="TIME", help="the instant that is asked for (default: the day's beginning)"
    )


def _label(options: Options) -> Outcome:
    from stackwright.workflows.monitoring.clicks import add_clicks
    from stackwright.workflows.monitoring.labels import label

    with open_stack(options) as stack:
        if options.clicks:
            return add_clicks(stack, options.source, table=options.table, query=options.query)
        return label(stack, options.source, target=options.target, table=options.table, query=options.query)


def _label_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="labels: a source as ingest takes it")
    parser.add_argument("--target", metavar="NAME", help="the target, where several are applied")
    parser.add_argument("--clicks", action="store_true", help="clicks on the lists of a recommender, no labels")
    part_of_a_database(parser)


def _report(options: Options) -> Outcome:
    from stackwright.workflows.monitoring.report import report

    with open_stack(options) as stack:
        return report(
            stack,
            options.model,
            start=options.since,
            end=options.until,
            known_at=options.known_at,
            position=options.labels,
            challenger=options.replay,
        )


def _report_options(parser: argparse.ArgumentParser) -> None:
    one_model(parser)
    parser.add_argument("--since", type=time, metavar="TIME", help="first instant of the window (default: the first)")
    parser.add_argument("--until", type=time, metavar="TIME", help="end of the window (default: now)")
    parser.add_argument(
        "--known-at", type=time, metavar="TIME", help="pass over what was asked or observed later (default: now)"
    )
    parser.add_argument(
        "--labels", type=int, metavar="N", help="pass over labels that came later than this position of their log"
    )
    parser.add_argument(
        "--replay", type=int, metavar="N", help="of a recommender: what this version would have earned on its lists"
    )


def _up(options: Options) -> Outcome:
    from stackwright.progress import shown
    from stackwright.workflows.up import up

    with shown(quiet=options.json) as progress:
        return up(
            options.project,
            blueprint=options.blueprint,
            sample=options.sample,
            options=pairs(options.set),
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


LIVE = (
    Verb("predict", "predict once, by the live path, without a server", _predict, _predict_options),
    Verb("recommend", "recommend: one list, or with --to the lists of all users", _recommend, _recommend_options),
    Verb(
        "serve",
        "serve the promoted models over HTTP",
        _serve,
        _serve_options,
        description=(
            "Serve the promoted models over HTTP until interrupted, by the adapter that [server] names. What is "
            "promoted meanwhile is taken up within seconds."
        ),
    ),
    Verb("image", "write the context of a container image that serves the promoted models", _image, _image_options),
    *DELIVERY,
    Verb(
        "score",
        "predict for every row of a table, in bounded memory, resumably",
        _score,
        _score_options,
    ),
    Verb("job", "run a job of the blueprint: a table scored into its outputs, as of a day", _job, _job_options),
    Verb("label", "add ground truth, whenever it comes", _label, _label_options),
    Verb("report", "monitor a window: HTML and JSON", _report, _report_options),
    Verb(
        "up",
        "the whole way, from nothing to a live, monitored model",
        _up,
        _up_options,
        description=(
            "Take a project the whole way on its sample data: features, history, labels, training, gates, promotion, "
            "serving, late labels, report. What was done before and has not changed is passed over."
        ),
    ),
)
