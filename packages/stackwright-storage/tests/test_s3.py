"""What can go wrong between a storage and S3: lost answers, busy servers, no bucket, no credentials, no network."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stackwright_interfaces.errors import ObjectNotFound, PreconditionFailed, StorageError, UsageError
from stackwright_storage import open_storage
from stackwright_storage.s3 import S3Storage


class Between(ThreadingHTTPServer):
    """Stands between client and server; ``plan`` says what becomes of the next requests of a method."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = urlsplit(behind).netloc
        self.plan: list[tuple[str, str]] = []
        self.seen: list[str] = []
        self.direct = ""
        self.then: Callable[[], object] = lambda: None


class Handler(BaseHTTPRequestHandler):
    server: Between

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.command)
        plan = self.server.plan
        fault = plan.pop(0)[1] if plan and plan[0][0] == self.command else ""
        if fault == "busy":
            self.send_response(503)
            text = b"<Error><Code>SlowDown</Code></Error>"
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        connection = HTTPConnection(self.server.behind, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        if fault == "lost":
            self.server.then()
            self.close_connection = True
            return
        if fault == "denied":
            response.status, content = 403, b"<Error><Code>AccessDenied</Code></Error>"
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:-3] if fault == "short" else content)
            self.close_connection = fault == "short"

    do_GET = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815 -- names that the base class looks for

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def between(s3: Callable[[], str]) -> Iterator[tuple[Between, S3Storage]]:
    """A storage whose every request goes through a server that can fail."""
    bucket, _, endpoint = s3().partition("?endpoint_url=")
    server = Between(endpoint)
    server.direct = f"{bucket}?endpoint_url={endpoint}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    storage = S3Storage(f"{bucket}?endpoint_url=http://127.0.0.1:{server.server_port}")
    yield server, storage
    storage.close()
    server.shutdown()
    server.server_close()


def test_a_put_whose_answer_was_lost_is_known_to_be_done(between: tuple[Between, S3Storage]) -> None:
    server, storage = between
    server.plan = [("PUT", "lost")]
    tag = storage.put_if_absent("a", b"one")
    assert server.seen.count("PUT") == 2
    assert storage.get("a").tag == tag
    server.plan = [("PUT", "lost")]
    newer = storage.put_if_match("a", b"two", tag)
    assert (storage.get("a").data, storage.get("a").tag) == (b"two", newer)


def test_a_put_that_somebody_else_won_meanwhile_is_not_taken_for_ones_own(between: tuple[Between, S3Storage]) -> None:
    server, storage = between
    storage.put_if_absent("a", b"same")
    server.plan = [("PUT", "lost")]
    with pytest.raises(PreconditionFailed):
        storage.put_if_absent("a", b"same")


def test_a_busy_server_is_asked_again(between: tuple[Between, S3Storage]) -> None:
    server, storage = between
    server.plan = [("PUT", "busy"), ("PUT", "busy")]
    storage.put_if_absent("a", b"one")
    assert storage.get("a").data == b"one"
    assert server.seen.count("PUT") == 3


def test_a_server_that_stays_busy_is_told(between: tuple[Between, S3Storage]) -> None:
    server, storage = between
    server.plan = [("GET", "busy")] * 4
    with pytest.raises(StorageError, match=r"s3://bucket-\d+/some/prefix/a: S3 asks for fewer requests"):
        storage.get("a")


def test_an_object_whose_end_did_not_come_is_read_again(between: tuple[Between, S3Storage]) -> None:
    server, storage = between
    storage.put_if_absent("a", bytes(100_000))
    server.plan = [("GET", "short"), ("GET", "short")]
    assert storage.get("a").data == bytes(100_000)
    assert server.seen.count("GET") == 3


def test_a_file_whose_end_did_not_come_is_fetched_again(between: tuple[Between, S3Storage], tmp_path: Path) -> None:
    server, storage = between
    storage.put_if_absent("a", bytes(3_000_000))
    server.plan = [("GET", "short"), ("GET", "short")]
    storage.fetch("a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == bytes(3_000_000)


def test_an_object_whose_end_never_comes_is_not_taken_for_whole(
    between: tuple[Between, S3Storage], tmp_path: Path
) -> None:
    server, storage = between
    storage.put_if_absent("a", bytes(100_000))
    for read in (storage.get, lambda key: storage.fetch(key, tmp_path / "a")):
        server.plan = [("GET", "short")] * 4
        with pytest.raises(StorageError, match="S3 cannot be reached"):
            read("a")


def test_a_put_that_was_done_and_replaced_before_its_retry_is_no_longer_there(
    between: tuple[Between, S3Storage],
) -> None:
    server, storage = between
    tag = storage.put_if_absent("a", b"one")
    server.plan = [("PUT", "lost")]
    server.then = lambda: S3Storage(server.direct).put_if_match("a", b"three", S3Storage(server.direct).get("a").tag)
    with pytest.raises(PreconditionFailed):
        storage.put_if_match("a", b"two", tag)
    assert storage.get("a").data == b"three"


def test_what_is_forbidden_is_told_with_what_is_needed(between: tuple[Between, S3Storage]) -> None:
    server, storage = between
    server.plan = [("GET", "denied")]
    with pytest.raises(StorageError, match=r"access was denied \(AccessDenied\). Allow s3:GetObject"):
        storage.get("a")


def test_markers_of_folders_that_others_made_are_no_keys(s3: Callable[[], str]) -> None:
    import boto3

    url = s3()
    storage = open_storage(url)
    storage.put_if_absent("models/a", b"")
    bucket, _, endpoint = url.removeprefix("s3://").partition("?endpoint_url=")
    client = boto3.client("s3", endpoint_url=endpoint)
    for marker in ("some/prefix/", "some/prefix/models/"):
        client.put_object(Bucket=bucket.partition("/")[0], Key=marker)
    assert list(storage.list()) == ["models/a"]
    client.close()


def test_more_keys_than_fit_one_page_are_listed(s3: Callable[[], str]) -> None:
    storage = open_storage(s3())
    keys = [f"many/{number:04}" for number in range(1005)]
    for key in keys:
        storage.put_if_absent(key, b"")
    assert list(storage.list("many/")) == keys


def test_prefixes_of_one_bucket_do_not_mix(s3: Callable[[], str]) -> None:
    url = s3()
    first, second = open_storage(url), open_storage(url.replace("some/prefix", "some/pre"))
    first.put_if_absent("a", b"1")
    assert list(second.list()) == []
    with pytest.raises(ObjectNotFound):
        second.get("a")
    assert list(open_storage(url.replace("some/prefix", "")).list()) == ["some/prefix/a"]


def test_a_storage_goes_on_in_a_process_that_was_forked(s3: Callable[[], str]) -> None:
    storage = open_storage(s3())
    storage.put_if_absent("parent", b"1")
    child = multiprocessing.get_context("fork").Process(target=lambda: storage.put_if_absent("child", b"2"))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert list(storage.list()) == ["child", "parent"]


def test_a_bucket_that_is_not_there_is_told(s3: Callable[[], str]) -> None:
    storage = open_storage(s3().replace("bucket-", "no-bucket-"))
    for work in (storage.list, lambda: storage.put_if_absent("a", b"")):
        with pytest.raises(StorageError, match="there is no bucket 'no-bucket-"):
            work()


def test_a_network_that_is_away_is_told() -> None:
    storage = open_storage("s3://bucket?endpoint_url=http://127.0.0.1:9&region=us-east-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(StorageError, match=r"s3://bucket/a: S3 cannot be reached .*Check the endpoint"):
            storage.get("a")


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(StorageError, match=r"no credentials were found\. Set AWS_ACCESS_KEY_ID"):
        open_storage("s3://bucket?endpoint_url=http://127.0.0.1:9&region=us-east-1").get("a")


@pytest.mark.parametrize(
    "url", ["s3:bucket", "s3://", "s3://key:secret@bucket/a", "s3://bucket?acl=public", "s3://b#c"]
)
def test_a_url_that_names_no_bucket_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(UsageError, match="Write s3://bucket/prefix") as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket?endpoint_url=localhost:9000",
        "s3://Bad_Bucket!!?endpoint_url=http://127.0.0.1:9",
        "s3://bucket?region=not a region",
    ],
)
def test_a_place_that_cannot_be_is_told(url: str) -> None:
    with pytest.raises(StorageError, match="bucket, region or endpoint is not usable"):
        open_storage(url).get("a")


def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(StorageError, match=r"the credentials cannot be had \(ProfileNotFound\). Check AWS_PROFILE"):
        open_storage("s3://bucket").get("a")


def test_the_endpoint_may_come_from_the_environment(s3: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    url, _, endpoint = s3().partition("?endpoint_url=")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    open_storage(url).put_if_absent("a", b"1")
    assert open_storage(f"{url}?endpoint_url={endpoint}").get("a").data == b"1"


_WITHOUT_BOTO3 = """
import sys
sys.modules["boto3"] = None
from stackwright_interfaces.errors import PluginError
from stackwright_storage import open_storage
open_storage("here")
try:
    open_storage("s3://bucket")
except PluginError as error:
    print(error)
"""

_WITHOUT_S3 = """
import sys
from stackwright_storage import open_storage
list(open_storage("here").list())
print([name for name in sys.modules if name.startswith(("boto", "stackwright_storage.s3"))])
"""


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (_WITHOUT_BOTO3, "storage s3: boto3 is not installed. Run: pip install 'stackwright-storage[s3]'"),
        (_WITHOUT_S3, "[]"),
    ],
)
def test_boto3_is_needed_only_where_an_s3_url_is_opened(program: str, told: str) -> None:
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == told
