"""Verbs that look into the registry: what a model is, what it came from, what depends on what."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stackwright.cli.verb import Options, Verb, days, open_stack

if TYPE_CHECKING:
    from stackwright.workflows.outcome import Outcome

_REF: Final = "NAME@VERSION or NAME@ALIAS, or NAME for the newest"


def _runs_compare(options: Options) -> Outcome:
    from stackwright.workflows.lineage.comparing import compare

    with open_stack(options) as stack:
        return compare(stack, options.first, options.second)


def _runs_compare_options(parser: argparse.ArgumentParser) -> None:
    for dest, metavar in (("first", "A"), ("second", "B")):
        parser.add_argument(dest, metavar=metavar, help="the beginning of a run's id, or a published version")


def _runs_show(options: Options) -> Outcome:
    from stackwright.workflows.lineage.run_showing import show_run

    with open_stack(options) as stack:
        return show_run(stack, options.run)


def _runs_show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the beginning of a run's id, or a published version")


def _models_show(options: Options) -> Outcome:
    from stackwright.workflows.versions.showing import show_model

    with open_stack(options) as stack:
        return show_model(stack, options.ref, out=options.out)


def _models_show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help=_REF)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the model card: .md or .html")


def _retire(options: Options) -> Outcome:
    from stackwright.workflows.versions.retirement import retire

    with open_stack(options) as stack:
        return retire(stack, options.ref, reason=options.reason, drain=options.drain, undo=options.undo)


def _retire_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help=_REF)
    parser.add_argument("--drain", action="store_true", help="remove the aliases that point to it")
    parser.add_argument("--undo", action="store_true", help="let it be promoted again")
    parser.add_argument("--reason", default="", help="written into the journal")


def _impact(options: Options) -> Outcome:
    from stackwright.workflows.lineage.impact import impact

    with open_stack(options) as stack:
        return impact(stack, options.name, diff=options.diff)


def _impact_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a source, entity, view, feature, service, target")
    parser.add_argument("--diff", type=Path, metavar="FEATURES", help="what an edited feature file would change")


def _trace(options: Options) -> Outcome:
    from stackwright.workflows.lineage.trace import trace

    with open_stack(options) as stack:
        return trace(stack, options.prediction, rows=options.rows)


def _trace_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prediction", metavar="PREDICTION_ID", help="as an answer holds it")
    parser.add_argument("--rows", type=Path, metavar="OUT", help="write the training rows: .parquet")


def _reproduce(options: Options) -> Outcome:
    from stackwright.workflows.lineage.reproduce import reproduce

    with open_stack(options) as stack:
        return reproduce(stack, options.ref)


def _reproduce_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help=_REF)


def _export(options: Options) -> Outcome:
    from stackwright.workflows.versions.export import export

    with open_stack(options) as stack:
        return export(stack, options.ref, options.out)


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help=_REF)
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to make")


def _worth(options: Options) -> Outcome:
    from stackwright.workflows.lineage.worth import worth

    with open_stack(options) as stack:
        return worth(stack, options.words, days=options.days)


def _worth_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORDS", help="every word must be found")
    parser.add_argument("--days", type=days, default=30.0, metavar="N", help="days of reads (default: 30.0)")


def _ablate(options: Options) -> Outcome:
    from stackwright.workflows.lineage.ablation import ablate

    with open_stack(options) as stack:
        return ablate(stack, options.ref)


def _ablate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help=_REF)


LINEAGE = (
    Verb("runs compare", "put two runs side by side, what differs first", _runs_compare, _runs_compare_options),
    Verb("runs show", "show a run in full: what it cost, where it failed, its log", _runs_show, _runs_show_options),
    Verb("models show", "show a published model in full, and write its card", _models_show, _models_show_options),
    Verb("retire", "take a version out of use, or back into it", _retire, _retire_options),
    Verb("impact", "tell what a change would reach, and who owns it", _impact, _impact_options),
    Verb("trace", "trace a prediction to its model, rows, features and files", _trace, _trace_options),
    Verb("reproduce", "train a version again as things were known then", _reproduce, _reproduce_options),
    Verb("export", "write a model as a folder that predicts on its own", _export, _export_options),
    Verb("worth", "show what features are read for, what they cost and are worth", _worth, _worth_options),
    Verb("ablate", "fit a model again without each feature, to find what that is worth", _ablate, _ablate_options),
)
