"""The app: routes, errors that help, and a bound on what is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from firedoor.api.desk import Desk, Reach
from firedoor.api.flags import flags_router
from firedoor.api.rollouts import rollouts_router
from firedoor.api.tokens import Tokens
from firedoor.compose.flags_file import FlagsFile
from firedoor.errors import (
    DeclarationError,
    FiredoorError,
    NotKnown,
    Refused,
    StreamsUnavailable,
    shorten,
)
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 * 2**10
RETRY_S = "5"
TOLD_MAX = 10
ABOUT = (
    "Rollouts, flags and changes of one pipeline. Every change wants `because`, and is kept with it"
    " and the name of the token that made it."
)


def control_app(*, plan: Plan, folder: Path, reach: Reach, clock: Clock, tokens: Tokens) -> FastAPI:
    """Return the control API of one pipeline.

    Args:
        plan: the pipeline.
        folder: its ``.firedoor``.
        reach: returns the broker's streams, None while it is away; called for each request.
        clock: the time.
        tokens: who may use it.
    """
    app = FastAPI(
        title=f"firedoor control of {plan.pipeline}",
        description=ABOUT,
        version="1",
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk = Desk(
        plan=plan, reach=reach, file=FlagsFile(folder), tokens=tokens, clock=clock
    )
    app.include_router(rollouts_router)
    app.include_router(flags_router)
    app.add_exception_handler(FiredoorError, _on_fault)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_middleware(BodyBound)
    return app


async def _on_fault(_: Request, error: Exception) -> JSONResponse:
    """Answer with what firedoor says is wrong."""
    if isinstance(error, NotKnown):
        status = 404
    elif isinstance(error, DeclarationError):
        status = 422
    elif isinstance(error, Refused):
        status = 409
    else:
        status = 503
    headers = {"Retry-After": RETRY_S} if isinstance(error, StreamsUnavailable) else None
    return JSONResponse({"error": str(error)}, status, headers)


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    """Answer in the same form where the framework refuses."""
    assert isinstance(error, HTTPException), "it is registered for these"
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Say which field is wrong, and how; never what was sent, which may be no JSON."""
    assert isinstance(error, RequestValidationError), "it is registered for these"
    told = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()[:TOLD_MAX]
    ]
    return JSONResponse({"error": shorten("; ".join(told), 2_000)}, 422)


class BodyBound:
    """Refuses a body that is larger than any that is needed, and one that breaks off."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read_body(receive)
        except ConnectionAbortedError:
            return
        if body is None:
            told = f"a body may have {BODY_BYTES} bytes"
            response = JSONResponse({"error": told}, 413, {"Connection": "close"})
            await response(scope, receive, send)
            return
        await self._app(scope, _once(body, receive), send)


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body of a request; None if it is too large.

    Raises:
        ConnectionAbortedError: if the client hung up before the end: a part of a request is none.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        body += message.get("body", b"")
        if len(body) > BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _once(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Return what gives a body that was read, and then whatever comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
