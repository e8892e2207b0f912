"""For all tests: no deadlines, for machines are busy; in CI the same examples every time; and a real S3 endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

settings.register_profile("stackwright", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("stackwright")


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], str]]:
    """Moto's server on a free port; gives the URL of a bucket of its own at each call."""
    try:
        from moto.server import ThreadedMotoServer
    except ModuleNotFoundError:
        message = "moto's server is not installed; run: pip install 'moto[server]' boto3"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
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
