"""The BentoML service around an application."""

from __future__ import annotations

from typing import Any, Final

import bentoml

from stackwright_bentoml.hosting import Host
from stackwright_bentoml.orders import Orders

NAME: Final = "stackwright"


def make_service(orders: Orders) -> Any:
    """Return the service (a ``bentoml.Service``). Nothing is opened before a worker starts."""
    host = Host(orders)

    async def start(_self: object) -> None:
        await host.start()

    async def stop(_self: object) -> None:
        await host.stop()

    async def predict_batch(_self: object, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predict rows that came in several requests."""
        return await predict(host, orders.batch, rows)

    members: dict[str, Any] = {"start": bentoml.on_startup(start), "stop": bentoml.on_shutdown(stop)}
    if orders.batch:
        latency = max(1, round(orders.batch_latency * 1000))
        batched: Any = bentoml.api(batchable=True, max_batch_size=orders.batch_size, max_latency_ms=latency)
        members["predict_batch"] = batched(predict_batch)
    decorate: Any = bentoml.service(
        name=NAME,
        workers=orders.workers,
        traffic={"timeout": orders.timeout},
        metrics={"enabled": False},  # the application has its own, at the path that BentoML would take
        logging={"access": {"enabled": False}},
        envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
    )
    service = decorate(type("Hosting", (), {"__doc__": "A stackwright application.", **members}))
    service.mount_asgi_app(host, path="/")
    return service


async def predict(host: Host, path: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Have the application predict rows that came in several requests; one it refuses spoils no other.

    Returns:
        for each row the prediction with the model that made it, or ``error`` and ``status``.
    """
    status, answer = await host.ask(path, {"rows": rows})
    if status == 200:
        named = {name: answer[name] for name in ("model", "version", "digest")}
        return [{**prediction, **named} for prediction in answer["predictions"]]
    if len(rows) == 1:
        return [{"error": answer["error"], "status": status}]
    return [found for row in rows for found in await predict(host, path, [row])]
