"""The console as an ASGI application: routes to pages, errors told, forms guarded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stackwright.assembly.stack import Stack
from stackwright_console import rendering
from stackwright_console.desk import Desk
from stackwright_console.guard import COOKIE, HEADERS, REPORT_HEADERS, Guard, is_own
from stackwright_console.page import Asked, Field, Form, Page, Section, to
from stackwright_console.pages.features import features, view, worths
from stackwright_console.pages.lineage import lineage, traced
from stackwright_console.pages.models import model, models, promoted, rolled_back
from stackwright_console.pages.monitors import decision, monitor, monitors, report_file
from stackwright_console.pages.overview import overview
from stackwright_console.pages.playground import playground
from stackwright_console.pages.runs import compared, run, runs
from stackwright_interfaces.errors import ModelNotFound, PromotionRefused, StackwrightError, UnknownName

Show = Callable[[Stack, Desk, Asked], Page]
Change = Callable[[Stack, Desk, Asked], str]
Answer = Callable[[Request], Awaitable[Response]]

PAGES: Final[Mapping[str, Show]] = {
    "/": overview,
    "/features": features,
    "/features/{name:path}": view,
    "/worth": worths,
    "/runs": runs,
    "/runs/compare": compared,
    "/runs/{name}": run,
    "/models": models,
    "/models/{name:path}": model,
    "/lineage": lineage,
    "/trace": traced,
    "/monitors": monitors,
    "/monitors/{name:path}": monitor,
    "/decisions/{name:path}/{number}": decision,
    "/playground": playground,
}
CHANGES: Final[Mapping[str, Change]] = {"/promote": promoted, "/rollback": rolled_back}

_LONGEST: Final = 65_536
"""Bytes of a form."""
_WAIT: Final = 1.0
"""Seconds before a wrong token is refused: guessing takes its time."""


def application(desk: Desk, guard: Guard, hosts: list[str]) -> Starlette:
    """Return the console.

    Args:
        desk: the stack it shows.
        guard: who may look, and who may change.
        hosts: names by which it is reached; a request for another host is refused, which keeps other sites' pages out.
    """
    static = StaticFiles(directory=Path(__file__).parent / "static")
    reports = Route("/monitors/{name:path}/{window}/{file}", _reported(desk, guard))
    asked = [Route(path, _shown(desk, guard, show), methods=["GET", "POST"] if path == "/playground" else ["GET"])
             for path, show in PAGES.items()]  # fmt: skip
    changed = [Route(path, _changed(desk, guard, change), methods=["POST"]) for path, change in CHANGES.items()]
    doors = [
        Route("/unlock", _unlock(guard), methods=["GET", "POST"]),
        Route("/lock", _lock(guard), methods=["POST"]),
        Mount("/static", static),
    ]
    return Starlette(
        routes=[*doors, reports, *changed, *asked],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={HTTPException: _not_found(guard)},
    )


def _shown(desk: Desk, guard: Guard, show: Show) -> Answer:
    async def answer(request: Request) -> Response:
        if not guard.may_look(_session(request)):
            return _to_unlock(request)
        asked = {**request.query_params, **(await _form(request)), **request.path_params}
        try:
            page = await desk.ask(lambda stack: show(stack, desk, asked))
        except StackwrightError as error:
            return _told(request, guard, error)
        return _page(request, guard, page)

    return answer


def _reported(desk: Desk, guard: Guard) -> Answer:
    async def answer(request: Request) -> Response:
        if not guard.may_look(_session(request)):
            return _to_unlock(request)
        try:
            path = await desk.ask(lambda stack: report_file(stack, desk, request.path_params))
        except StackwrightError as error:
            return _told(request, guard, error)
        return FileResponse(path, headers=REPORT_HEADERS)

    return answer


def _changed(desk: Desk, guard: Guard, change: Change) -> Answer:
    async def answer(request: Request) -> Response:
        if not guard.is_unlocked(_session(request)):
            return _to_unlock(request)
        if not is_own(request.headers):
            raise HTTPException(403, "The form was not sent by this console.")
        asked = await _form(request)
        try:
            path = await desk.ask(lambda stack: change(stack, desk, asked))
        except StackwrightError as error:
            return _told(request, guard, error)
        return RedirectResponse(path, status_code=303)

    return answer


def _unlock(guard: Guard) -> Answer:
    async def answer(request: Request) -> Response:
        told = () if guard.token else ("The console was started without a token: nothing can be changed.",)
        if request.method == "POST":
            asked = await _form(request)
            session = guard.unlock(asked.get("token", ""))
            if session is not None:
                response = RedirectResponse("/", status_code=303)
                response.set_cookie(COOKIE, session, httponly=True, samesite="strict")
                return response
            await asyncio.sleep(_WAIT)
            told = ("This is not the token that the console was started with.",)
        field = Field("token", "Token", secret=True, required=True)
        form = Form(to("unlock"), "Unlock", (field,), posted=True)
        section = Section("Token", lines=told, forms=(form,) if guard.token else ())
        page = Page("Unlock", "", "Who knows the token may promote and roll back.", (section,))
        return _page(request, guard, page, status=401 if told and request.method == "POST" else 200)

    return answer


def _lock(guard: Guard) -> Answer:
    async def answer(request: Request) -> Response:
        if not is_own(request.headers):
            raise HTTPException(403, "The form was not sent by this console.")
        guard.lock(_session(request))
        response = RedirectResponse("/", status_code=303)
        response.delete_cookie(COOKIE)
        return response

    return answer


def _not_found(guard: Guard) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        told = "There is no such page." if error.status_code == 404 else str(error.detail)
        return _page(request, guard, Page(f"{error.status_code}", "", told), status=error.status_code)

    return answer


def _told(request: Request, guard: Guard, error: StackwrightError) -> Response:
    status = (
        404 if isinstance(error, UnknownName | ModelNotFound) else 409 if isinstance(error, PromotionRefused) else 400
    )
    problems = getattr(error, "problems", None)
    lines = tuple(map(str, problems)) if problems else (str(error),)
    return _page(request, guard, Page("That did not work", "", "", (Section("Found", lines=lines),)), status=status)


def _page(request: Request, guard: Guard, page: Page, *, status: int = 200) -> Response:
    unlocked = guard.is_unlocked(_session(request))
    content = rendering.render(page, unlocked=unlocked, can_unlock=bool(guard.token))
    return HTMLResponse(content, status_code=status, headers=dict(HEADERS))


def _to_unlock(_request: Request) -> Response:
    return RedirectResponse(to("unlock"), status_code=303)


def _session(request: Request) -> str:
    return request.cookies.get(COOKIE, "")


async def _form(request: Request) -> dict[str, Any]:
    """Return the fields of a form that was posted."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise HTTPException(413, "The form is too long.")
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
