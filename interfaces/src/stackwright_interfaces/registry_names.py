"""Names in a registry: those of models, aliases and runs, as every registry takes them."""

from __future__ import annotations

import re
from typing import Final

from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.model import ModelRef

_RUN_ID: Final = re.compile(r"[\w-][\w.-]*")


def check_model_name(name: str) -> None:
    """See that a model may have this name.

    Raises:
        UsageError: it may not.
    """
    if ModelRef.parse(name) != ModelRef(name):
        raise UsageError(f"model {name!r}", "a reference, not a name", "Leave out '@' and what follows.")


def check_alias(alias: str | None) -> str:
    """See that ``NAME@ALIAS`` finds this alias, and return it.

    Raises:
        UsageError: it would not.
    """
    if not alias or ModelRef.parse(f"model@{alias}").alias != alias:
        todo = "Use letters, digits, '_', '.' and '-', and not digits alone."
        raise UsageError(f"alias {alias!r}", "not a usable alias", todo)
    return alias


def check_run_id(id_: str) -> None:
    """See that a run may have this id.

    Raises:
        UsageError: it may not.
    """
    if not _RUN_ID.fullmatch(id_):
        raise UsageError(f"run {id_!r}", "not a usable id", "Use letters, digits, '_', '.' and '-'.")
