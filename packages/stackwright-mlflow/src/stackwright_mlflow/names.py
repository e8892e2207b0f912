"""Names: what MLflow can keep, and what ours are called there."""

from __future__ import annotations

import re
from typing import Final

from stackwright_interfaces import registry_names
from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.registry_names import check_model_name, check_run_id

LONGEST: Final = 120
"""Characters of a model's or alias' name; MLflow's columns and our journal lines bound them."""

KIND: Final = "stackwright.kind"
"""Tag of a run: ``"journal"``, ``"publication"`` or ``"run"``."""

MODEL: Final = "stackwright.model"
"""Tag of a publication and of a version: the model's name."""

DIGEST: Final = "stackwright.digest"
"""Tag of a version: the digest of its manifest."""

STARTED: Final = "stackwright.started"
"""Tag of what a publication makes: when it began."""

LINE: Final = "stackwright.published"
"""Tag of a version: the journal line that published it. Only a version with a line is published."""

_ALIAS: Final = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED: Final = re.compile(r"latest|v\d+", re.IGNORECASE)


def check_name(name: str) -> None:
    """See that a model may have this name, and that MLflow keeps it.

    Raises:
        UsageError: it may not.
    """
    check_model_name(name)
    if len(name) > LONGEST:
        raise UsageError(f"model {name!r}", f"a name of {len(name)} characters", f"Use {LONGEST} at most.")


def check_alias(alias: str | None) -> None:
    """See that ``NAME@ALIAS`` finds this alias, and that MLflow keeps it.

    Raises:
        UsageError: it would not.
    """
    alias = registry_names.check_alias(alias)
    if not _ALIAS.fullmatch(alias):
        found = "not a usable alias on MLflow"
        raise UsageError(f"alias {alias!r}", found, "Use letters, digits, '_' and '-', and not digits alone.")
    if _RESERVED.fullmatch(alias) or len(alias) > LONGEST:
        found = f"MLflow keeps 'latest' and 'v1', 'v2', ... for itself, and {LONGEST} characters are the most"
        raise UsageError(f"alias {alias!r}", found, "Use another name.")


def check_run(id_: str) -> None:
    """See that a run may have this id, and that MLflow keeps it.

    Raises:
        UsageError: it may not.
    """
    check_run_id(id_)
    if len(id_) > LONGEST:
        raise UsageError(f"run {id_!r}", f"an id of {len(id_)} characters", f"Use {LONGEST} at most.")


def registered(prefix: str, name: str) -> str:
    """Return what a model is called in MLflow, which takes no slash; no part of our names holds a dot."""
    return prefix + name.replace("/", ".")
