"""The peers of ``serving`` that BentoML serves: ``BENCH_MODEL`` names LightGBM's text, ``BENCH_FEAST`` Feast's server.

A service called ``batching`` would be taken for a section of BentoML's configuration.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import bentoml
import lightgbm
import numpy as np

NAMES = [f"v{view}_{number}" for view in range(3) for number in range(10)]


def predictor() -> Any:
    booster = lightgbm.Booster(model_file=os.environ["BENCH_MODEL"])
    return lambda rows: booster.predict(rows, num_threads=1)


@bentoml.service(name="numbers_alone", workers=1)
class Alone:
    """The prediction alone: 30 numbers in, one out."""

    def __init__(self) -> None:
        self._predict = predictor()

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._predict(rows))


@bentoml.service(name="numbers_gathered", workers=1)
class Batching:
    """The same, requests gathered into batches; with a smaller latency BentoML answers 503 on a busy machine."""

    def __init__(self) -> None:
        self._predict = predictor()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=60_000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._predict(rows))


@bentoml.service(name="keys_of_feast", workers=1)
class WithFeast:
    """Keys in: the features are asked of Feast's server, over a connection that is kept."""

    def __init__(self) -> None:
        self._predict = predictor()
        self._session: aiohttp.ClientSession | None = None

    @bentoml.api
    async def predict(self, entity_id: int) -> float:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        body = {"feature_service": "all", "entities": {"entity_id": [entity_id]}}
        async with self._session.post(f"{os.environ['BENCH_FEAST']}/get-online-features", json=body) as reply:
            found = await reply.json()
        values = dict(
            zip(found["metadata"]["feature_names"], (item["values"][0] for item in found["results"]), strict=True)
        )
        return float(self._predict(np.array([[values[name] for name in NAMES]], dtype=np.float64))[0])
