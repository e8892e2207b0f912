"""Where the database is: what SQLAlchemy needs to know, and what may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from stackwright_interfaces.errors import PluginError, UsageError, did_you_mean
from stackwright_sql.plugin import SqlConfig

_FORM: Final = "DIALECT://USER:PASSWORD@HOST:PORT/DATABASE"
_PSYCOPG: Final = "postgresql+psycopg"
_OLDER_NAMES: Final = {"postgres": _PSYCOPG, "postgresql": _PSYCOPG}
_MASK: Final = "***"

_INSTALL: Final = {
    "MySQLdb": "mysqlclient",
    "cx_Oracle": "cx-Oracle",
    "psycopg": "'stackwright-sql[postgres]'",
    "psycopg2": "psycopg2-binary",
}
"""Module of a driver → what brings it, where the names differ."""

_DIALECTS: Final = {
    "bigquery": "sqlalchemy-bigquery",
    "databricks": "databricks-sqlalchemy",
    "duckdb": "duckdb-engine",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "trino": "'trino[sqlalchemy]'",
}
"""Dialects that are distributions of their own."""

_BUILT_IN: Final = ("mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite")


class Address:
    """A database.

    Args:
        config: which database.
        makes: a file that is not there is made, and its folder alone must be.

    Attributes:
        where: for people; holds neither user nor password.

    Raises:
        UsageError: the url cannot be read, parts of a password may have been taken for a host or database, or it names
            a file that is not there.
    """

    def __init__(self, config: SqlConfig, *, makes: bool = False) -> None:
        try:
            url = make_url(config.url)
        except (ArgumentError, ValueError):
            raise _unreadable() from None  # the message may quote a part of the password
        if "@" in (url.host or "") + (url.database or ""):
            raise _unreadable()
        self._url: Final = url.set(drivername=_OLDER_NAMES.get(url.drivername, url.drivername))
        self._timeout = config.connect_timeout
        self._secrets = _secrets(url)
        self.backend: Final = self._url.get_backend_name()
        port = f":{url.port}" if url.port else ""
        self.where: Final = f"{self.backend} {url.host or ''}{port}/{url.database or ''}"
        if self.backend == "sqlite":
            self._check_file(makes=makes)

    def engine(self) -> Engine:
        """Return an engine, which connects when it is first used.

        Raises:
            PluginError: dialect or driver is not installed.
        """
        arguments: dict[str, Any] = {}
        if self._url.drivername == _PSYCOPG and "connect_timeout" not in self._url.query:
            arguments["connect_timeout"] = self._timeout
        try:
            return create_engine(self._url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
        except NoSuchModuleError as error:
            raise self._no_dialect() from error
        except ImportError as error:
            raise self._no_driver(error) from error

    def masked(self, text: str) -> str:
        """Return the first line of a message, without the password."""
        line = text.strip().partition("\n")[0]
        for secret in self._secrets:
            line = line.replace(secret, _MASK)
        return line

    def tells(self, error: BaseException) -> bool:
        """Tell whether an error, or what it came from, shows the password."""
        shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        return any(secret in shown for secret in self._secrets)

    def _check_file(self, *, makes: bool) -> None:
        name = self._url.database or ""
        if name in ("", ":memory:") or name.startswith("file:"):
            return
        if not (Path(name).parent if makes else Path(name)).exists():
            found = "no such folder" if makes else "no such file"
            raise UsageError(self.where, found, "Check the path; an absolute one has four slashes: sqlite:////.")

    def _no_dialect(self) -> PluginError:
        known = {*_BUILT_IN, *_DIALECTS}
        line = f"Run: pip install {_DIALECTS[self.backend]}" if self.backend in _DIALECTS else ""
        todo = line or did_you_mean(self.backend, known) or f"Install its SQLAlchemy dialect. Known: {_names(known)}."
        return PluginError(
            f"database {self.backend}", f"no SQLAlchemy dialect {self._url.drivername!r} is installed", todo
        )

    def _no_driver(self, error: ImportError) -> PluginError:
        module = (error.name or self._url.get_driver_name()).partition(".")[0]
        todo = f"Run: pip install {_INSTALL.get(module, module)}"
        return PluginError(f"database {self.backend}", f"the driver {module!r} cannot be imported", todo)


def _secrets(url: URL) -> tuple[str, ...]:
    """Return the password in every form in which a message may quote it, and what the options of the URL hide."""
    hidden = [str(url.password or "")]
    for name, value in url.query.items():
        if "pass" in name.lower() or "token" in name.lower() or "secret" in name.lower():
            hidden += [value] if isinstance(value, str) else value
    forms = {
        form for item in hidden if item for form in (item, quote(item, safe=""), quote_plus(item), repr(item)[1:-1])
    }
    return tuple(sorted(forms, key=len, reverse=True))


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _unreadable() -> UsageError:
    todo = f"Write {_FORM}; in user and password write % and @ / : ? # as %25, %40, %2F, %3A, %3F, %23."
    return UsageError("url of the database", "it cannot be read as the address of a database", todo)
