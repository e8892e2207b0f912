"""The ASGI application: routes to endpoints, and a lifespan that opens and closes what they need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stackwright_serving.exchange import Endpoint, Exchange, answer, endpoint
from stackwright_serving.metrics import Metrics
from stackwright_serving.openapi import document
from stackwright_serving.protocols.inference_v2 import InferenceV2
from stackwright_serving.protocols.operations import Operations
from stackwright_serving.protocols.predict import Predict
from stackwright_serving.protocols.sagemaker import Invocations
from stackwright_serving.state import State

Opener = Callable[[AsyncExitStack, Metrics], State]


def create_app(open_state: Opener) -> Starlette:
    """Return the application.

    Args:
        open_state: called when the lifespan starts, not before; what it pushes onto the exit stack is closed when the
            lifespan ends.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            state = open_state(opened, metrics)
            await state.host.start()
            opened.push_async_callback(state.host.stop)
            app.router.routes.extend(routes(state))
            yield
            state.draining = True

    return Starlette(lifespan=lifespan, exception_handlers={404: _no_route, 405: _no_route})


class ModelName(Convertor[str]):
    """A model's name in a path, which may lie in a namespace: ``pricing/valuation``."""

    regex = "[^/]+(?:/[^/]+)?"

    def convert(self, value: str) -> str:
        """Return the name."""
        return value

    def to_string(self, value: str) -> str:
        """Return the part of a path."""
        return value


register_url_convertor("model", ModelName())


def routes(state: State) -> list[Route]:
    """Return every route over a state."""
    operations, v2 = Operations(state), InferenceV2(state)
    predict, invocations = Predict(state), Invocations(state)

    async def openapi(_exchange: Exchange) -> Response:
        return answer(document(state))

    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/predict", predict),
        ("POST", "/predict/{model}", predict),
        ("POST", "/invocations", invocations),
        ("POST", "/invocations/{model}", invocations),
        ("GET", "/ping", invocations.ping),
        ("GET", "/health", invocations.ping),
        ("GET", "/version", invocations.version),
        ("GET", "/execution-parameters", invocations.parameters),
        ("GET", "/models", operations.models),
        ("GET", "/metrics", operations.metrics),
        ("GET", "/health/live", operations.live),
        ("GET", "/health/ready", operations.ready),
        ("GET", "/openapi.json", openapi),
        ("GET", "/v2", v2.server),
        ("GET", "/v2/health/live", operations.live),
        ("GET", "/v2/health/ready", operations.ready),
        ("GET", "/v2/models/{model}/ready", v2.ready),
        ("POST", "/v2/models/{model}/infer", v2.infer),
        ("GET", "/v2/models/{model}/versions/{version}", v2.metadata),
        ("GET", "/v2/models/{model}/versions/{version}/ready", v2.ready),
        ("POST", "/v2/models/{model}/versions/{version}/infer", v2.infer),
        ("GET", "/v2/models/{model}", v2.metadata),
    ]
    return [
        Route(
            path.replace("{model}", "{model:model}"),
            endpoint(path, function, state.settings, state.metrics),
            methods=[method],
        )
        for method, path, function in table
    ]


async def _no_route(request: Request, error: Any) -> Response:
    known = "no such path" if error.status_code == 404 else f"{request.method} is not allowed here"
    return answer({"error": f"{request.url.path}: {known}. See /openapi.json", "request_id": ""}, error.status_code)
