"""Verbs that bring a version to its users: on trial, verified, from one environment to the next."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, count, open_stack, pairs
from stackwright_interfaces.errors import UsageError

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _canary(options: Options) -> Outcome:
    from stackwright.workflows.versions.challengers import canary

    with open_stack(options) as stack:
        return canary(
            stack,
            options.model,
            options.version,
            share=options.share,
            shadow=options.shadow,
            by=options.by,
            end=options.end,
            force=options.force,
            reason=options.reason,
        )


def share(text: str) -> float:
    """Return a share given as ``5%`` or ``0.05``."""
    number, percent, rest = text.partition("%")
    try:
        found = float(number) / (100 if percent else 1)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no share, 5% say") from error
    if rest or not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0% to 100%")
    return found


def _canary_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model")
    parser.add_argument(
        "version", nargs="?", type=int, metavar="VERSION", help="its number (default: the version that is on trial)"
    )
    parser.add_argument(
        "--share",
        type=share,
        metavar="SHARE",
        help="share of the entities that it answers for, 0.05 say, or in per cent",
    )
    parser.add_argument("--shadow", action="store_true", help="let it score copies of what the champion answers")
    parser.add_argument(
        "--by", action="append", default=[], metavar="KEY", help="a key that decides who is in the share (default: all)"
    )
    parser.add_argument("--end", action="store_true", help="end the trial")
    parser.add_argument("--force", action="store_true", help="past red gates; needs --reason")
    parser.add_argument("--reason", default="", help="written into the journal")


def _verify(options: Options) -> Outcome:
    from stackwright.workflows.live.verify import verify

    with open_stack(options) as stack:
        return verify(
            stack,
            options.url,
            model=options.model,
            keys=pairs(options.keys),
            p99_ms=options.p99_ms,
            requests=options.requests,
            record=options.record,
        )


def _verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", nargs="?", metavar="URL", help="where the server answers (default: that of [deploy])")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="keys and request fields of a row to predict")
    parser.add_argument(
        "--model", metavar="REF", help="the version that must answer (default: what the environment runs of each model)"
    )
    parser.add_argument(
        "--p99-ms", type=float, metavar="MS", help="latency budget (default: that of [deploy]; 0 judges none)"
    )
    parser.add_argument(
        "--requests", type=count, default=100, metavar="N", help="requests by which latency is judged (default: 100)"
    )
    parser.add_argument("--record", action="store_true", help="write into the journal what was found")


def _deploy(options: Options) -> Outcome:
    from stackwright.assembly.stack import Stack
    from stackwright.progress import shown
    from stackwright.workflows.live.deploy import deploy

    if not options.to:
        raise UsageError("ENV", "is empty", "Name an environment of the blueprint.")
    with (
        shown(quiet=options.json) as progress,
        Stack(options.project, env=options.to, progress=progress) as target,
        Stack(options.project, env=target.blueprint.deploy.after, progress=progress) as source,
    ):
        return deploy(source, target, model=options.model, keys=pairs(options.keys))


def _deploy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar="ENV", help="the environment: [env.ENV] of the blueprint")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="keys and request fields of a row to predict")
    parser.add_argument("--model", metavar="MODEL", help="only this model")
    parser.add_argument("--project", type=Path, default=Path(), metavar="DIR", help="the project (default: here)")


DELIVERY = (
    Verb("canary", "put a version on trial: for a share of the entities, or as a shadow", _canary, _canary_options),
    Verb("verify", "hold a live server to what the registry says that it serves", _verify, _verify_options),
    Verb(
        "deploy",
        "move a verified version into an environment, and take it back where it does not hold",
        _deploy,
        _deploy_options,
        in_project=False,
    ),
)
