"""The command line as argparse reads it, and what is said of a line that it cannot read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from stackwright.cli.verb import Verb
from stackwright.cli.verbs import GROUPS, VERBS
from stackwright_interfaces.errors import UsageError, did_you_mean

_BEGIN = """\
Begin: stackwright new DIR --blueprint realtime --sample, then: stackwright up --project DIR
stackwright VERB --help says more about a verb."""


class _Top(argparse.ArgumentParser):
    """Shows the verbs in groups, which argparse does not."""

    def format_help(self) -> str:
        """Return the usage, and every verb with what it does."""
        groups = [f"{title}:\n{_listed(verbs)}" for title, verbs in GROUPS.items()]
        return "\n\n".join([self.format_usage().strip(), str(self.description), *groups, f"{self.epilog}\n"])


def _listed(verbs: Iterable[Verb]) -> str:
    return "\n".join(f"  {verb.name:13} {verb.summary}" for verb in verbs)


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Args:
        only: the one verb to know; parsing a line needs no other.
    """
    top = _Top(prog="stackwright", description="Machine-learning stacks, built from parts.", epilog=_BEGIN)
    top.add_argument("--version", action="store_true", help="the same as the verb version")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=argparse.ArgumentParser)
    for verb in (verb for verb in VERBS if only in (None, verb.name)):
        sub = verbs.add_parser(verb.name, help=verb.summary, description=verb.description or verb.summary)
        verb.configure(sub)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        if verb.in_project:
            sub.add_argument("--project", type=Path, default=Path(), metavar="DIR", help="the project (default: here)")
            environment = "lay [env.NAME] over the blueprint (default: $STACKWRIGHT_ENV)"
            sub.add_argument("--env", metavar="NAME", help=environment)
    return top


def parsed(given: Sequence[str]) -> argparse.Namespace:
    """Return what a command line asks for.

    Raises:
        UsageError: there is no such verb, or it has no such option or argument.
    """
    named = given[0]
    known = [verb.name for verb in VERBS]
    if not named.startswith("-") and named not in known:
        todo = did_you_mean(named, known) or "See: stackwright --help"
        raise UsageError("stackwright", f"there is no verb {named!r}", todo)
    options, rest = parser(named if named in known else None).parse_known_args(given)
    if rest:
        unknown = rest[0].partition("=")[0]
        todo = did_you_mean(unknown, _options(options.verb)) or f"See: stackwright {options.verb} --help"
        raise UsageError(f"stackwright {options.verb}", f"it takes no {unknown!r} here", todo)
    return options


def joined(given: Sequence[str]) -> list[str]:
    """Return a command line with a verb of two words (``models show``) as one, and ``--version`` as the verb."""
    if given[:1] == ["--version"]:
        return ["version", *given[1:]]
    both = " ".join(given[:2])
    return [both, *given[2:]] if any(verb.name == both for verb in VERBS) else list(given)


def _options(name: str) -> list[str]:
    """Return the options of a verb."""
    alone = argparse.ArgumentParser()
    next(verb for verb in VERBS if verb.name == name).configure(alone)
    return [*re.findall(r"(?<![\w-])--[\w-]+", alone.format_help()), "--json", "--project", "--env"]
