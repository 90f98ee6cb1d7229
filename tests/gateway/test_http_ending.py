"""A server that ends without losing an answer, and servers that share a port."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from firedoor.gateway.http_leaving import let_nobody_in
from firedoor.gateway.http_server import bind, new_event_loop
from gateway.scripted import hold, score, served, until
from gateway.wired import Wire, ask, request, row

LOOPS = [new_event_loop, asyncio.new_event_loop]


def test_what_is_under_way_is_finished_at_the_end_and_nobody_else_gets_in() -> None:
    with served(drain_s=5.0) as server:
        release = hold(server)
        with Wire(server.port) as busy, Wire(server.port) as idle:
            idle.send(request("GET", "/readyz"))
            assert idle.read().status == 200
            busy.send(request("POST", "/predict", row(4, 4)))
            until(lambda: len(server.service.seen) == 1)
            server.call(server.ending.set)
            until(lambda: server.call(lambda: server.server.draining))
            idle.send(request("GET", "/readyz"))
            said = idle.read()
            assert (said.status, said.headers["connection"]) == (503, "close")
            assert "ending" in str(said.json["because"])
            with pytest.raises(ConnectionError):
                Wire(server.port)
            release()
            said = busy.read()
            assert (said.status, said.headers["connection"]) == (200, "close")
            assert score(said.json) == 12


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_who_was_let_in_at_the_last_moment_is_answered(loop_factory: Any) -> None:
    with served(loop_factory=loop_factory) as server:

        def connect_and_end() -> list[Wire]:
            wires = [Wire(server.port) for _ in range(20)]
            for number, wire in enumerate(wires):
                wire.send(request("POST", "/predict", row(number, 0)))
            server.ending.set()
            return wires

        for number, wire in enumerate(server.call(connect_and_end)):
            with wire:
                assert score(wire.read().json) == 2 * number


def test_the_end_does_not_wait_for_ever() -> None:
    with served(drain_s=0.3) as server:
        hold(server)
        with Wire(server.port) as wire:
            wire.send(request("POST", "/predict", row(4, 4)))
            until(lambda: len(server.service.seen) == 1)
            began_s = time.monotonic()
            server.call(server.ending.set)
            assert wire.closed()
            assert time.monotonic() - began_s < 3


def test_no_request_of_a_busy_client_is_lost_while_a_server_ends() -> None:
    answered: list[float] = []
    wrong: list[str] = []
    with served(drain_s=5.0) as server:

        def ask_on(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.connect()
            for n in range(100_000):
                connection.request("POST", "/predict", row(number, n), {"Content-Type": "a+json"})
                got = connection.getresponse()
                body = got.read()
                if got.status != 200 or f'"score":{float(2 * number + n)}'.encode() not in body:
                    wrong.append(f"{got.status} {body!r}")
                answered.append(n)
                if got.getheader("connection") == "close":
                    return

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask_on, number) for number in range(4)]
            until(lambda: len(answered) > 200)
            server.call(server.ending.set)
            for each in asking:
                each.result(10)
    assert not wrong


@contextlib.contextmanager
def another(port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve in a process of its own, and end it gracefully unless it was killed."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.scripted", str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            yield server, int(server.stdout.readline())
            server.communicate(timeout=10)
        finally:
            server.kill()


def test_two_servers_share_a_port_and_one_may_die() -> None:
    with another(0) as (first, port), another(port) as (second, shared):
        assert shared == port
        scores = [score(ask(port, "POST", "/predict", row(n, 0)).json) for n in range(40)]
        assert scores == [2 * n for n in range(40)]
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        assert [ask(port, "POST", "/predict", row(1, 0)).status for _ in range(20)] == [200] * 20
    assert second.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filters of packets")
def test_a_socket_that_leaves_keeps_whom_it_has_let_in_and_overlooks_who_comes() -> None:
    with bind("127.0.0.1", 0) as opened:
        opened.listen(8)
        opened.settimeout(2)
        port = opened.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 2) as before, socket.socket() as after:
            assert let_nobody_in(opened)
            after.settimeout(0.2)
            with pytest.raises(TimeoutError):
                after.connect(("127.0.0.1", port))
            before.sendall(b"still here")
            taken, _ = opened.accept()
            with taken:
                taken.settimeout(2)
                assert taken.recv(100) == b"still here"
            opened.settimeout(0)
            with pytest.raises(BlockingIOError):
                opened.accept()


def replaced(times: int) -> int:
    """End one of two servers so many times while clients connect anew for each request."""
    answered: list[int] = []
    over = threading.Event()

    def ask_on(port: int, number: int) -> None:
        for n in range(10**9):
            said = ask(port, "POST", "/predict", row(number, n), {"Connection": "close"})
            assert score(said.json) == 2 * number + n
            answered.append(n)
            if over.is_set():
                return

    with another(0) as (_, port), ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask_on, port, number) for number in range(4)]
        try:
            for _ in range(times):
                with another(port):
                    seen = len(answered)
                    until(lambda seen=seen: len(answered) > seen + 100)  # type: ignore[misc]
        finally:
            over.set()
        for each in asking:
            each.result(10)
    return len(answered)


def test_no_connection_is_lost_while_one_of_two_servers_ends() -> None:
    assert replaced(2) > 200


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_no_connection_is_lost_while_one_of_two_servers_ends_a_hundred_times() -> None:
    assert replaced(100) > 10_000
