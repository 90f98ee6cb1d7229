"""Three real nats-servers on loopback that form a cluster, to be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.nats.world import ACK_WAIT_S, PIPELINE
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats.answers import StreamInfo, Streamlist
from firedoor.adapters.nats.configs import PAYLOAD_BYTES
from firedoor.adapters.nats.server import find_server
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.adapters.nats.users import users_config
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.testing.conformance.store import make_plan

NODES = 3
READY_S = 30.0
USERS = {None: "admin's", "intake": "intake's", "clean": "clean's", "store": "store's"}


PORTS = range(20_000, 32_000)
"""Below those that systems give to connections: nobody takes one while its server is away."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


class Node:
    """One server."""

    def __init__(self, folder: Path, name: str, port: int, config: str) -> None:
        self.name = name
        self.url = f"nats://127.0.0.1:{port}"
        self.log = folder / f"{name}.log"
        self._config = folder / f"{name}.conf"
        self._config.write_text(
            f"server_name: {json.dumps(name)}\n"
            f'listen: "127.0.0.1:{port}"\n'
            f"max_payload: {PAYLOAD_BYTES}\n"
            f"log_file: {json.dumps(str(self.log))}\n"
            f"jetstream {{ store_dir: {json.dumps(str(folder / name))}, sync_interval: always }}\n"
            f"{config}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._process = subprocess.Popen([str(find_server()), "-c", str(self._config)])

    def hang(self) -> None:
        """Have it do nothing, as a machine that swaps, until ``go_on``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self, *, kill: bool = True) -> None:
        """End it by kill -9, or kindly; return when it is gone."""
        ended, self._process = self._process, None
        if ended is not None:
            ended.kill() if kill else ended.terminate()
            ended.wait(10)


class Cluster:
    """The conformance suite's broker, three times over."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        *,
        nodes: int = NODES,
        write_s: float = 30.0,
        read_s: float = 15.0,
    ) -> None:
        ports = free_ports(2 * nodes)
        routes = ports[nodes:]
        users = users_config(plan, USERS, clustered=True)
        listed = json.dumps([f"nats://127.0.0.1:{port}" for port in routes])
        self.nodes = [
            Node(
                folder,
                f"n{number}",
                ports[number],
                f'cluster {{ name: "test", listen: "127.0.0.1:{routes[number]}", '
                f"routes: {listed} }}\n{users}",
            )
            for number in range(nodes)
        ]
        self._write_s, self._read_s = write_s, read_s

    @property
    def clock(self) -> Clock:
        return SystemClock()

    @property
    def ack_wait_s(self) -> float:
        return ACK_WAIT_S

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def start_all(self) -> None:
        for node in self.nodes:
            if not node.alive:
                node.start()
        asyncio.run(self.ready())

    def end_all(self, *, kill: bool = True) -> None:
        for node in self.nodes:
            node.end(kill=kill)

    def __enter__(self) -> Self:
        try:
            self.start_all()
        except BaseException:
            self.end_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_all()

    async def ready(self) -> None:
        """Return when the cluster has a leader, and each of its streams one."""
        streams = await self.connect()
        clock, link = self.clock, streams.link
        ends_s = clock.now_s() + READY_S
        while True:
            try:
                listed = await link.api("STREAM.LIST", {}, answer=Streamlist, patience_s=0.2)
            except StreamsUnavailable:
                assert clock.now_s() < ends_s, "the cluster has no leader"
                continue
            found = listed.streams or []
            if not listed.missing and all(i.cluster and i.cluster.leader for i in found):
                break
            assert clock.now_s() < ends_s, f"{listed.missing} have no leader"
            await clock.wait(0.05)
        await streams.close()

    # ---- as the conformance suite wants it

    async def open(self, plan: Plan) -> Streams:
        streams = await self.connect()
        await streams.declare(plan)
        return streams

    async def connect(
        self, zone: str | None = None, *, pipeline: str = PIPELINE, node: Node | None = None
    ) -> NatsStreams:
        """Return a client, connected to any server or to one of them."""
        return await connect(
            self.url if node is None else node.url,
            pipeline=pipeline,
            user="admin" if zone is None else f"zone-{zone}",
            password=USERS[zone],
            zone=zone,
            ack_wait_s=ACK_WAIT_S,
            write_s=self._write_s,
            read_s=self._read_s,
            open_s=READY_S,
        )

    async def restart(self, *, kill: bool) -> None:
        """End all of it, and start all of it."""
        self.end_all(kill=kill)
        await self.start()

    async def stop(self) -> None:
        self.end_all(kill=False)

    async def start(self) -> None:
        for node in self.nodes:
            node.start()
        await self.ready()

    # ---- who does what

    async def info(self, streams: NatsStreams, stream: str) -> StreamInfo:
        return await streams.link.api(f"STREAM.INFO.{stream}", answer=StreamInfo, patience_s=30.0)

    async def leader(self, streams: NatsStreams, stream: str) -> Node:
        """Return the server that leads a stream."""
        info = await self.info(streams, stream)
        assert info.cluster is not None
        (found,) = [node for node in self.nodes if node.name == info.cluster.leader]
        return found


def make_cluster(folder: Path, *, write_s: float = 30.0, read_s: float = 15.0) -> Cluster:
    """Return a cluster for the conformance suite's plan, to be started."""
    return Cluster(folder, make_plan(), write_s=write_s, read_s=read_s)
