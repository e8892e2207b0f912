"""Verbs that make models and judge them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stackwright.cli.verb import Options, Verb, one_model, open_stack

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome


def _train(options: Options) -> Outcome:
    from stackwright.workflows.training.any_model import train

    with open_stack(options) as stack:
        return train(stack, options.model, force=options.force)


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="the model, where the blueprint has several")
    parser.add_argument("--force", action="store_true", help="train even where nothing changed")


def _runs(options: Options) -> Outcome:
    from stackwright.workflows.versions.models import runs

    with open_stack(options) as stack:
        return runs(stack, options.model)


def _models(options: Options) -> Outcome:
    from stackwright.workflows.versions.models import models

    with open_stack(options) as stack:
        return models(stack, options.model)


def _promote(options: Options) -> Outcome:
    from stackwright.workflows.versions.models import promote

    with open_stack(options) as stack:
        return promote(stack, options.ref, alias=options.alias, force=options.force, reason=options.reason)


def _promote_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="NAME@VERSION, or NAME for the newest")
    parser.add_argument("--alias", default="", help="the alias to move (default: the environment's, champion)")
    parser.add_argument("--force", action="store_true", help="promote past red gates; needs --reason")
    parser.add_argument("--reason", default="", help="written into the journal")


def _rollback(options: Options) -> Outcome:
    from stackwright.workflows.versions.models import rollback

    with open_stack(options) as stack:
        return rollback(stack, options.model, alias=options.alias, reason=options.reason)


def _rollback_options(parser: argparse.ArgumentParser) -> None:
    one_model(parser)
    parser.add_argument("--alias", default="", help="the alias to move back (default: the environment's, champion)")
    parser.add_argument("--reason", default="", help="written into the journal")


def _scorecard(options: Options) -> Outcome:
    from stackwright.workflows.scorecard.score import scorecard

    with open_stack(options) as stack:
        return scorecard(stack, options.model)


MODELLING = (
    Verb(
        "train",
        "build the training set, fit, judge and publish a model",
        _train,
        _train_options,
        description=(
            "Build the training set, fit, run the gates and publish a version; with the same data and settings as the"
            " newest version, nothing is done. The exit code is 1 where a gate is red."
        ),
    ),
    Verb("runs", "list training runs", _runs, one_model),
    Verb("models", "list published models", _models, one_model),
    Verb(
        "promote",
        "point an alias to a version whose gates are green",
        _promote,
        _promote_options,
        description="Point an alias to a version whose gates are green. Servers that run take it up within seconds.",
    ),
    Verb(
        "rollback",
        "point an alias back to where it was",
        _rollback,
        _rollback_options,
        description="Point an alias back to where it was. Servers that run follow within seconds.",
    ),
    Verb("scorecard", "score the project by Google's ML Test Score, from what was measured", _scorecard, one_model),
)
