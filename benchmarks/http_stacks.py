"""What a request costs in each HTTP stack, before anything is done for it (ADR 0019).

Each server runs in a process of its own and answers ``POST /predict`` through the same trivial
``async answer(Request) -> Answer``; ``routes`` is ours with the routes of a gateway before it.
``wrk`` asks, closed loop, keep-alive, in rounds whose order turns. Shown: requests a second and
processor time of the server a request, medians. granian is measured where it is installed.

    python -m benchmarks.http_stacks [--seconds 2] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from firedoor.adapters.clock import SystemClock
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.front import front
from firedoor.gateway.http_message import Endpoint, Head, HttpLimits, Response
from firedoor.gateway.http_server import HttpServer, bind, new_event_loop
from firedoor.gateway.services import Answered, Label, Labelled, ServiceFacts, ServiceMetadata
from firedoor.spec.service_plan import ServiceLimits
from firedoor.wire.serving import Form

BODY = b'{"carrier":"UA","distance":1400,"dep_delay":12.5,"hour":17}'
STACKS = ("routes", "own", "own-asyncio", "uvicorn", "granian")
CONCURRENCY = (1, 16, 64)


async def answer(request: Request) -> Answer:
    """Return an answer without a model."""
    return Answer(200, "a", rows=1, fragment=b"[%d]" % len(request.body))


class _Trivial:
    def route(self, head: Head) -> Endpoint | Response:  # noqa: ARG002 - one route
        return Endpoint(self._handle, 2**20)

    async def _handle(self, body: bytes) -> Response:
        answered = await answer(Request(Form.ROWS, body))
        return Response(200, answered.fragment)


class _TrivialService:
    """The same behind the routes of a gateway: what their checks, headers and counts cost."""

    name = "delays"
    limits = ServiceLimits()

    def begin(self, request: Request, answered: Answered) -> bool:  # noqa: ARG002 - never
        return False

    async def answer(self, request: Request) -> Answer:
        answered = await answer(request)
        return answered._replace(
            id="a-1", prediction="019accd3a1b2c3d4", model="delays", version="3", arm="champion"
        )

    async def label(self, labels: Sequence[Label]) -> list[Labelled]:
        return [Labelled("unknown") for _ in labels]

    def metadata(self, version: str = "") -> ServiceMetadata | None:  # noqa: ARG002 - nobody asks
        return None

    def facts(self) -> ServiceFacts:
        return ServiceFacts(ready=True)


async def _own(port: int, *, routes: bool) -> None:
    def failed(error: Exception) -> None:
        raise error

    clock = SystemClock()
    server = HttpServer(_Trivial(), limits=HttpLimits(), clock=clock, failed=failed)
    if routes:
        services = [_TrivialService()]
        server = front(services, gateway="g1", release="0", clock=clock, failed=failed)
    async with server:
        await server.listen(bind("127.0.0.1", port))
        await asyncio.Event().wait()


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    answered = await answer(Request(Form.ROWS, body))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answered.fragment)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answered.fragment})


async def _rsgi(scope: Any, protocol: Any) -> None:  # noqa: ARG001 - one route
    body = await protocol()
    answered = await answer(Request(Form.ROWS, body))
    protocol.response_bytes(200, [("content-type", "application/json")], answered.fragment)


def _serve(stack: str, port: int) -> None:
    """Serve until it is ended."""
    if stack == "routes" or stack.startswith("own"):
        factory = asyncio.new_event_loop if stack == "own-asyncio" else new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_own(port, routes=stack == "routes"))
    elif stack == "uvicorn":
        import uvicorn  # noqa: PLC0415 - one of several

        uvicorn.run(_asgi, host="127.0.0.1", port=port, log_level="warning", access_log=False,
                    loop="uvloop", http="httptools", lifespan="off")  # fmt: skip
    else:
        from granian.constants import Interfaces  # noqa: PLC0415 - one of several
        from granian.server.embed import Server  # noqa: PLC0415 - one of several

        async def embedded() -> None:
            await Server(_rsgi, port=port, interface=Interfaces.RSGI, log_enabled=False).serve()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(embedded())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    message = "a server did not start within 20 s"
    raise TimeoutError(message)


def _measure(
    port: int, process: psutil.Process, concurrency: int, seconds: int
) -> tuple[float, float]:
    """Return requests a second, and microseconds of the server's processor time a request."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method='POST' wrk.body='{BODY.decode()}'\n")
        script.write("wrk.headers['Content-Type']='application/json'\n")
        script.flush()
        before = sum(process.cpu_times()[:2])
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "-s", script.name,
                   f"http://127.0.0.1:{port}/predict"]  # fmt: skip
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        used_s = sum(process.cpu_times()[:2]) - before
    found = re.search(r"(\d+) requests in", said)
    if found is None or "Non-2xx" in said:
        raise RuntimeError(said)
    requests = int(found[1])
    return requests / seconds, used_s / requests * 1e6


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=2)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve(arguments.serve[0], int(arguments.serve[1]))
        return
    figures: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with contextlib.ExitStack() as ending:
        running = []
        for stack in STACKS:
            if stack == "granian" and importlib.util.find_spec("granian") is None:
                continue
            port = _free_port()
            command = [sys.executable, "-m", "benchmarks.http_stacks", "--serve", stack, str(port)]
            child = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
            ending.callback(child.wait)
            ending.callback(child.terminate)
            _await(port)
            running.append((stack, port, psutil.Process(child.pid)))
        for turn in range(arguments.rounds):
            for stack, port, process in running[:: -1 if turn % 2 else 1]:
                for concurrency in CONCURRENCY:
                    measured = _measure(port, process, concurrency, arguments.seconds)
                    figures.setdefault((stack, concurrency), []).append(measured)
    print("stack        c   requests/s   CPU us/request")
    for (stack, concurrency), pairs in sorted(figures.items(), key=lambda item: item[0][1]):
        rate = statistics.median(pair[0] for pair in pairs)
        cpu = statistics.median(pair[1] for pair in pairs)
        print(f"{stack:12} {concurrency:2} {rate:10.0f} {cpu:12.1f}")


if __name__ == "__main__":
    _main()
