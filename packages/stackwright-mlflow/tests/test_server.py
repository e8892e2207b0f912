"""Requests to what is no MLflow server, tokens, options, and what importing leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import ArtifactError, RegistryError, UsageError
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.registry_trial import alias
from stackwright_mlflow.plugin import MlflowConfig
from stackwright_mlflow.registry import MlflowRegistry
from stackwright_mlflow.server import PAUSES, Server


class Stub:
    """A server that answers everything alike, and notes what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"{}", {"Content-Type": "application/json"}
        self.asked: list[tuple[str, dict[str, str]]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stub.asked.append((self.path, dict(self.headers)))
                self.send_response(stub.status)
                for name, value in {"Content-Length": str(len(stub.body)), **stub.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(stub.body)

            do_POST = do_GET  # noqa: N815 (the name that the standard library calls)

            def log_message(self, *_arguments: object) -> None:
                return None

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.http.shutdown()
    stub.http.server_close()


@pytest.fixture
def ask(stub: Stub, tmp_path: Path) -> Callable[..., str]:
    """Ask the stub for the generation."""

    def ask(**options: Any) -> str:
        return MlflowRegistry(MlflowConfig(**{"url": stub.url, **options}), make_context(tmp_path)).generation()

    return ask


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>hello</html>", "this is no MLflow server"),
        (200, b"[]", "this is no MLflow server"),
        (404, b"<html>not here</html>", "this is no MLflow server"),
        (302, b"", "this is no MLflow server"),
        (401, b"You are not authenticated", "denies access"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', "denies access"),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "odd name"}', "MLflow refused: odd name"),
    ],
)
def test_an_answer_that_is_none_is_told_at_once(
    stub: Stub, ask: Callable[..., str], status: int, body: bytes, words: str
) -> None:
    stub.status, stub.body = status, body
    with pytest.raises(RegistryError, match=words):
        ask()
    assert len(stub.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_a_few_times(stub: Stub, ask: Callable[..., str], status: int) -> None:
    stub.status, stub.body = status, b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is locked"}'
    with pytest.raises(RegistryError, match="database is locked"):
        ask()
    assert len(stub.asked) == 1 + len(PAUSES)


def test_a_token_is_sent_and_a_user_of_the_url_too(stub: Stub, ask: Callable[..., str]) -> None:
    stub.status, stub.body = 401, b""
    for options in ({"token": "s3cret"}, {"url": stub.url.replace("//", "//ada:p%40ss@")}):
        with pytest.raises(RegistryError) as caught:
            ask(**options)
        assert "s3cret" not in str(caught.value)
        assert "p@ss" not in str(caught.value)
        assert "p%40ss" not in str(caught.value)
    sent = [headers["Authorization"] for _, headers in stub.asked]
    assert sent == ["Bearer s3cret", "Basic YWRhOnBAc3M="]


def test_a_token_does_not_follow_a_redirect(stub: Stub, ask: Callable[..., str]) -> None:
    other = Stub()
    stub.status, stub.headers = 302, {"Location": f"{other.url}/api"}
    with pytest.raises(RegistryError):
        ask(token="s3cret")
    assert other.asked == []
    other.http.shutdown()
    other.http.server_close()


def test_a_connection_that_breaks_in_a_file_is_not_taken_for_a_damaged_file(stub: Stub, tmp_path: Path) -> None:
    stub.body, stub.headers = b"half", {"Content-Length": "8"}
    server = Server(MlflowConfig(url=stub.url))
    with pytest.raises(RegistryError, match="cannot be reached"):
        server.download("a", tmp_path / "a", at_most=8)
    with pytest.raises(ArtifactError, match="more than the 2 bytes"):
        server.download("a", tmp_path / "a", at_most=2)


def test_nobody_there_is_told_within_seconds(tmp_path: Path) -> None:
    registry = MlflowRegistry(MlflowConfig(url="http://127.0.0.1:9"), make_context(tmp_path))
    with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:9: the MLflow server cannot be reached"):
        registry.generation()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "sqlite:///mlflow.db"}, "mlflow server --backend-store-uri sqlite:///mlflow.db"),
        ({"url": "mlruns"}, "url must begin with"),
        ({"url": "http://ada:hidden@[::1/"}, "^url cannot be read: look at its host and port$"),
        ({"experiment": " "}, "experiment must"),
        ({"experiment": "it's"}, "experiment must"),
        ({"prefix": "a/b"}, "prefix must"),
        ({"timeout": 0}, "timeout must"),
    ],
)
def test_an_option_without_a_meaning_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MlflowConfig(**options)


def test_secrets_are_not_shown() -> None:
    shown = repr(MlflowConfig(url="https://ada:hidden@host", token="s3cret"))
    assert "hidden" not in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("named", ["latest", "v3", "V3", "a.b", "größe"])
def test_an_alias_that_mlflow_keeps_for_itself_is_refused(
    registry: MlflowRegistry, model: Callable[[bytes], Path], named: str
) -> None:
    registry.publish("valuation", model(b"one"), {})
    with pytest.raises(UsageError, match="alias"):
        registry.record(alias(1, named=named))


def test_importing_changes_no_environment_logging_or_warnings_and_needs_no_mlflow() -> None:
    code = """
import json, logging, os, sys, warnings
import stackwright_interfaces.plugin
before = dict(os.environ), list(warnings.filters), list(logging.root.handlers), logging.root.level
import stackwright_mlflow.registry
after = dict(os.environ), list(warnings.filters), list(logging.root.handlers), logging.root.level
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(json.dumps([before == after, sorted(name for name in foreign if not name.startswith(("stackwright", "_")))]))
"""
    child = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    same, foreign = json.loads(child.stdout)
    assert same
    assert "mlflow" not in foreign
    assert "requests" not in foreign
