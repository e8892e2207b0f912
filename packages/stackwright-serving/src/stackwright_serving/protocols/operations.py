"""Health, metrics, and what is being served."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from stackwright_interfaces.recommender import TASK
from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.list_host import ServedLists
from stackwright_serving.metrics import CONTENT_TYPE
from stackwright_serving.served import Served
from stackwright_serving.state import State


class Operations:
    """The endpoints."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def live(self, _exchange: Exchange) -> Response:
        """``GET /health/live`` and ``/v2/health/live``: the process answers."""
        return answer({"live": True})

    async def ready(self, exchange: Exchange) -> Response:
        """``GET /health/ready`` and ``/v2/health/ready``: a model is served, and the server is not stopping."""
        ready = self._state.ready(exchange)
        return answer({"ready": ready}, 200 if ready else 503)

    async def models(self, _exchange: Exchange) -> Response:
        """``GET /models``."""
        return answer({"models": self._described()})

    async def metrics(self, _exchange: Exchange) -> Response:
        """``GET /metrics``."""
        return Response(self._state.metrics.page(), media_type=CONTENT_TYPE.encode())

    async def status(self, _exchange: Exchange) -> Response:
        """``GET /admin/status``: how the worker fares that answers."""
        state = self._state
        return answer(
            {
                "pid": os.getpid(),
                "draining": state.draining,
                "under_way": len(state.work),
                "feature_store": "left alone" if state.reads.breaker.open else "asked",
                "models": self._described(),
            }
        )

    async def refresh(self, _exchange: Exchange) -> Response:
        """``POST /admin/refresh``: look at the registry now; other workers do within their time."""
        await asyncio.to_thread(self._state.host.refresh)
        if self._state.recommenders is not None:
            await asyncio.to_thread(self._state.recommenders.refresh)
        return await self.models(_exchange)

    def _described(self) -> list[dict[str, Any]]:
        models, lists = self._state.host, self._state.lists
        found = [_described(name, models.served(name)) for name in sorted(models.serving)]
        return found + [{**_described(name, lists.served(name)), "task": TASK} for name in sorted(lists.serving)]


def _described(name: str, served: Served | ServedLists) -> dict[str, Any]:
    version, trial = served.champion.version, served.trial
    found = {"name": name, "version": version.version, "digest": version.digest, "aliases": list(version.aliases)}
    if trial is None:
        return found
    other = {"version": trial.version.version, "digest": trial.version.digest}
    return {**found, "challenger": {**other, "share": trial.share, "shadow": trial.shadow}}
