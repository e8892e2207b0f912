"""Where rows come from: files here or on S3, and databases. All cross as Arrow streams, read as they are consumed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from stackwright.assembly.secrets import Secret
from stackwright.assembly.stack import Stack
from stackwright.workflows.rows import files
from stackwright.workflows.rows.csv_rows import File, Stream, ends_openly
from stackwright.workflows.rows.spool import spool
from stackwright_features.streams import Lazy
from stackwright_interfaces.errors import (
    DataError,
    ObjectNotFound,
    PluginError,
    StorageError,
    UsageError,
)
from stackwright_interfaces.tables import TableSource, TableTarget
from stackwright_interfaces.types import Type
from stackwright_interfaces.views import NULLS

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ENV: Final = "env:"
_ADAPTER: Final = "sql"
_ELSEWHERE: Final = frozenset({"abfs", "abfss", "az", "ftp", "gs", "hdfs", "http", "https", "sftp"})


@dataclass
class Rows:
    """Rows of a source; consumable once.

    Args:
        name: what the source is called where labels say who said so; holds no secret.
        stream: the rows.
        place: the whole of it, for whoever looks for it again; holds no secret.
        files: the files they are read from, as long as the source is open.
        notes: what should be told of them.
    """

    name: str
    stream: Lazy
    place: str = ""
    files: Sequence[File] = ()
    notes: list[str] = field(default_factory=list)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the rows as an Arrow stream."""
        return self.stream.__arrow_c_stream__(requested_schema)


@contextmanager
def rows_of(
    stack: Stack,
    source: str | Path,
    declared: Mapping[str, Type],
    *,
    table: str | None = None,
    query: str | None = None,
    nulls: Sequence[str] = NULLS,
    needed: Collection[str] = (),
) -> Iterator[Rows]:
    """Open a source, for as long as its rows are consumed.

    An error of the source that reaches its consumer through the Arrow stream, which keeps its text alone, is raised
    here as it was.

    Args:
        source: a path, a folder, a pattern; ``s3://BUCKET/KEY`` or ``s3://BUCKET/PREFIX/``; the URL of a database; or
            ``env:NAME``, an environment variable that holds one of these.
        declared: as :func:`files.read` has it.
        table: the table of a database.
        query: a SELECT for a database, instead.
        nulls: as :func:`files.read` has it.
        needed: as :func:`files.read` has it.

    Raises:
        UsageError: there is no such file, bucket or table, or what to read of the source is not said, or said twice.
        AdapterNotInstalled: nothing installed reads databases.
        PluginError: what reads the source is not installed.
        DataError: what was found cannot be read.
        StorageError: bucket or database cannot be reached.
        BlueprintError: the environment variable is not set.
    """
    text = revealed(stack, str(source))
    scheme = _SCHEME.match(text)
    kind = scheme[1].lower() if scheme else "file"
    with ExitStack() as opened:
        if kind in ("file", "s3"):
            refuse_parts(kind, table, query)
            found = _objects(stack, text, opened) if kind == "s3" else files.find(_path(text))
            rows = _of_files(text, found, files.read(found, declared, nulls=nulls, needed=needed))
        elif kind in _ELSEWHERE:
            raise UsageError(f"{kind}:", "files are not read from there", "Download them, or put them into a bucket.")
        else:
            rows = _of_database(stack, text, kind, _part(kind, table, query), needed, opened)
        with rows.stream.consumed():
            yield rows


def revealed(stack: Stack, source: str) -> str:
    """Return a source or target; of ``env:NAME``, what the environment variable holds.

    Raises:
        BlueprintError: it is not set.
        UsageError: it is a URL that cannot be read.
    """
    text = source
    if source.startswith(_ENV):
        text = Secret(env=source.removeprefix(_ENV)).reveal(f"source {source}", stack.project.folder)
    if scheme := _SCHEME.match(text):
        try:
            urlsplit(text)
        except ValueError:
            found = "the URL cannot be read"  # what is wrong with it may quote a password
            todo = "Write brackets of a user, a password or a name as %5B and %5D."
            raise UsageError(f"{scheme[0]}...", found, todo) from None
    return text


def _path(text: str) -> str:
    return unquote(urlsplit(text).path) if _SCHEME.match(text) else text


def refuse_parts(kind: str, table: str | None, query: str | None) -> None:
    """See that no part of a database is asked of what is none.

    Raises:
        UsageError: one is.
    """
    given = "--table" if table is not None else "--query"
    if table is not None or query is not None:
        what = "a file" if kind == "file" else "a bucket"
        raise UsageError(given, f"the source is {what}, no database", f"Leave {given} out, or give a database's URL.")


def _part(kind: str, table: str | None, query: str | None) -> tuple[str, bool]:
    """Return what to read of a database, and whether it is a query."""
    if table and not query:
        return table, False
    if query and not table:
        return query, True
    found = "both --table and --query are given" if table else "which of its tables to read is not said"
    raise UsageError(f"database {kind}", found, "Give --table NAME, or --query 'SELECT ...'.")


def _of_files(text: str, found: files.Found, stream: Stream) -> Rows:
    open_ended = [file for file in found.files if file.path.suffix.lower() == ".csv" and ends_openly(file.path)]
    notes = [f"The last line of {file.shown} has no end; see that it was not cut off." for file in open_ended]
    name = PurePosixPath(urlsplit(text).path if "://" in text else text).name
    return Rows(name, Lazy(*stream), _without_secrets(text), found.files, notes)


def _without_secrets(url: str) -> str:
    """Return a URL without user, password and parameters; a path as it is."""
    if not _SCHEME.match(url):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _objects(stack: Stack, url: str, opened: ExitStack) -> files.Found:
    """Fetch an object, or those below a prefix, into a folder that is gone when the rows are consumed."""
    parts = urlsplit(url)
    place = f"s3://{parts.netloc}{parts.path}"
    folder = opened.enter_context(spool(stack.context.cache, "objects"))
    above, _, name = parts.path.rpartition("/")
    if PurePosixPath(name).suffix.lower() in files.READABLE:
        try:
            return files.Found([_fetched(stack, parts._replace(path=above).geturl(), unquote(name), folder, opened)])
        except ObjectNotFound:
            if not _keys(stack, url, opened):
                raise
    keys = _keys(stack, url, opened)
    if not keys:
        todo = f"Check bucket and prefix. Files that can be read end in {', '.join(files.READABLE)}."
        raise UsageError(place, "no object that can be read lies below it", todo)
    return files.chosen([_fetched(stack, url, key, folder, opened) for key in keys], place, folder)


def _keys(stack: Stack, url: str, opened: ExitStack) -> list[str]:
    storage = stack.context.storage(url)
    opened.callback(storage.close)
    return [key for key in storage.list() if PurePosixPath(key).suffix.lower() in files.READABLE]


def _fetched(stack: Stack, url: str, key: str, folder: Path, opened: ExitStack) -> File:
    storage = stack.context.storage(url)
    opened.callback(storage.close)
    parts, path = urlsplit(url), folder / key
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.fetch(key, path)
    except OSError as error:
        raise StorageError(str(folder), f"cannot be written ({error.strerror})", "Free space there.") from error
    return File(path, "/".join(part for part in (f"s3://{parts.netloc}", parts.path.strip("/"), key) if part))


def _of_database(
    stack: Stack, url: str, kind: str, part: tuple[str, bool], needed: Collection[str], opened: ExitStack
) -> Rows:
    what, query = part
    where = f"database {kind}"
    source: TableSource = _made(stack, where, url, TableSource)
    opened.callback(source.close)
    stream: Any = source.read(what, query=query, columns=needed)
    reader = stream if isinstance(stream, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(stream)
    place = f"{_without_secrets(url)}#{'query' if query else what}"
    return Rows(kind if query else what, Lazy(reader.schema, _told(reader, where)), place)


def database(stack: Stack, url: str) -> tuple[str, TableTarget]:
    """Return a database that tables are written to, and what it is called.

    Raises:
        AdapterNotInstalled: nothing installed writes databases.
        PluginError: what writes it is not installed.
        UsageError: the url cannot be used.
    """
    where = f"database {urlsplit(url).scheme}"
    made: TableTarget = _made(stack, where, url, TableTarget)
    return where, made


def _made(stack: Stack, where: str, url: str, provides: Any) -> Any:
    spec = stack.plugins.adapter(where, _ADAPTER, provides)
    module, _, name = spec.factory.partition(":")
    try:
        factory = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        todo = f"Run: pip install --upgrade stackwright-{_ADAPTER}"
        raise PluginError(where, f"adapter {_ADAPTER!r} cannot be loaded ({error})", todo) from error
    return factory(spec.config(url=url), stack.context)


def _told(reader: Any, where: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except pa.ArrowException as error:
        raise DataError(where, f"the rows cannot be read ({files.first_line(error)})", "Try it again.") from error
