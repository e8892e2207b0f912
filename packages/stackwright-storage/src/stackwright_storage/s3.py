"""Objects in an S3 bucket, or in whatever speaks its protocol.

Conditions are S3's own (``If-None-Match: *`` and ``If-Match``), never a look followed by a write. Each put carries a
mark of its own in the object's metadata: where an answer was lost and the client's retry then met its own object, the
mark tells that the put was done.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from stackwright_interfaces.errors import PluginError, StorageError, UsageError
from stackwright_interfaces.storage import Storage, Stored
from stackwright_storage.failures import changed, exists, not_found
from stackwright_storage.keys import check_key, check_prefix, is_key

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        HTTPClientError,
        IncompleteReadError,
        InvalidRegionError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
        ProfileNotFound,
        SSOError,
        TokenRetrievalError,
    )
except ModuleNotFoundError as error:
    raise PluginError("storage s3", "boto3 is not installed", "Run: pip install 'stackwright-storage[s3]'") from error

_OPTIONS: Final = {"endpoint_url": "endpoint_url", "region": "region_name"}
_MARK: Final = "stackwright-put"
_CONFLICTS: Final = 8
_READS: Final = 4
_PIECE: Final = 1 << 20

_ABSENT: Final = {"404", "NoSuchKey"}
_FAILED: Final = {"412", "PreconditionFailed"}
_RACED: Final = {"409", "ConditionalRequestConflict"}
_DENIED: Final = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_BUSY: Final = {"503", "SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "ThrottlingException"}

_NO_CREDENTIALS: Final = (NoCredentialsError, PartialCredentialsError)
_BAD_CREDENTIALS: Final = (ProfileNotFound, CredentialRetrievalError, SSOError, TokenRetrievalError)
_BAD_PLACE: Final = (ParamValidationError, InvalidRegionError, ValueError)
_CUT_SHORT: Final = (HTTPClientError, IncompleteReadError)

T = TypeVar("T")


class S3Storage(Storage):
    """Objects below a prefix of one bucket. Usable from many threads, and after a fork.

    The tag of an object is its ETag. Credentials, region and endpoint come from the usual places of AWS tools
    (environment, profile, role); the last two may stand in the URL. Failing requests are tried four times in all, with
    growing pauses.

    Args:
        url: ``s3://bucket/prefix``, with ``?endpoint_url=...&region=...`` where these are not the usual ones.

    Raises:
        UsageError: it is no such URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        unknown = sorted(set(options) - set(_OPTIONS))
        if not parts.netloc or parts.fragment or unknown or "@" in parts.netloc:
            found = f"unknown option {unknown[0]!r}" if unknown else "not the URL of a bucket"
            todo = f"Write s3://bucket/prefix; options: {', '.join(_OPTIONS)}. Credentials come from the environment."
            raise UsageError("storage s3", found, todo)
        self._bucket = parts.netloc
        self._prefix = unquote(parts.path).strip("/")
        self._prefix += "/" if self._prefix else ""
        self._options = {_OPTIONS[name]: value for name, value in options.items()}
        self._clients: dict[int, Any] = {}

    def get(self, key: str) -> Stored:
        """Return the object."""
        return self._read(key, lambda found: Stored(found["Body"].read(), found["ETag"]))

    def fetch(self, key: str, path: Path) -> str:
        """Write the object into a file, some of it at a time, and return its tag."""

        def save(found: Any) -> str:
            with path.open("wb") as stream:
                for data in found["Body"].iter_chunks(_PIECE):
                    stream.write(data)
            return str(found["ETag"])

        return self._read(key, save)

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Store an object where none is; return its tag."""
        tag = self._put(key, data, IfNoneMatch="*")
        if tag is None:
            raise exists(self._where(key))
        return tag

    def put_if_match(self, key: str, data: bytes, tag: str) -> str:
        """Replace the object that has this tag; return the new tag."""
        new = self._put(key, data, IfMatch=tag)
        if new is None:
            raise changed(self._where(key), "someone else has replaced or removed it")
        return new

    def list(self, prefix: str = "") -> Iterator[str]:
        """Give the keys that start with a prefix, sorted."""
        check_prefix(prefix)
        keys = []
        with self._translated(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                keys += [item["Key"].removeprefix(self._prefix) for item in page.get("Contents", ())]
        return iter(sorted(filter(is_key, keys)))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where none is."""
        place = self._place(key)
        with self._translated(key):
            self._client.delete_object(**place)

    def close(self) -> None:
        """Close the connections."""
        clients, self._clients = self._clients, {}
        if os.getpid() in clients:
            clients[os.getpid()].close()

    def _read(self, key: str, take: Callable[[Any], T]) -> T:
        """Take an object; once more if its content ends too early, which the client's own retries do not cover."""
        place = self._place(key)
        with self._translated(key):
            for attempt in range(1, _READS + 1):
                found = self._found(key, place)
                try:
                    return take(found)
                except _CUT_SHORT:
                    if attempt == _READS:
                        raise
                    time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _found(self, key: str, place: dict[str, str]) -> Any:
        try:
            return self._client.get_object(**place)
        except ClientError as error:
            if _code(error) in _ABSENT:
                raise not_found(self._where(key)) from error
            raise

    def _put(self, key: str, data: bytes, **condition: str) -> str | None:
        """Put under a condition; return the tag, or ``None`` where the condition does not hold."""
        place, mark = self._place(key), uuid.uuid4().hex
        with self._translated(key):
            for attempt in range(_CONFLICTS):
                try:
                    done = self._client.put_object(**place, Body=data, Metadata={_MARK: mark}, **condition)
                    return str(done["ETag"])
                except ClientError as error:
                    code = _code(error)
                    if code in _RACED and attempt + 1 < _CONFLICTS:
                        time.sleep(0.02 * 2**attempt)
                    elif code in _FAILED | _ABSENT | _RACED:
                        return self._own(place, mark)
                    else:
                        raise
        return None

    def _own(self, place: dict[str, str], mark: str) -> str | None:
        """Return the tag of the object if it is of this very put, whose answer was lost."""
        try:
            found = self._client.head_object(**place)
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return str(found["ETag"]) if found["Metadata"].get(_MARK) == mark else None

    @property
    def _client(self) -> Any:
        """The client of this process: connections must not be shared with a parent, nor locks that a fork copied."""
        client = self._clients.get(os.getpid())
        if client is None:
            config = Config(
                retries={"mode": "standard", "total_max_attempts": 4},
                connect_timeout=5,
                read_timeout=30,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            made = boto3.session.Session().client("s3", config=config, **self._options)
            client = self._clients.setdefault(os.getpid(), made)
        return client

    def _place(self, key: str) -> dict[str, str]:
        check_key(key)
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _where(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{key}"

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        where = self._where(key)
        try:
            yield
        except ClientError as error:
            raise StorageError(where, *_explained(_code(error), self._bucket)) from error
        except (BotoCoreError, ValueError) as error:
            raise StorageError(where, *_without_answer(error)) from error


def _without_answer(error: Exception) -> tuple[str, str]:
    kind = type(error).__name__
    if isinstance(error, _NO_CREDENTIALS):
        return "no credentials were found", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role."
    if isinstance(error, _BAD_CREDENTIALS):
        return (
            f"the credentials cannot be had ({kind})",
            "Check AWS_PROFILE and the AWS configuration, or log in again.",
        )
    if isinstance(error, _BAD_PLACE):
        todo = "An endpoint is a URL such as https://s3.example.com; check the names of bucket and region too."
        return f"bucket, region or endpoint is not usable ({kind})", todo
    found = f"S3 cannot be reached ({kind})"
    return found, "Check the endpoint, the region and the network, then run the command again."


def _explained(code: str, bucket: str) -> tuple[str, str]:
    if code in _ABSENT | {"NoSuchBucket"}:
        return f"there is no bucket {bucket!r}", "Make it, or correct its name."
    if code in _DENIED:
        return f"access was denied ({code})", "Allow s3:GetObject, PutObject, DeleteObject and ListBucket."
    if code in _BUSY:
        return f"S3 asks for fewer requests ({code})", "Run the command again in a while."
    return f"S3 answered with {code}", "See the documentation of your S3 for this code."


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
