"""What PostgreSQL and the network complain about, in the words of the feature store."""

from __future__ import annotations

from typing import Final

import psycopg

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout

MISSING_TABLE: Final = "42P01"
_CANCELED: Final = "57014"
_COLLISIONS: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_ENDED_BY_THE_SERVER: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})

_AGAIN: Final = "Run the command again when the server is up: rows that were stored are not harmed by it."
_STOPPED: Final = ("the server is stopping or starting", _AGAIN)
_PERMISSION: Final = (
    "this user may not do that",
    "Grant it SELECT, INSERT, UPDATE and DELETE on the table, USAGE on the schema and, for the first write, CREATE.",
)
_OTHER_TABLE: Final = ("the table is another program's", "Name another table, or another schema.")
_DAMAGED: Final = ("the table is damaged", "Drop it, and materialize again: the rows are rebuilt from history.")
_FULL: Final = ("too many connections are open", "Lower pool_size, or raise max_connections of the server.")

_BY_STATE: Final = {
    "25006": ("the server, or this user, may only read", "Name the primary server (target_session_attrs=read-write)."),
    "42501": _PERMISSION,
    "42703": _OTHER_TABLE,
    "42804": _OTHER_TABLE,
    "42809": _OTHER_TABLE,
    "42883": _OTHER_TABLE,
    "42P10": _OTHER_TABLE,
    "53100": ("the disk of the server is full", "Make room and run the command again: nothing was half written."),
    "53200": ("the server is out of memory", "Give it more, or ask for fewer rows at once."),
    "53300": _FULL,
    "54000": ("a key is too long to be indexed", "Use entity keys of at most some 2,500 bytes."),
    "57P01": _STOPPED,
    "57P02": _STOPPED,
    "57P03": _STOPPED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}

# A refused connection comes without a code: only its (English) text tells why.
_BY_TEXT: Final = (
    ("password authentication failed", ("user name or password are wrong", "Correct them in the url.")),
    ("no password supplied", ("the server asks for a password", "Give one in the url.")),
    ("pg_hba.conf", ("the server does not let this user in from here", "Allow it in pg_hba.conf.")),
    ("starting up", _STOPPED),
    ("shutting down", _STOPPED),
    ("in recovery mode", _STOPPED),
    ("too many clients", _FULL),
    ("too many connections", _FULL),
    ("remaining connection slots", _FULL),
    ("role", ("there is no such user", "Create it, or correct the url.")),
    ("database", ("there is no such database", "Create it (createdb), or correct the url.")),
)


def is_collision(error: psycopg.Error) -> bool:
    """Tell whether a transaction was rolled back because of another one, so that it can be done again."""
    return error.sqlstate in _COLLISIONS


def is_loss(error: psycopg.Error) -> bool:
    """Tell whether the connection ended while it was being used."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate in _ENDED_BY_THE_SERVER


def translate(error: psycopg.Error, where: str) -> FeatureStoreError:
    """Return the error to raise for a statement that failed."""
    if error.sqlstate == _CANCELED:
        return timed_out(where)
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return FeatureStoreError(where, f"the connection was lost ({_one_line(str(error))})", _AGAIN)
    found, todo = _BY_STATE.get(error.sqlstate or "", ("PostgreSQL failed", ""))
    return FeatureStoreError(where, f"{found} ({_one_line(str(error))})", todo)


def unreachable(message: str, where: str) -> FeatureStoreError:
    """Return the error for a connection that was refused; libpq's message holds no password."""
    for text, (found, todo) in _BY_TEXT:
        if text in message and (text not in {"role", "database"} or "does not exist" in message):
            return FeatureStoreError(where, f"{found} ({_one_line(message)})", todo)
    todo = "Check that the server runs, and that the url names its host and port."
    return FeatureStoreError(where, f"the server cannot be reached ({_one_line(message)})", todo)


def timed_out(where: str) -> StoreTimeout:
    """Return the error for a call that took too long."""
    todo = "Ask for fewer keys, allow more time, or look for what holds the server up."
    return StoreTimeout(where, "the server did not answer before the deadline", todo)


def busy(where: str, size: int) -> StoreTimeout:
    """Return the error for a call that got no connection in time."""
    return StoreTimeout(where, f"all {size} connections stayed in use until the deadline", "Raise pool_size.")


def closed(where: str) -> FeatureStoreError:
    """Return the error for a store that is used after it was closed."""
    return FeatureStoreError(where, "the online store was closed", "Open it again.")


def _one_line(message: str) -> str:
    return " ".join(message.split())
