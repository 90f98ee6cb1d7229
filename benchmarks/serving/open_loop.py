"""Clients that send at a steady rate however slowly answers come, and check every value."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.servers import post, rows_of

CONNECTIONS_MAX = 512
GIVEN_UP_S = 5.0
OFF_MAX = 1e-6
NAMES = {"1": "first", "2": "stable", "3": "canary"}
"""Models by the version that holds them."""
OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as its client saw it."""

    number: int
    """Of the row."""
    sent_s: float
    took_s: float
    status: int
    """0: the connection broke, or nothing came."""
    arm: str = ""
    version: str = ""
    degraded: str = ""
    value: float = math.nan
    right: bool = False
    """Whether the value is what the version that it names says of that very row."""


@dataclass(slots=True)
class Clients:
    """Connections, and what they saw."""

    port: int
    models: Path
    seen: list[Seen] = field(default_factory=list)
    _free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    _open: int = 0
    _told: dict[str, list[float]] = field(default_factory=dict)
    _requests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the requests."""
        rows, self._told = rows_of(self.models)
        self._requests = [post("/predict", json.dumps(row)) for row in rows]

    async def send(self, rate: float, until: asyncio.Event, numbers: Sequence[int] = ()) -> None:
        """Send rows in turn until asked to stop; returns when all are answered."""
        loop = asyncio.get_running_loop()
        chosen = numbers or range(len(self._requests))
        async with asyncio.TaskGroup() as group:
            began_s, sent = loop.time(), 0
            while not until.is_set():
                wait_s = began_s + sent / rate - loop.time()
                if wait_s > 0:
                    try:
                        async with asyncio.timeout(wait_s):
                            await until.wait()
                    except TimeoutError:
                        pass
                    continue
                group.create_task(self._one(chosen[sent % len(chosen)]))
                sent += 1

    async def _one(self, number: int) -> None:
        """Send one row, and keep what came."""
        sent_s = time.monotonic()
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                status, headers, body = await self._exchange(self._requests[number])
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            took_s = time.monotonic() - sent_s
            self.seen.append(Seen(number=number, sent_s=sent_s, took_s=took_s, status=0))
            return
        took_s = time.monotonic() - sent_s
        value, version = math.nan, headers.get("x-firedoor-model-version", "")
        right = False
        if status == OK:
            value = float(json.loads(body)["predictions"][0]["chance"])
            name = NAMES.get(version, "")
            right = bool(name) and abs(self._told[name][number] - value) <= OFF_MAX
        self.seen.append(
            Seen(
                number=number, sent_s=sent_s, took_s=took_s, status=status, version=version,
                arm=headers.get("x-firedoor-arm", ""),
                degraded=headers.get("x-firedoor-degraded", ""), value=value, right=right,
            )
        )  # fmt: skip

    async def _exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send over a connection that is free, and return status, headers and body."""
        reader, writer = await self._connection()
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            self._open -= 1
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
            self._open -= 1
        else:
            self._free.append((reader, writer))
        return int(head[0].split()[1]), headers, body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection that nobody uses."""
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            self._open -= 1
        if self._open >= CONNECTIONS_MAX:
            raise ConnectionError
        self._open += 1
        return await asyncio.open_connection("127.0.0.1", self.port)
