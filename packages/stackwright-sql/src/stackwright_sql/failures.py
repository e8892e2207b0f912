"""Errors of SQLAlchemy and of drivers, as ours: where, what was found, what to do; never with the password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import DataError as SqlDataError

from stackwright_interfaces.errors import DataError, StackwrightError, StorageError, UsageError
from stackwright_sql.address import Address


class Stage(Enum):
    """What was being done."""

    CONNECT = "connect"
    ASK = "ask"
    READ = "read"
    WRITE = "write"


_REFUSED: Final = re.compile(
    r"password|authenticat|access denied|login failed|role .* does not exist|no pg_hba|ORA-01017|permission denied",
    re.IGNORECASE,
)
_NO_DATABASE: Final = re.compile(
    r"database .*(does not exist|cannot be opened)|unknown database|unable to open", re.IGNORECASE
)
_UNDONE: Final = "Nothing was taken. Run the command again."
_AGAIN: Final = "Run the command again: what was written before is not written twice."


@contextmanager
def translated(address: Address, stage: Stage) -> Iterator[None]:
    """Raise what SQLAlchemy and drivers raise as errors of ours.

    Raises:
        UsageError: the query cannot be run.
        DataError: a value cannot be read.
        StorageError: anything else.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise _translate(error, address, stage) from (None if address.tells(error) else error)


def _translate(error: SQLAlchemyError, address: Address, stage: Stage) -> StackwrightError:
    text = address.masked(str(error.orig) if isinstance(error, DBAPIError) else str(error))
    if stage is Stage.CONNECT:
        return _no_connection(text, address)
    if stage is Stage.WRITE:
        return _not_written(error, text, address)
    if isinstance(error, SqlDataError) or not isinstance(error, DatabaseError):
        return DataError(address.where, f"a value cannot be read ({text})", "Convert it in a query: CAST(... AS ...).")
    if _REFUSED.search(text):
        return StorageError(address.where, f"it may not be read ({text})", "Grant the user SELECT on it.")
    if stage is Stage.ASK and not isinstance(error, OperationalError | InterfaceError):
        return UsageError(address.where, f"the query cannot be run ({text})", "Try it in the database's own client.")
    if stage is Stage.ASK and address.backend == "sqlite":  # where a mistake in a query is an operational error too
        return UsageError(address.where, f"the query cannot be run ({text})", "Check the names of tables and columns.")
    return StorageError(address.where, f"the database broke off ({text})", _UNDONE)


def _not_written(error: SQLAlchemyError, text: str, address: Address) -> StackwrightError:
    if _REFUSED.search(text):
        return StorageError(address.where, f"it may not be written ({text})", "Grant the user CREATE and INSERT.")
    if isinstance(error, SqlDataError | IntegrityError) or not isinstance(error, DatabaseError):
        return DataError(address.where, f"a row cannot be written ({text})", "Mend the rows, or the table.")
    return StorageError(address.where, f"nothing was written ({text})", _AGAIN)


def _no_connection(text: str, address: Address) -> StorageError:
    if _NO_DATABASE.search(text):
        return StorageError(address.where, f"there is no such database ({text})", "Check its name.")
    if _REFUSED.search(text):
        return StorageError(address.where, f"user or password were refused ({text})", "Check the two in the URL.")
    return StorageError(
        address.where, f"the server cannot be reached ({text})", "See that it runs; check host and port."
    )
