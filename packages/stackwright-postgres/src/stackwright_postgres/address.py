"""Where the server is: what libpq needs to know, and what may be shown."""

from __future__ import annotations

from typing import Final

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stackwright_interfaces.errors import FeatureStoreError
from stackwright_postgres.plugin import PostgresConfig

_FORM: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class Address:
    """A server and a table on it.

    Attributes:
        conninfo: for libpq; holds the password.
        where: for people; holds neither user nor password.

    Raises:
        FeatureStoreError: the url cannot be read, or parts of a password may have been taken for a host or database.
    """

    def __init__(self, config: PostgresConfig) -> None:
        try:
            parts = conninfo_to_dict(config.url)
        except Error:
            raise _unreadable() from None  # the message quotes what it could not read, and that may be the password
        host, port, database = (str(parts.get(name) or "") for name in ("host", "port", "dbname"))
        if "@" in host + database or (port and not port.replace(",", "").isdigit()):
            raise _unreadable()
        defaults = {**_KEEPALIVE, "tcp_user_timeout": max(1, int(config.timeout * 1000))}
        settings = {"client_encoding": "UTF8", "application_name": "stackwright", **defaults, **parts}
        self.conninfo: Final = make_conninfo("", **settings).encode()
        server = f"{host or 'local'}{port and ':'}{port}/{database}"
        self.where: Final = f"PostgreSQL {server}, table {config.schema}.{config.table}"


def _unreadable() -> FeatureStoreError:
    todo = f"Write {_FORM}; in user and password write % and @ / : ? # as %25, %40, %2F, %3A, %3F, %23."
    return FeatureStoreError("url of the online store", "it cannot be read as the address of a PostgreSQL server", todo)
