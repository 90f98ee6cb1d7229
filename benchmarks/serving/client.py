"""A closed loop of clients that keep their connections, and look at what they are answered.

``python -m benchmarks.serving.client ORDER``, ORDER being the JSON of an ``Order``; prints a
``Measured`` as JSON. A process of its own, so that its CPU time is not taken for the server's. It
shares the machine with the server, and what it takes the server cannot have: so it is a loop over
epoll and plain sockets, at less than half of what it took on an event loop with protocols.
"""

from __future__ import annotations

import resource
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.serving.servers import post

LOOK_EVERY = 50
"""One answer of so many is decoded and compared."""
OFF_MAX = 1e-6
SETTLE_S = 0.3
RECEIVE_BYTES = 2**16
END = b"\r\n\r\n"
LENGTH = b"content-length:"
WAIT_S = 1.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send."""

    port: int
    path: str
    bodies: str
    """File with a JSON list of ``[body, expected predictions]``."""
    concurrency: int
    seconds: float
    lines: str = ""
    """Further headers, each with its end."""


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
    cpu_us: float
    """Of this client, a request."""


class _Client:
    """One connection: sends, waits for the whole answer, and sends the next."""

    __slots__ = ("_bench", "_buffer", "_number", "_sent_s", "line")

    def __init__(self, bench: _Bench, first: int, port: int) -> None:
        self._bench, self._number, self._buffer = bench, first, b""
        self.line = socket.create_connection(("127.0.0.1", port), 5)
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line.setblocking(False)  # noqa: FBT003 - the signature of socket
        self.send()

    def ready(self) -> bool:
        """Take what has come; return whether the connection goes on."""
        data = self.line.recv(RECEIVE_BYTES)
        if not data:
            self._bench.bad += not self._bench.over
            return False
        if self._buffer:
            data = self._buffer + data
        body = body_of(data)
        if body is None:
            self._buffer = data
            return True
        now_s, self._buffer = time.perf_counter(), b""
        self._bench.took(self._number, data[9:12] == b"200", body, now_s - self._sent_s)
        if self._bench.over:
            return False
        self.send()
        return True

    def send(self) -> None:
        """Send the next request. It is small beside the socket's buffer, and the only one in it."""
        requests = self._bench.requests
        self._number = (self._number + 7) % len(requests)
        self._sent_s = time.perf_counter()
        said = requests[self._number]
        sent = self.line.send(said)
        while sent < len(said):
            select.select([], [self.line], [], WAIT_S)
            sent += self.line.send(said[sent:])


def body_of(data: bytes) -> bytes | None:
    """Return the body of a response; None: it is not whole yet."""
    end = data.find(END)
    if end < 0:
        return None
    head = data[:end].lower()
    at = head.find(LENGTH)
    if at >= 0:
        stop = head.find(b"\r", at)
        size = int(head[at + len(LENGTH) : stop if stop > 0 else end])
        return data[end + 4 :] if len(data) >= end + 4 + size else None
    return data[end + 4 :].split(b"\r\n", 2)[1] if data.endswith(b"0\r\n\r\n") else None  # chunked


class _Bench:
    """What all connections share."""

    def __init__(self, order: Order) -> None:
        data = Path(order.bodies).read_bytes()
        pairs = msgspec.json.decode(data, type=list[tuple[str, list[float]]])
        self.requests = [post(order.path, body, lines=order.lines) for body, _ in pairs]
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


def turn(poll: select.epoll, clients: dict[int, _Client], until_s: float) -> None:
    """Take answers and send requests until a moment."""
    while clients and time.perf_counter() < until_s:
        for number, _ in poll.poll(WAIT_S):
            if not clients[number].ready():
                poll.unregister(number)
                clients.pop(number).line.close()


def cpu_s() -> float:
    """Return the processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(order: Order) -> Measured:
    """Send for as long as asked."""
    bench, poll = _Bench(order), select.epoll()
    step = max(1, len(bench.requests) // order.concurrency)
    clients = {}
    for number in range(order.concurrency):
        client = _Client(bench, number * step, order.port)
        clients[client.line.fileno()] = client
        poll.register(client.line, select.EPOLLIN)
    turn(poll, clients, time.perf_counter() + SETTLE_S)
    bench.begin()
    used_s, began_s = cpu_s(), time.perf_counter()
    turn(poll, clients, began_s + order.seconds)
    seconds, used_s = time.perf_counter() - began_s, cpu_s() - used_s
    took = sorted(bench.took_s) or [float("nan")]
    requests, bad, wrong, looked = len(bench.took_s), bench.bad, bench.wrong, bench.looked
    bench.over = True
    turn(poll, clients, time.perf_counter() + WAIT_S)
    return Measured(
        requests=requests, answered=bench.answered, seconds=seconds,
        p50_ms=took[len(took) // 2] * 1e3, p99_ms=took[int(len(took) * 0.99)] * 1e3, bad=bad,
        wrong=wrong, looked=looked, cpu_us=used_s / max(1, requests) * 1e6,
    )  # fmt: skip


if __name__ == "__main__":
    told = measure(msgspec.json.decode(sys.argv[1], type=Order))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
