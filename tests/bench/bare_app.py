"""What a person would write by hand: keys in, one read of SQLite or LMDB, one prediction, JSON out.

Nothing is checked or logged. ``BARE_STORE`` names the store's file, ``BARE_MODEL`` LightGBM's text, and with
``BARE_NATIVE`` the prediction is made by our call of LightGBM's C library.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

NAMES = [f"v{view}_{number}" for view in range(3) for number in range(10)]
TABLES = " JOIN ".join(["view0", "view1 USING (entity_id)", "view2 USING (entity_id)"])
QUERY = f"SELECT {', '.join(NAMES)} FROM {TABLES} WHERE entity_id = ?"


def reading() -> Any:
    path = os.environ["BARE_STORE"]
    if path.endswith(".mdb"):
        import lmdb

        opened = lmdb.open(path, readonly=True, lock=False)

        def read(key: int) -> Any:
            with opened.begin() as transaction:
                return np.concatenate(
                    [np.frombuffer(transaction.get(b"%d:%d" % (view, key))) for view in range(3)]
                ).reshape(1, 30)

        return read
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    return lambda key: np.array(connection.execute(QUERY, (key,)).fetchall(), dtype=np.float64)


def predicting() -> Any:
    path = os.environ["BARE_MODEL"]
    if os.environ.get("BARE_NATIVE"):
        from stackwright_lightgbm.native import NativeBooster

        return NativeBooster(Path(path).read_bytes()).predict
    import lightgbm

    booster = lightgbm.Booster(model_file=path)
    return lambda rows: booster.predict(rows, num_threads=1)


read, model = reading(), predicting()


async def predict(request: Request) -> JSONResponse:
    body = await request.json()
    (value,) = model(read(body["entity_id"]))
    return JSONResponse({"value": float(value)})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
