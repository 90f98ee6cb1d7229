"""Liveness and readiness tell the truth, to anybody who asks and however they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from firedoor.compose import small_http
from firedoor.compose.health import judge, served
from firedoor.compose.small_http import HOST
from firedoor.wire.records import ZoneStatus

WAIT_S = 20.0


def status(state: str, code: str = "", cause: str = "") -> ZoneStatus:
    values = {"zone": "clean", "replica": "here-1", "pid": 1, "version": "v1", "state": state,
              "since_s": 0, "at_s": 0, "code": code, "cause": cause}  # fmt: skip
    return msgspec.convert(values, ZoneStatus)


# ---- what is judged


@pytest.mark.parametrize(
    ("state", "code", "ready"),
    [
        ("starting", "", False),
        ("running", "", True),
        ("throttled", "throttle_share", True),
        ("done", "", True),
        ("blocked", "inbox_full", True),
        ("blocked", "broker_away", False),
        ("paused", "ordered", False),
        ("paused", "dependency", False),
        ("halted", "contrast", False),
        ("draining", "", False),
        ("stopped", "", False),
    ],
)
def test_a_zone_is_ready_while_batches_go_through_and_alive_whatever_it_does(
    state: str, code: str, *, ready: bool
) -> None:
    found = judge("/readyz", "clean", status(state, code, "because"))
    assert found is not None
    assert (found.ok, found.state, found.cause) == (ready, state, "because")
    alive = judge("/livez", "clean", status(state, code))
    assert alive is not None
    assert alive.ok, "to start it anew would not help"


def test_a_zone_whose_runner_has_not_begun_is_alive_and_not_ready() -> None:
    answers = [judge(path, "clean", None) for path in ("/livez", "/readyz")]
    assert [answer and (answer.ok, answer.state) for answer in answers] == [
        (True, "starting"),
        (False, "starting"),
    ]


# ---- what is served


def serve(
    story: Callable[[int], Awaitable[None]], now: Callable[[], ZoneStatus | None]
) -> None:  # fmt: skip
    """Serve a zone's health while a story happens."""

    async def main() -> None:
        async with asyncio.timeout(WAIT_S), served(0, "clean", now) as port:
            await story(port)

    asyncio.run(main())


async def ask(port: int, request: bytes) -> bytes:
    """Return everything that is answered to some bytes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def test_a_probe_gets_200_or_503_and_why_as_json() -> None:
    now = status("running")

    async def story(port: int) -> None:
        nonlocal now
        head, _, body = (await ask(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).partition(
            b"\r\n\r\n"
        )
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert msgspec.json.decode(body) == {
            "zone": "clean", "ok": True, "state": "running", "cause": "",
        }  # fmt: skip
        now = status("halted", "contrast", "renamed column")
        answer = await ask(port, b"GET /readyz?verbose HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"renamed column" in answer
        assert (await ask(port, b"GET /livez HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")

    serve(story, lambda: now)


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1\r\n", b"\r\n", b"GET\r\n", b"\xff\xfe \xff\r\n", b"GET /other HTTP/1\r\n"],
)
def test_any_other_request_is_told_what_there_is(request_line: bytes) -> None:
    async def story(port: int) -> None:
        answer = await ask(port, request_line)
        assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert answer.endswith(b'{"paths":["/livez","/readyz","/metrics"]}')

    serve(story, lambda: status("running"))


def test_who_asks_for_too_much_or_goes_or_dawdles_costs_nobody_else_an_answer() -> None:
    async def story(port: int) -> None:
        _, gone = await asyncio.open_connection(HOST, port)
        gone.close()
        _, slow = await asyncio.open_connection(HOST, port)
        slow.write(b"GET /rea")
        much, flood = await asyncio.open_connection(HOST, port)
        flood.write(b"x" * 2 * small_http.REQUEST_BYTES)
        assert b" 200 OK" in await ask(port, b"GET /livez HTTP/1.1\r\n\r\n")
        assert await much.read() == b"", "it is let go of"
        for writer in (slow, flood):
            writer.close()

    serve(story, lambda: status("running"))


def test_who_dawdles_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_http, "REQUEST_S", 0.1)  # else the test waits for 5 s

    async def story(port: int) -> None:
        dawdles, slow = await asyncio.open_connection(HOST, port)
        slow.write(b"GET /rea")
        assert await dawdles.read() == b""
        slow.close()

    serve(story, lambda: status("running"))


def test_a_port_that_is_taken_is_an_error_and_one_that_was_let_go_of_is_free() -> None:
    async def story(port: int) -> None:
        with pytest.raises(OSError, match="in use"):
            async with served(port, "clean", lambda: None):
                pass

    serve(story, lambda: None)


def test_it_listens_on_loopback_only() -> None:
    async def story(port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        assert writer.get_extra_info("peername")[0] == "127.0.0.1"
        writer.close()
        with pytest.raises(OSError, match="failed"):
            await asyncio.open_connection("127.0.0.2", port)
        del reader

    serve(story, lambda: None)


def test_metrics_are_answered_beside_health() -> None:
    async def main() -> bytes:
        async with served(0, "clean", lambda: None, metrics=lambda: b"firedoor_up 1\n") as port:
            async with asyncio.timeout(WAIT_S):
                return await ask(port, b"GET /metrics?x=1 HTTP/1.1\r\n\r\n")

    answer = asyncio.run(main())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert body == b"firedoor_up 1\n"
