"""Servers on trial: each hosts the promoted models on a free port, and is asked what the project was asked."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from urllib.parse import quote

from stackwright.assembly.plan import Choice
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.endpoint import Endpoint, Reply
from stackwright.workflows.live.endpoint_checks import Expected, Held, tensors
from stackwright.workflows.live.list_checks import ExpectedLists
from stackwright.workflows.live.verify import expectation, json_value
from stackwright.workflows.swapping.answers import Answers
from stackwright.workflows.swapping.apart_serving import planned
from stackwright.workflows.swapping.questions import ASKED, Questions, recorded
from stackwright.workflows.swapping.scratch import Scratch
from stackwright.workflows.swapping.trial import Workload, now
from stackwright.workflows.training.usage import memory_below
from stackwright.workflows.versions.champions import champions, promoted, recommender_names
from stackwright_interfaces.errors import ModelNotFound, ServerError
from stackwright_interfaces.plugin import Progress
from stackwright_interfaces.server import App, Server

READY: Final = "seconds to ready"
"""The measure of how long a server took from its start until it accepted requests."""

GOLDEN: Final = 100
"""Golden rows of a model, or golden requests of a recommender, that are asked."""

_OWN: Final = {"host": "127.0.0.1", "port": 0}
"""Options that keep a server to this machine, and to a port that is free."""

_EACH_ITS_OWN: Final = ("prediction_id", "request_id", "list_id")
"""Fields of an answer that are made up for each."""

_TICK: Final = 0.05


@dataclass(frozen=True)
class Request:
    """What is sent.

    Args:
        case: what is asked; correct requests of a case are timed together.
        key: which of its requests.
        sent: what :meth:`Endpoint.send` takes.
        wrong: whether it must be refused.
    """

    case: str
    key: str
    sent: tuple[Any, ...]
    wrong: bool = False

    def note(self, reply: Reply, answers: Answers) -> None:
        """Note status, type and every value of an answer, and how long it took."""
        told = {"status": reply.status, "type": reply.headers.get("content-type", "")}
        answers.values[self.case, self.key] = {**dict(_values(reply.document)), **told}
        if not self.wrong:
            answers.took(self.case, reply.seconds)


@dataclass(frozen=True)
class ServerWorkload(Workload):
    """Requests to the promoted models.

    Args:
        env: the environment whose champions are served.
        blueprint: digest of the project's plan.
        requests: in the order they are sent.
        origin: where all this comes from, for people.
    """

    env: str
    blueprint: str
    requests: list[Request]
    origin: str

    def run(self, scratch: Scratch, choice: Choice, answers: Answers, progress: Progress) -> None:
        """Start the server, send everything over one connection, and end it."""
        options = {**choice.part.options, **_known(choice)}
        alone = dataclasses.replace(choice, part=dataclasses.replace(choice.part, options=options))
        server: Server = scratch.build(alone, now)
        app = planned(scratch.project, self.env, self.blueprint, scratch.folder)
        with _hosting(server, app, answers) as url, Endpoint(url) as endpoint:
            for done, request in enumerate(self.requests):
                progress(f"trial of {choice.spec.name}", done, len(self.requests))
                request.note(endpoint.send(*request.sent), answers)
            answers.memory += memory_below(os.getpid())
        progress(f"trial of {choice.spec.name}", 1, 1)


def _known(choice: Choice) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(choice.spec.config)}
    return {name: value for name, value in _OWN.items() if name in names}


@contextmanager
def _hosting(server: Server, app: App, answers: Answers) -> Iterator[str]:
    """Serve in another thread while a block lasts; give the URL, and note how long it took to be ready.

    Raises:
        ServerError: it does not start.
    """
    urls: list[str] = []
    failed: list[Exception] = []
    ready = threading.Event()

    def accept(url: str) -> None:
        urls.append(url)
        ready.set()

    def serve() -> None:
        try:
            server.serve(app, accept)
        except Exception as error:  # noqa: BLE001 -- whatever an adapter raises is raised in the other thread
            failed.append(error)

    thread = threading.Thread(target=serve, name="server")
    begun = perf_counter()
    thread.start()
    try:
        while not ready.wait(_TICK):
            if not thread.is_alive():
                raise failed[0] if failed else ServerError("server", "ended before it was ready")
        answers.told[READY] = round(perf_counter() - begun, 3)
        yield urls[0]
    finally:
        server.close()
        thread.join()
    if failed:
        raise failed[0]


def _values(document: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value of a JSON document by its place in it: ``predictions.0.value`` say."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name not in _EACH_ITS_OWN:
                yield from _values(value, f"{place}.{name}" if place else name)
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from _values(value, f"{place}.{number}")
    else:
        yield place or "answer", document


def record(stack: Stack) -> ServerWorkload:
    """Take down what the promoted models were asked, their golden rows, and requests that are wrong.

    Raises:
        ModelNotFound: nothing is promoted.
    """
    versions = {**promoted(stack), **champions(stack, recommender_names(stack))}
    if not versions:
        todo = "Run: stackwright train, then: stackwright promote NAME"
        raise ModelNotFound("registry", "no model of this blueprint is promoted", todo)
    asked = {questions.service.ref: questions for questions in recorded(stack)}
    requests: list[Request] = []
    origins = []
    for done, version in enumerate(versions.values()):
        stack.progress("recording", done, len(versions))
        with expectation(stack, version, keys={}, p99_ms=0) as expected:
            golden = list(_golden(expected))
            requests += [*golden, *_mistakes(expected)]
            origins.append(f"{len(golden)} golden requests of {version.ref}")
            if isinstance(expected, Expected) and expected.service and expected.service.ref in asked:
                questions = asked[expected.service.ref]
                requests += _asked(expected, questions)
                origins.append(f"{len(questions.rows):,} {questions.origin}")
    stack.progress("recording", 1, 1)
    return ServerWorkload(stack.project.env, stack.plan.digest, requests, ", ".join(origins))


def _golden(expected: Held) -> Iterator[Request]:
    """Give golden rows one by one and all at once, golden requests as they are."""
    case = f"golden requests of {expected.version.ref}"
    if isinstance(expected, ExpectedLists):
        for number, body in enumerate(expected.golden[:GOLDEN], 1):
            yield Request(case, str(number), _post(expected.way, body))
    elif isinstance(expected, Expected):
        inputs, rows = expected.manifest.signature.inputs, expected.golden[:GOLDEN]
        for number, row in enumerate(rows, 1):
            yield Request(case, str(number), _post(expected.way, tensors([row], inputs)))
        yield Request(f"{case} at once", "all", _post(expected.way, tensors(rows, inputs)))


def _mistakes(expected: Held) -> Iterator[Request]:
    for what, _, sent in expected.mistakes:
        yield Request(f"mistakes about {expected.version.ref}", what, sent, wrong=True)


def _asked(expected: Expected, questions: Questions) -> Iterator[Request]:
    """Give requests by keys as of their instants; of instants that lie ahead, as of now."""
    service = questions.service
    fields = [field.name for field in (*service.request_keys, *service.request)]
    present = now()
    for key, row in zip(questions.keys(), questions.rows.to_pylist(), strict=True):
        way = f"/predict/{expected.path}?at={quote(min(row[ASKED], present).isoformat())}"
        body = {name: json_value(row[name]) for name in fields}
        yield Request(f"predict {expected.version.ref}", key, _post(way, body))


def _post(way: str, document: Any) -> tuple[Any, ...]:
    return "POST", way, json.dumps(document).encode(), {"Content-Type": "application/json"}
