"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.compute import CONTRACT
from stackwright_interfaces.plugin import AdapterSpec, hookimpl


@dataclass(frozen=True, kw_only=True)
class DaskConfig:
    """Which cluster does the work.

    Args:
        address: of a running scheduler, such as ``tcp://10.0.0.5:8786``. Without one, worker processes of this machine
            are started with the first piece of work, and end with the stack.
        workers: processes to start where there is no address; 0 takes as many as there are processors.
        timeout: seconds to wait for the scheduler, and for its first worker.
        deaths: workers that may die over one piece of work before it fails; where there is an address, the scheduler's
            own ``distributed.scheduler.allowed-failures`` says so.
        share: ``s3://bucket/prefix``, where rows lie that workers read by reference; without it they see the project's
            folder.
        tls_ca: certificate authority of a cluster that speaks TLS (``tls://``).
        tls_cert: our certificate there.
        tls_key: its key.

    Raises:
        ValueError: a number is out of range, share is no bucket, or one of the three TLS files is named without the
            others.
    """

    address: str | None = None
    workers: int = 0
    timeout: float = 30.0
    deaths: int = 3
    share: str = ""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; give 0 or more")
        if self.address and self.workers:
            raise ValueError("address and workers are both given; a running cluster has the workers it has")
        if self.timeout <= 0:
            raise ValueError(f"timeout is {self.timeout}; give more than 0 seconds")
        if self.deaths < 0:
            raise ValueError(f"deaths is {self.deaths}; give 0 or more")
        if self.share and not self.share.startswith("s3://"):
            raise ValueError(f"share is {self.share!r}; give s3://bucket/prefix")
        if len({self.tls_ca is None, self.tls_cert is None, self.tls_key is None}) > 1:
            raise ValueError("tls_ca, tls_cert and tls_key belong together; give all of them or none")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the executor."""
    return (
        AdapterSpec(
            name="dask",
            provides=Executor,
            contract=CONTRACT,
            config=DaskConfig,
            factory="stackwright_dask.executor:DaskExecutor",
            conformance="stackwright_dask.conformance:DaskConformance",
            description="Work on the workers of a Dask cluster, on this machine or on many",
        ),
    )
