"""A closed loop of clients that keep their connections, and look at what they are answered.

``python -m benchmarks.serving.client ORDER``, ORDER being the JSON of an ``Order``; prints a
``Measured`` as JSON. A process of its own, so that its CPU time is not taken for the server's.
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

from benchmarks.serving.servers import pause, post

LOOK_EVERY = 50
"""One answer of so many is decoded and compared."""
OFF_MAX = 1e-6
SETTLE_S = 0.3


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send."""

    port: int
    path: str
    bodies: str
    """File with a JSON list of ``[body, expected predictions]``."""
    concurrency: int
    seconds: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    requests: int
    answered: int
    """With those of the time before it counts from."""
    seconds: float
    p50_ms: float
    p99_ms: float
    bad: int
    """Not 200, or no prediction in them."""
    wrong: int
    """Of the ``looked`` answers that were compared."""
    looked: int


class _Client(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, and sends the next."""

    def __init__(self, bench: _Bench, first: int) -> None:
        self._bench, self._number = bench, first
        self._buffer = b""
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer once it is whole."""
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        if at >= 0:
            size = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
        else:  # chunked
            if not self._buffer.endswith(b"0\r\n\r\n"):
                return
            body = self._buffer[end + 4 :].split(b"\r\n", 2)[1]
        self._buffer = b""
        self._bench.took(
            self._number, head[9:12] == b"200", body, time.perf_counter() - self._sent_s
        )
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        """Count it where it was not meant."""
        if not self._bench.over:
            self._bench.bad += 1

    def _send(self) -> None:
        """Send the next request, or end."""
        if self._bench.over:
            self._transport.close()
            return
        self._number = (self._number + 7) % len(self._bench.requests)
        self._sent_s = time.perf_counter()
        self._transport.write(self._bench.requests[self._number])


class _Bench:
    """What all connections share."""

    def __init__(self, order: Order) -> None:
        data = Path(order.bodies).read_bytes()
        pairs = msgspec.json.decode(data, type=list[tuple[str, list[float]]])
        self.requests = [post(order.path, body) for body, _ in pairs]
        self.expected = [values for _, values in pairs]
        self.over = False
        self.answered = 0
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.took_s: list[float] = []
        self.bad = self.wrong = self.looked = 0

    def took(self, number: int, good: bool, body: bytes, seconds: float) -> None:  # noqa: FBT001
        """Count an answer."""
        self.answered += 1
        self.took_s.append(seconds)
        if not good:
            self.bad += 1
        elif len(self.took_s) % LOOK_EVERY == 0:
            self.looked += 1
            found, right = predictions(msgspec.json.decode(body)), self.expected[number]
            near = [abs(one - other) <= OFF_MAX for one, other in zip(found, right, strict=False)]
            self.wrong += len(found) != len(right) or not all(near)


def predictions(said: Any) -> list[float]:
    """Return the predictions in an answer, however they are nested."""
    if isinstance(said, float):
        return [said]
    if isinstance(said, list):
        return [value for one in said for value in predictions(one)]
    if isinstance(said, dict):
        for name in ("predictions", "outputs", "data", "chance"):
            if name in said:
                return predictions(said[name])
    return []


async def measure(order: Order) -> Measured:
    """Send for as long as asked."""
    bench, loop = _Bench(order), asyncio.get_running_loop()
    step = max(1, len(bench.requests) // order.concurrency)
    for number in range(order.concurrency):
        begin = partial(_Client, bench, number * step)
        await loop.create_connection(begin, "127.0.0.1", order.port)
    await pause(SETTLE_S)
    bench.begin()
    began_s = time.perf_counter()
    await pause(order.seconds)
    seconds = time.perf_counter() - began_s
    bench.over = True
    took = sorted(bench.took_s) or [float("nan")]
    return Measured(
        requests=len(bench.took_s), answered=bench.answered, seconds=seconds,
        p50_ms=took[len(took) // 2] * 1e3,
        p99_ms=took[int(len(took) * 0.99)] * 1e3, bad=bench.bad, wrong=bench.wrong,
        looked=bench.looked,
    )  # fmt: skip


if __name__ == "__main__":
    told = uvloop.run(measure(msgspec.json.decode(sys.argv[1], type=Order)))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
