"""A caller that asks at fixed times, whatever the answers do, and checks each value."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

LIMIT_S = 5.0
SPREAD = 12
"""Connections that rest at least, of a load."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> float:
        """The prediction of the first row."""
        told = json.loads(self.body)["predictions"][0]
        return float(told["minutes"] if isinstance(told, dict) else told)


class Connections:
    """Connections that are kept and used again, in turn; instead of one that was closed another.

    The kernel spreads them over the gateways that share a port: with many, each has some.
    """

    def __init__(self, port: int, *, spread: int = 0) -> None:
        self._port = port
        self._spread = spread
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self.closed = 0
        """Connections that were closed before anything was answered."""

    async def ask(
        self, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Ask once; once more if a connection was closed before anything was answered."""
        data = b"" if body is None else json.dumps(body).encode()
        verb = "GET" if body is None else "POST"
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = (
            f"{verb} {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        async with asyncio.timeout(LIMIT_S):
            while len(self._idle) > self._spread:
                reader, writer = self._idle.popleft()
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    return await self._once(reader, writer, head.encode() + data)
                self.closed += 1
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            return await self._once(reader, writer, head.encode() + data)

    async def _once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> Reply:
        writer.write(request)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return Reply(int(first.split()[1]), headers, body)

    def close(self) -> None:
        """Let go of all."""
        while self._idle:
            self._idle.popleft()[1].close()


@dataclass
class Load:
    """Requests at a fixed rate, each with its own value."""

    port: int
    rate: float
    biases: tuple[float, ...]
    """Of the versions that may answer: ``2 * x + bias``."""
    path: str = "/predict/predict"
    named: Mapping[str, float] = field(default_factory=dict)
    """The same, by the names of versions: an answer has to be that of the version it names."""
    labels: bool = False
    """Whether the truth is told of each answer, which is what the first version says."""
    variants: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    closed: int = 0
    """Connections that were closed before anything was answered, and asked again elsewhere."""
    began_s: dict[str, float] = field(default_factory=dict)
    """When the latest request was sent that a version answered, by its name."""
    _number: int = 0

    async def run(self, until: asyncio.Event) -> None:
        """Ask until the event is set."""
        connections, began_s = Connections(self.port, spread=SPREAD), time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not until.is_set():
                self._number += 1
                group.create_task(self.ask(connections, self._number))
                next_s = began_s + self._number / self.rate
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, next_s - time.monotonic())):
                        await until.wait()
        self.closed = connections.closed
        connections.close()

    @property
    def asked(self) -> int:
        return self._number

    async def ask(self, connections: Connections, number: int) -> None:
        x, began_s = float(number), time.monotonic()
        try:
            rows = [{"x": x, "who": f"n{number % 97}", "line": f"l{number % 5}"}]
            reply = await connections.ask(self.path, rows)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.failed.append(f"{number}: {type(error).__name__} {error}")
            return
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        if reply.status != 200:
            self.failed.append(f"{number}: {reply.status} {reply.body[:200]!r}")
            return
        degraded = reply.headers.get("x-firedoor-degraded", "")
        if degraded:
            self.degraded[degraded] += 1
        variant = reply.headers.get("x-firedoor-variant", "?")
        self.variants[variant] += 1
        self.began_s[variant] = max(began_s, self.began_s.get(variant, 0.0))
        wanted = [2 * x + bias for bias in self.biases]
        bias = reply.value - 2 * x
        right = bias in self.biases and self.named.get(variant, bias) == bias
        if not right and degraded != "constant":
            self.failed.append(f"{number}: {reply.value} by {variant} is none of {wanted}")
        if self.labels:
            await self._label(connections, reply, wanted[0])

    async def _label(self, connections: Connections, reply: Reply, truth: float) -> None:
        """Say what was true of an answer."""
        label = {"prediction": reply.headers["x-firedoor-prediction-id"], "label": truth}
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            await connections.ask("/labels/predict", label)


async def press(port: int, count: int, *, at_once: int, biases: tuple[float, ...]) -> Load:
    """Ask so many times, as fast as it goes; return what came of it."""
    load, connections = Load(port=port, rate=1.0, biases=biases), Connections(port)
    numbers = iter(range(1, count + 1))

    async def one_after_the_other() -> None:
        for number in numbers:
            await load.ask(connections, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_the_other())
    connections.close()
    return load
