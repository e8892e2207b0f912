"""Which keys are allowed."""

from __future__ import annotations

import unicodedata
from typing import Final

from stackwright_interfaces.errors import UsageError

RESERVED: Final = ".storage"
"""First part of the names that a storage keeps for itself."""


def check_key(key: str) -> None:
    """See that a key is one: ``a/b/c.json``, relative, of plain parts.

    Raises:
        UsageError: it is not.
    """
    fault = _fault(key)
    if fault:
        raise UsageError(f"storage key {key!r}", fault, "Write a relative key such as 'a/b/c.json'.")


def is_key(name: str) -> bool:
    """Tell whether a name can be a key; a bucket also holds what others put there, such as markers of folders."""
    return not _fault(name)


def check_prefix(prefix: str) -> None:
    """See that keys can start with a prefix; its last part may be empty or cut short.

    Raises:
        UsageError: none can.
    """
    if prefix:
        check_key(prefix + "x" if prefix.endswith(("/", ".")) else prefix)


def _fault(key: str) -> str:
    parts = key.split("/")
    if "" in parts:
        return "empty, absolute, or with an empty part"
    if "." in parts or ".." in parts:
        return "a part of it is '.' or '..'"
    if parts[0] == RESERVED:
        return f"names below {RESERVED!r} are kept for the storage itself"
    if any(character == "\\" or unicodedata.category(character) in {"Cc", "Cs"} for character in key):
        return "it holds a backslash or a control character"
    return ""
