"""Every endpoint, and who may ask it."""

from __future__ import annotations

from collections.abc import Sequence

from stackwright_serving.exchange import Exchange, Response, answer
from stackwright_serving.openapi import document
from stackwright_serving.protocols.inference_v2 import InferenceV2
from stackwright_serving.protocols.jobs import Jobs
from stackwright_serving.protocols.operations import Operations
from stackwright_serving.protocols.predict import Predict
from stackwright_serving.protocols.recommend import Clicks, Recommend
from stackwright_serving.protocols.sagemaker import Invocations
from stackwright_serving.routing import Access, Route
from stackwright_serving.state import State


def routes(state: State) -> Sequence[Route]:
    """Return every route over a state."""
    operations, v2 = Operations(state), InferenceV2(state)
    predict, invocations = Predict(state), Invocations(state)

    async def openapi(_exchange: Exchange) -> Response:
        return answer(document(state))

    health = [
        Route("GET", path, endpoint, Access.OPEN, limited=False)
        for path, endpoint in (
            ("/health/live", operations.live),
            ("/health/ready", operations.ready),
            ("/v2/health/live", operations.live),
            ("/v2/health/ready", operations.ready),
            ("/ping", invocations.ping),
            ("/health", invocations.ping),
        )
    ]
    told = [
        Route("GET", path, endpoint, Access.TOLD, limited=False)
        for path, endpoint in (
            ("/models", operations.models),
            ("/metrics", operations.metrics),
            ("/openapi.json", openapi),
            ("/version", invocations.version),
            ("/execution-parameters", invocations.parameters),
            ("/v2", v2.server),
        )
    ]
    jobs = [] if state.jobs is None else _jobs(Jobs(state, state.jobs))
    return [
        *health,
        *told,
        Route("GET", "/admin/status", operations.status, Access.ADMIN, limited=False),
        Route("POST", "/admin/refresh", operations.refresh, Access.ADMIN, limited=False),
        *jobs,
        *([] if state.recommenders is None else _lists(state)),
        Route("POST", "/predict", predict),
        Route("POST", "/predict/{model}", predict),
        Route("POST", "/invocations", invocations),
        Route("POST", "/invocations/{model}", invocations),
        Route("GET", "/v2/models/{model}/ready", v2.ready, limited=False),
        Route("POST", "/v2/models/{model}/infer", v2.infer),
        Route("GET", "/v2/models/{model}/versions/{version}", v2.metadata, limited=False),
        Route("GET", "/v2/models/{model}/versions/{version}/ready", v2.ready, limited=False),
        Route("POST", "/v2/models/{model}/versions/{version}/infer", v2.infer),
        Route("GET", "/v2/models/{model}", v2.metadata, limited=False),
    ]


def _lists(state: State) -> list[Route]:
    recommend = Recommend(state)
    return [
        Route("POST", "/recommend", recommend),
        Route("POST", "/recommend/{model}", recommend),
        Route("POST", "/clicks", Clicks(state)),
    ]


def _jobs(endpoints: Jobs) -> list[Route]:
    return [
        Route("POST", "/jobs", endpoints.start, Access.ADMIN),
        Route("GET", "/jobs/{job}", endpoints.status, Access.ADMIN),
    ]
