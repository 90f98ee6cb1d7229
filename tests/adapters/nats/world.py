"""A real nats-server under test."""

from __future__ import annotations

import os
import signal

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats.server import LocalServer
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

ACK_WAIT_S = 1.5
PIPELINE = "conformance"


class NatsStore:
    """The conformance suite's broker: a real server, ended for real."""

    def __init__(self, server: LocalServer, *, write_s: float = 15.0, read_s: float = 5.0) -> None:
        self.server = server
        self._write_s, self._read_s = write_s, read_s

    @property
    def clock(self) -> Clock:
        return SystemClock()

    @property
    def ack_wait_s(self) -> float:
        return ACK_WAIT_S

    async def open(self, plan: Plan) -> Streams:
        streams = await self.connect()
        await streams.declare(plan)
        return streams

    async def connect(self, zone: str | None = None) -> NatsStreams:
        endpoint = self.server.endpoint(zone)
        return await connect(
            endpoint.url,
            pipeline=PIPELINE,
            user=endpoint.user,
            password=endpoint.password,
            zone=zone,
            ack_wait_s=ACK_WAIT_S,
            write_s=self._write_s,
            read_s=self._read_s,
        )

    async def restart(self, *, kill: bool) -> None:
        if kill:
            kill_server(self.server)
        self.server.restart()

    async def stop(self) -> None:
        self.server._end()

    async def start(self) -> None:
        self.server.restart()


def kill_server(server: LocalServer) -> None:
    """End nats-server by kill -9; return when its guard noticed."""
    assert server._guard is not None
    os.kill(server.pid, signal.SIGKILL)
    server._guard.wait(10)
