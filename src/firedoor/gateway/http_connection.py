"""One connection: requests in, answers out in their order, whatever the client does.

One request is answered at a time; those that were sent ahead wait, a few of them. What a client may
hold is bounded: a head and a body in reading, a few requests waiting, and one answer in sending.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Literal, cast

from firedoor.gateway.http_hub import Hub
from firedoor.gateway.http_message import (
    ERROR,
    KEEP,
    Endpoint,
    Head,
    Response,
    Turn,
    encode_response,
    error_response,
    retry_after,
    with_request_id,
)
from firedoor.gateway.http_reading import Reader, too_large

LINGER_S = 1.0
"""Longest that a client who is refused is listened to, so that it reads why instead of a reset."""
SENDING_BYTES = 256 * 2**10
"""Of answers that a client has not read yet; beyond it none is begun."""
CROWD = 64
"""Connections over their limit that are still told so; those beyond are cut at once."""

_CLOSE = b"Connection: close\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_FAILED = error_response(500, "the gateway failed at this request; its log says why")

Waits = Literal["request", "arrival", "answer", "reading", "end"]
"""For what a connection waits: for a request to begin, for the rest of one, for its own answer, for
the client to read, for the client to go."""


class Connection(asyncio.Protocol):
    """One client."""

    __slots__ = ("_arriving", "_crowded", "_endpoint", "_expects", "_head", "_held", "_hub",
                 "_keep", "_queue", "_reader", "_refusal", "_stuck", "_task", "_transport",
                 "_turn", "until_s", "waits")  # fmt: skip

    def __init__(self, hub: Hub) -> None:
        """Wait for a client."""
        self._hub = hub
        self._transport = cast("asyncio.Transport", None)
        self._reader = Reader(self, hub.limits, hub.heads)
        self._queue: deque[Turn] = deque()
        self._task: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._arriving = False
        self._head: Head | None = None
        self._endpoint: Endpoint | None = None
        self._refusal: Response | None = None
        self._keep = True
        self._held = 0
        self._expects = False
        self._stuck = False
        self._crowded = False
        self.waits: Waits = "request"
        self.until_s = 0.0
        """When it is cut if nothing changes."""

    # --------------------------------------------------------------- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a client, or one too many, who is told so when it asks."""
        hub = self._hub
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=SENDING_BYTES)
        others = len(hub.connections)
        self._crowded = others >= hub.limits.connections
        hub.connections.add(self)
        wait_s = hub.limits.body_s if self._crowded else hub.limits.idle_s
        self._wait("request", hub.parting_s if hub.draining else wait_s)
        if others >= hub.limits.connections + CROWD:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._reader.feed(data)

    def eof_received(self) -> bool:
        """End the connection: whoever hangs up waits for no answer."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason is theirs
        """Give up what was under way."""
        hub = self._hub
        hub.connections.discard(self)
        self._reader.deaf = True
        if self._task is not None:
            self._task.cancel()
        self._release()
        self._drop_arriving()
        self._drop_queue()

    def pause_writing(self) -> None:
        """Begin no further answer: the client does not read."""
        self._stuck = True
        if self.waits != "end":
            self._wait("reading", self._hub.limits.body_s)

    def resume_writing(self) -> None:
        """Go on."""
        self._stuck = False
        if self.waits == "reading":
            (self._next if self._turn is None else self._wait_for_answer)()

    # ------------------------------------------------------------------- called by the reader

    def begun(self) -> None:
        """Give a request its time to arrive."""
        self._arriving = True
        if self._turn is None and not self._queue and not self._stuck:
            self._wait("arrival", self._hub.limits.body_s)

    def quick(self, turn: Turn, body: bytes) -> bool:
        """Answer a whole request at once, where it is this one's turn and there is room."""
        hub, limits = self._hub, self._hub.limits
        if self.waits != "request" or self._crowded or hub.draining or turn.endpoint is None:
            return False
        if (
            hub.under_way >= limits.concurrency
            or hub.held_bytes + turn.held > limits.arriving_bytes
        ):
            return False
        hub.held_bytes += turn.held
        self._begin(turn.endpoint, turn, body)
        return True

    def admitted(self, length: int) -> Turn | None:
        """Return what comes behind the head that was taken last, where any such head means that."""
        head, endpoint = self._head, self._endpoint
        if head is None or head.method != "POST" or b"expect" in head.headers or endpoint is None:
            return None
        return Turn(endpoint, b"", None, keep=True, bare=False, held=length)

    def headed(self, head: Head, length: int, *, keep: bool) -> int:
        """Decide whether a request is let in, before its body is read."""
        self._head, self._keep = head, keep
        verdict = self._verdict(head, length)
        if isinstance(verdict, Endpoint):
            self._endpoint, self._refusal = verdict, None
            self._expects = b"expect" in head.headers and length != 0
            self._encourage()
            return verdict.body_bytes
        self._endpoint, self._refusal = None, verdict
        if length == 0 and not self._crowded:
            return 0
        # The body is not read, so nothing after it can be either.
        self._enqueue(b"", keep=False)
        return -1

    def grown(self, size: int) -> bool:
        """Hold more of a body, where all bodies together leave room."""
        hub = self._hub
        self._held += size
        hub.held_bytes += size
        if hub.held_bytes <= hub.limits.arriving_bytes:
            return True
        self._drop_arriving()
        self.broken(503, "too many bodies are arriving at once: come again shortly")
        return False

    def complete(self, body: bytes) -> None:
        """Queue a whole request."""
        self._enqueue(body, keep=self._keep)

    def broken(self, status: int, message: str) -> None:
        """Answer what is no request, after those before it, and end."""
        self._hub.refused(status)
        self._drop_arriving()
        headers = retry_after(1) if status == 503 else b""  # noqa: PLR2004 - Unavailable
        self._refusal = error_response(status, message, headers)
        self._enqueue(b"", keep=False)

    # --------------------------------------------------------------------- called by the server

    def expire(self) -> None:
        """Cut a client whose time is over."""
        if self.waits == "arrival":
            body_s = self._hub.limits.body_s
            self._reader.deaf = True
            self.broken(408, f"the request did not arrive within {body_s:g} s: send it faster")
        elif self.waits == "request":
            self._end()
        else:
            self._transport.abort()

    def part(self, until_s: float) -> None:
        """Leave a connection without a request open no longer than that."""
        if self.waits == "request":
            self.until_s = min(self.until_s, until_s)

    def abort(self) -> None:
        """Cut it at once."""
        self._transport.abort()

    # -------------------------------------------------------------------------------- answering

    def _verdict(self, head: Head, length: int) -> Endpoint | Response:
        """Return who answers a request, or why nobody does."""
        hub = self._hub
        expected = head.headers.get(b"expect")
        if expected is not None and expected.lower() != b"100-continue":
            hub.refused(417)
            return error_response(417, "Expect knows 100-continue alone: leave the header out")
        try:
            route = hub.application.route(head)
        except Exception as error:  # noqa: BLE001 - a fault here costs one request, not the gateway
            hub.failed(error)
            return _FAILED
        if isinstance(route, Response):
            return route
        if length > route.body_bytes:
            hub.refused(413)
            return error_response(413, too_large(route.body_bytes))
        return self._room(route) or route

    def _room(self, endpoint: Endpoint) -> Response | None:
        """Return what is said to a request for which there is no room; None: there is."""
        hub = self._hub
        if not endpoint.counted:
            return None
        if self._crowded:
            said = f"there are {hub.limits.connections} connections already"
        elif hub.under_way >= hub.limits.concurrency:
            said = f"{hub.under_way} requests are under way already"
        else:
            return None
        hub.refused(503)
        return error_response(503, f"{said}: come again shortly", retry_after(1))

    def _enqueue(self, body: bytes, *, keep: bool) -> None:
        """Let what was read last wait for its turn."""
        head = self._head
        bare = head is not None and head.method == "HEAD"
        asked = b"" if head is None else head.headers.get(b"x-request-id", b"")
        turn = Turn(self._endpoint, body, self._refusal, keep, bare, self._held, asked)
        self._endpoint = self._refusal = self._head = None
        self._held = 0
        self._expects = self._arriving = False
        if self._turn is None and not self._queue and not self._stuck:
            self._take(turn)
            return
        self._queue.append(turn)
        if len(self._queue) >= self._hub.limits.pipelined and not self._reader.deaf:
            self._reader.deaf = True
            self.broken(503, "too many requests were sent ahead on one connection: await answers")

    def _next(self) -> None:
        """Take the next turn, or wait for a request."""
        if self._queue:
            self._take(self._queue.popleft())
        elif self._arriving:
            self._wait("arrival", self._hub.limits.body_s)
            self._encourage()
        else:
            self._wait("request", self._hub.limits.idle_s)

    def _take(self, turn: Turn) -> None:
        """Answer one request."""
        hub, endpoint = self._hub, turn.endpoint
        # Judged again: it may have been let in while there was room, and have taken its time since.
        said = turn.said or (None if endpoint is None else self._room(endpoint))
        if endpoint is None or said is not None:
            hub.held_bytes -= turn.held
            self._send(said or _FAILED, turn)
        else:
            self._begin(endpoint, turn, turn.body)

    def _begin(self, endpoint: Endpoint, turn: Turn, body: bytes) -> None:
        """Have a request answered for which there is room."""
        self._hub.under_way += endpoint.counted
        self._wait_for_answer()
        self._turn = turn
        if endpoint.begin is None or not endpoint.begin(body, self):
            self._task = self._hub.tasks.create_task(self._answer(endpoint, body))

    async def _answer(self, endpoint: Endpoint, body: bytes) -> None:
        """Have one request answered, and send that."""
        try:
            response = await endpoint.handle(body)
        except Exception as error:  # noqa: BLE001 - a fault here costs one request, not the gateway
            self._hub.failed(error)
            response = _FAILED
        self._task = None
        self.answered(response)

    @property
    def lines(self) -> bytes:
        """The lines ``Date`` and ``Connection`` of a whole answer; empty: not of this one."""
        turn = self._turn
        return self._hub.lines if turn is not None and turn.keep and not self._crowded else b""

    def wrote(self, whole: bytes) -> None:
        """Send a whole answer to the request whose turn it is, unless its client is gone."""
        if self._turn is None:
            return
        self._release()
        transport = self._transport
        if transport.is_closing():
            return
        try:
            transport.write(whole)
        except Exception as error:  # noqa: BLE001 - what cannot be sent costs one connection
            self._hub.failed(error)
            transport.abort()
            return
        if self._stuck:
            return
        if self._queue or self._arriving:
            self._next()
        else:
            self.waits, self.until_s = "request", self._hub.idle_until_s

    def answered(self, response: Response) -> None:
        """Send the answer to the request whose turn it is, unless its client is gone."""
        turn = self._turn
        if turn is None:
            return
        self._release()
        try:
            self._send(response, turn)
        except Exception as error:  # noqa: BLE001 - what cannot be sent costs one connection
            self._hub.failed(error)
            self._transport.abort()

    def _send(self, response: Response, turn: Turn) -> None:
        """Send the answer to a request, and go on with what is next."""
        hub, transport = self._hub, self._transport
        if transport.is_closing():
            return
        if response.status >= ERROR:
            response = with_request_id(response, turn.asked, hub.make_id)
        keep, bare = turn.keep and not (hub.draining or self._crowded), turn.bare
        connection = KEEP if keep else _CLOSE
        transport.write(encode_response(response, date=hub.date, connection=connection, bare=bare))
        if not keep:
            self._end()
        elif not self._stuck:
            self._next()

    def _end(self) -> None:
        """Send what is there and close; first let a client that still sends read why."""
        self._drop_queue()
        lingers = self._reader.deaf and self._transport.can_write_eof()
        self._reader.deaf = True
        self._drop_arriving()
        self._wait("end", LINGER_S if lingers else self._hub.limits.body_s)
        if lingers:
            self._transport.write_eof()
        else:
            self._transport.close()

    # ------------------------------------------------------------------------------- accounting

    def _encourage(self) -> None:
        """Tell a client that waits for leave to send its body that it may."""
        if self._expects and self._turn is None and not self._queue:
            self._expects = False
            self._transport.write(_CONTINUE)

    def _drop_arriving(self) -> None:
        """Forget a request that has not arrived."""
        self._endpoint = None
        self._hub.held_bytes -= self._held
        self._held = 0

    def _drop_queue(self) -> None:
        """Forget requests whose turn has not come."""
        self._hub.held_bytes -= sum(turn.held for turn in self._queue)
        self._queue.clear()

    def _release(self) -> None:
        """Count one request less under way."""
        turn, self._turn = self._turn, None
        if turn is not None and turn.endpoint is not None:
            self._hub.under_way -= turn.endpoint.counted
            self._hub.held_bytes -= turn.held

    def _wait_for_answer(self) -> None:
        """Wait for our own answer: whoever gives it keeps the deadline."""
        self.waits, self.until_s = "answer", math.inf

    def _wait(self, waits: Waits, seconds: float) -> None:
        """Say what is waited for, and until when."""
        self.waits = waits
        self.until_s = self._hub.now_s() + seconds
