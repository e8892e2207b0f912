"""HTTP load on a server of this machine: requests a second, latencies, and the CPU and memory its processes took."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Loaded:
    """What a load gave.

    Args:
        cpu: microseconds of CPU of the server's processes, a request.
        clock: microseconds a request: a million by requests a second.
        p50: median latency in milliseconds.
        p99: 99th percentile of it.
    """

    cpu: float
    clock: float
    p50: float
    p99: float


def request(url: str, path: str, document: Any, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return the bytes of a POST."""
    body = json.dumps(document).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def family(roots: Sequence[int]) -> list[int]:
    """Return processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], list(roots)
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children.get(one, [])
    return found


def answers(url: str, request_: bytes) -> bool:
    """Return whether a request is answered with 200 now."""
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), 5) as connection:
            connection.sendall(request_)
            return connection.recv(12).endswith(b" 200")
    except OSError:
        return False


def cpu_of(processes: Sequence[int]) -> float:
    """Return the seconds of CPU that processes have taken, user and system."""
    return sum(_cpu(process) for process in processes)


def _cpu(process: int) -> float:
    """Sum over threads: ``schedstat`` counts nanoseconds, ``stat`` hundredths of a second."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(processes: Sequence[int]) -> dict[int, int]:
    """Return process → bytes it holds, pages shared with others counted in part (PSS)."""
    found = {}
    for process in processes:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found[process] = int(line.split()[1]) * 1024
    return found


def drive(
    url: str, requests: Sequence[bytes], *, concurrency: int, count: int, roots: Sequence[int], warm: int = 200
) -> Loaded:
    """Send requests over as many connections, each waiting for its answer, and return what it took.

    Args:
        requests: sent in turn, over and over.
        count: requests that are measured.
        roots: the server's processes; their descendants count too.
        warm: requests before.

    Raises:
        SystemExit: one is not answered with 200.
    """
    return asyncio.run(_drive(url, requests, concurrency, count, roots, warm))


async def _drive(
    url: str, requests: Sequence[bytes], concurrency: int, count: int, roots: Sequence[int], warm: int
) -> Loaded:
    address = urlsplit(url)
    connections = [await asyncio.open_connection(address.hostname, address.port) for _ in range(concurrency)]
    await _send(connections, requests, max(warm, concurrency))
    processes = family(roots)
    before, started = cpu_of(processes), time.perf_counter()
    took = await _send(connections, requests, count)
    wall = time.perf_counter() - started
    cpu = cpu_of(processes) - before
    for _, writer in connections:
        writer.close()
    p50, p99 = np.percentile(np.array(took) * 1e3, [50, 99]).tolist()
    return Loaded(cpu / count * 1e6, wall / count * 1e6, p50, p99)


async def _send(connections: Sequence[Any], requests: Sequence[bytes], count: int) -> list[float]:
    numbers, took = iter(range(count)), []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in numbers:
            started = time.perf_counter()
            writer.write(requests[number % len(requests)])
            await _answer(reader)
            took.append(time.perf_counter() - started)

    await asyncio.gather(*(client(*connection) for connection in connections))
    return took


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        _, _, rest = lower.partition(b"content-length:")
        body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{head.decode()}{body.decode(errors='replace')[:2000]}")
    return body
