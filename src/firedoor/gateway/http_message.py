"""Requests and responses of HTTP/1.1 as values, and a response as bytes."""

from __future__ import annotations

import http
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from firedoor.errors import shorten
from firedoor.gateway.identity import clean
from firedoor.spec.service_plan import ServiceLimits

MESSAGE_MAX = 2_000
"""Characters of what an error says."""
ARRIVING_BYTES = 256 * 2**20
JSON = b"application/json"
KEEP = b"Connection: keep-alive\r\n"
ERROR = 400
"""From here on a status is one."""

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What callers of one server may use. Defaults are those of ``ServiceLimits``."""

    header_bytes: int = 32 * 2**10
    headers: int = 100
    target_bytes: int = 8 * 2**10
    """Of path and query."""
    body_bytes: int = 4 * 2**20
    """The largest body of any route; a route may take less."""
    arriving_bytes: int = ARRIVING_BYTES
    """Of all bodies together that have not been answered."""
    connections: int = 1_024
    concurrency: int = 1_024
    """Requests under way at once, those for health and metrics not counted."""
    pipelined: int = 64
    """Requests that a connection may have sent ahead."""
    body_s: float = 10.0
    """Longest that a request may take to arrive, and a client to read what it was sent."""
    idle_s: float = 75.0
    drain_s: float = 10.0

    @classmethod
    def of(cls, declared: list[ServiceLimits]) -> HttpLimits:
        """Return what services behind one server need: room for all, else the widest of each."""
        if not declared:
            return cls()
        body_bytes = max(limits.body_bytes for limits in declared)
        return cls(
            header_bytes=max(limits.header_bytes for limits in declared),
            body_bytes=body_bytes,
            arriving_bytes=max(ARRIVING_BYTES, 4 * body_bytes),
            connections=sum(limits.connections for limits in declared),
            concurrency=sum(limits.concurrency for limits in declared),
            body_s=max(limits.body_s for limits in declared),
            idle_s=max(limits.idle_s for limits in declared),
            drain_s=max(limits.drain_s for limits in declared),
        )


class Head(NamedTuple):
    """What comes before a body."""

    method: str
    path: str
    """As it was sent: percent signs stand for themselves."""
    query: str
    headers: dict[bytes, bytes]
    """By name in small letters; the first where one is repeated."""

    def header(self, name: bytes) -> str:
        """Return a header's value; empty: there is none."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value else ""


class Response(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes = b""
    headers: bytes = b""
    """Whole lines, as ``header_line`` makes them."""
    content_type: bytes = JSON


class Reply(Protocol):
    """Where the answer to one request goes, once, by either way. Neither raises."""

    @property
    def lines(self) -> bytes:
        """``Date`` and ``Connection`` as a whole answer has them; empty: ``answered`` has to be."""
        ...

    def answered(self, response: Response) -> None:
        """Take an answer."""
        ...

    def wrote(self, whole: bytes) -> None:
        """Take an answer as it is sent, with ``lines`` in it as they are now."""
        ...


Begin = Callable[[bytes, Reply], bool]
"""Begins to answer a body, and gives the answer to a reply once, perhaps before it returns. False:
nothing was done, ``Endpoint.handle`` has to."""


class Endpoint(NamedTuple):
    """Whoever answers one request whose head was accepted."""

    handle: Callable[[bytes], Awaitable[Response]]
    """Is given the body; raises nothing that it means."""
    body_bytes: int = 0
    """The largest body that it takes."""
    counted: bool = True
    """Whether it is one of those that ``HttpLimits.concurrency`` counts."""
    begin: Begin | None = None
    """Does the same without a task, where that can be done; None: it never can."""


class Turn(NamedTuple):
    """A request whose turn comes."""

    endpoint: Endpoint | None
    body: bytes
    said: Response | None
    keep: bool
    bare: bool
    held: int
    """Bytes of body that it holds."""
    asked: bytes = b""
    """The caller's id of it, as it was sent; empty: there is none, or it is not known."""


class Application(Protocol):
    """What stands behind a server."""

    def route(self, head: Head) -> Endpoint | Response:
        """Return who answers this request, or what is said to it without reading its body."""
        ...


def target_of(raw: bytes) -> tuple[str, str]:
    """Return path and query of a request's target, also of one that names the host."""
    text = raw.decode("latin-1")
    if not text.startswith("/"):
        try:
            split = urllib.parse.urlsplit(text)
        except ValueError:  # the host in it cannot be one, and nothing is at such a path
            return text, ""
        return split.path or "/", split.query
    path, _, rest = text.partition("?")
    return path.partition("#")[0], rest.partition("#")[0]


def header_line(name: str, value: str) -> bytes:
    """Return one header; what could begin another one is written as percent signs."""
    if not (value.isascii() and value.isprintable()):
        value = urllib.parse.quote(value, safe=" !#$&'()*+,/:;=?@[]~")
    return f"{name}: {value}\r\n".encode("ascii")


def json_response(status: int, value: object, headers: bytes = b"") -> Response:
    """Return a value as JSON."""
    return Response(status, msgspec.json.encode(value), headers)


def error_response(status: int, message: str, headers: bytes = b"") -> Response:
    """Return an error, in the shape that the Open Inference Protocol gives it."""
    return json_response(status, {"error": shorten(message, MESSAGE_MAX)}, headers)


def with_request_id(response: Response, asked: bytes, make: Callable[[], str]) -> Response:
    """Return an error that says which request it is of, if it does not yet.

    Args:
        response: an error.
        asked: the id that the caller gave its request, as it was sent; empty: none.
        make: makes an id where the caller gave none that can stand in a header.
    """
    if b"X-Request-Id: " in response.headers:
        return response
    known = clean(asked.decode("latin-1")) or make()
    return response._replace(headers=response.headers + header_line("X-Request-Id", known))


def retry_after(seconds: float) -> bytes:
    """Return the header that says when to come again, in whole seconds, at least one."""
    return b"Retry-After: %d\r\n" % max(1, min(3_600, round(seconds + 0.499)))


def encode_response(
    response: Response, *, date: bytes, connection: bytes = b"", bare: bool = False
) -> bytes:
    """Return a response as it is sent.

    Args:
        response: what is sent.
        date: the line ``Date: ...``.
        connection: the line ``Connection: ...``, if one is needed.
        bare: whether the body is left out: of ``HEAD``.
    """
    status, body, headers, content_type = response
    lines = (
        OK_JSON if status == 200 and content_type is JSON else _first_lines(status, content_type),  # noqa: PLR2004 - OK
        b"%d\r\n" % len(body),
        date,
        connection,
        headers,
        b"\r\n",
        b"" if bare else body,
    )
    return b"".join(lines)


def _first_lines(status: int, content_type: bytes) -> bytes:
    """Return how a response begins, up to the number of its bytes."""
    line = _STATUS_LINES.get(status, _STATUS_LINES[500])
    return b"%bContent-Type: %b\r\nContent-Length: " % (line, content_type)


OK_JSON = _first_lines(200, JSON)
"""How nearly every response begins."""
