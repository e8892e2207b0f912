"""The verb that shows a project as a web page: the page is a distribution of its own."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Final

from stackwright.cli.verb import Options, Verb
from stackwright_interfaces.errors import PluginError, UsageError

_VARIABLE: Final = "STACKWRIGHT_CONSOLE_TOKEN"
_PACKAGE: Final = "stackwright_console"


def open_console(folder: Path, env: str | None, *, host: str, port: int, token: str) -> None:
    """Show a project as a web page until interrupted.

    Raises:
        PluginError: the page is not installed.
        ProjectError: the folder holds no project.
        UsageError: the token is too short, or is needed.
        ServerError: the address cannot be used.
    """
    try:
        command = import_module(f"{_PACKAGE}.command")
    except ModuleNotFoundError as error:
        if error.name != _PACKAGE:
            raise
        raise PluginError("stackwright console", "is not installed", "Run: pip install stackwright-console") from error
    command.console(folder, env, host=host, port=port, token=token)


def _console(options: Options) -> None:
    open_console(options.project, options.env, host=options.host, port=options.port, token=_token(options.token_file))


def _token(path: Path | None) -> str:
    if path is None:
        return os.environ.get(_VARIABLE, "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(str(path), f"cannot be read ({error})", "Give a file that holds the token.") from error


def _console_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8500, metavar="PORT", help="0 for a free one (default: 8500)")
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="where to listen (default: 127.0.0.1)")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"holds the token that opens changes (default: ${_VARIABLE})"
    )


CONSOLE = (Verb("console", "show the project as a web page", _console, _console_options),)
