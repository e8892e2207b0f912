"""For all tests: no deadlines, for machines are busy; in CI the same examples every time; and real servers to start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings
from servers import NotInstalled, PostgresServer, RedisServer

DATA = Path(__file__).parent.parent / "shared" / "data"

settings.register_profile("stackwright", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("stackwright")


def missing(message: str) -> NoReturn:
    """Skip a test whose part is not installed; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


BY_NIGHT = (
    "stackwright-feast/tests/test_conformance.py::TestFeast::test_any_online_read",
    "stackwright-files/tests/test_conformance.py::TestFilesRegistryOnS3::test_a_promotion_that_is_killed",
    "stackwright-files/tests/test_conformance.py::TestFilesRegistryOnS3::test_a_publication_that_is_killed",
    "stackwright-python/tests/test_conformance.py::TestForest::test_a_payload_cut_short",
    "stackwright-spark/tests/test_conformance.py::TestSparkOfflineStore::test_any_",
)
"""Cases of the kits that take an adapter long, and that another adapter goes through by day."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave some cases of the kits to the night."""
    for item in items:
        if any(case in item.nodeid for case in BY_NIGHT):
            item.add_marker(pytest.mark.nightly)


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Say where a program is, given it, its package, and what installs that."""

    def program(name: str, package: str, by: str = "apt-get install -y") -> str:
        found = shutil.which(name)
        return found or missing(f"{name} is not installed; run: {by} {package}")

    return program


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """Say where a real data set is, which lies beside the repository and not in it."""

    def data(name: str) -> Path:
        folder = DATA / name
        if not folder.exists():
            pytest.skip(f"the data set {name} is not in {DATA}")
        return folder

    return data


@pytest.fixture(scope="session")
def start_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis with options of ``redis-server``; all are gone in the end."""
    with ExitStack() as started:

        def start(*options: str) -> RedisServer:
            try:
                server = RedisServer(tmp_path_factory.mktemp("redis server"), *options)
            except NotInstalled as absent:
                missing(str(absent))
            started.callback(server.close)
            return server

        yield start


@pytest.fixture(scope="session")
def start_postgres() -> Iterator[Callable[[], PostgresServer]]:
    """Start a PostgreSQL with a database of its own; all are gone in the end."""
    with ExitStack() as started:

        def start() -> PostgresServer:
            folder = Path(tempfile.mkdtemp(prefix="stackwright-postgres-"))
            started.callback(shutil.rmtree, folder)
            try:
                server = PostgresServer(folder)
            except NotInstalled as absent:
                missing(str(absent))
            started.callback(server.close)
            return server

        yield start


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], str]]:
    """Moto's server on a free port; gives the URL of a bucket of its own at each call."""
    try:
        from moto.server import ThreadedMotoServer
    except ModuleNotFoundError:
        missing("moto's server is not installed; run: pip install 'moto[server]' boto3")
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        client = boto3.client("s3", endpoint_url=endpoint)
        numbers = iter(range(1_000_000))

        def bucket() -> str:
            name = f"bucket-{next(numbers)}"
            client.create_bucket(Bucket=name)
            return f"s3://{name}/some/prefix?endpoint_url={endpoint}"

        yield bucket
        client.close()
    server.stop()
