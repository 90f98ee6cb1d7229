"""A server that its clients cannot hold, and that ends without losing an answer."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from firedoor.gateway.http_message import HttpLimits
from firedoor.gateway.http_server import bind, new_event_loop
from gateway.scripted import Scripted, hold, score, served, until
from gateway.wired import Wire, ask, request, row

TENSORS = (
    b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]},'
    b'{"name":"n","shape":[1],"datatype":"INT64","data":[2]}]}'
)
LOOPS = [new_event_loop, asyncio.new_event_loop]


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_one_connection_serves_many_requests(loop_factory: Any) -> None:
    with served(loop_factory=loop_factory) as server, Wire(server.port) as wire:
        for number in range(20):
            wire.send(request("POST", "/predict", row(number, 1)))
            said = wire.read()
            assert (said.status, said.headers["connection"]) == (200, "keep-alive")
            assert score(said.json) == 2 * number + 1


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_requests_sent_ahead_are_answered_in_their_order(loop_factory: Any) -> None:
    with served(loop_factory=loop_factory) as server, Wire(server.port) as wire:
        bodies = [row(number, 7) for number in range(40)]
        wire.send(b"".join(request("POST", "/predict", body) for body in bodies))
        assert [score(wire.read().json) for _ in bodies] == [2 * n + 7 for n in range(40)]


def test_requests_come_through_however_they_are_cut() -> None:
    sent = request("POST", "/predict", row(5, 1)) + request("GET", "/livez")
    with served() as server, Wire(server.port) as wire:
        for byte in sent:
            wire.send(bytes([byte]))
        assert score(wire.read().json) == 11
        assert wire.read().json == {"live": True, "gateway": "g1"}


def test_a_body_in_chunks_is_one_body() -> None:
    with served() as server, Wire(server.port) as wire:
        head = "POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = [row(3, 4)[at : at + 3] for at in range(0, 20, 3)]
        chunks = b"".join(b"%x;odd=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
        wire.send(head.encode() + chunks + b"0\r\nX-After: 1\r\n\r\n")
        assert score(wire.read().json) == 10


def test_head_says_what_get_would_and_sends_no_body() -> None:
    with served() as server, Wire(server.port) as wire:
        wire.send(request("HEAD", "/v2/models/delays") + request("GET", "/v2/models/delays"))
        bare = wire.read(bare=True)
        full = wire.read()
        assert (bare.status, bare.headers["content-length"]) == (200, str(len(full.body)))


def test_a_client_that_asks_first_is_told_to_go_on_or_refused_before_it_sends() -> None:
    with served() as server:
        with Wire(server.port) as wire:
            sent = request("POST", "/predict", row(1, 1), {"Expect": "100-continue"})
            at = sent.index(b"\r\n\r\n") + 4
            wire.send(sent[:at])
            assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.send(sent[at:])
            assert wire.read().status == 200
        with Wire(server.port) as wire:
            wire.send(
                request("POST", "/nope", b"", {"Expect": "100-continue", "Content-Length": "9"})
            )
            assert wire.read().status == 404
            assert wire.closed()


def test_http_1_0_is_answered_and_closed() -> None:
    with served() as server, Wire(server.port) as wire:
        wire.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert wire.read().headers["connection"] == "close"
        assert wire.closed()


def test_what_an_answer_says_cannot_begin_a_header() -> None:
    with served() as server:
        odd = "a\r\nSet-Cookie: b"
        server.service.reply = lambda asked: server.service.arithmetic(asked)._replace(
            id=odd, model=odd, version="3", degraded=odd, features=odd, prediction=odd
        )
        said = ask(server.port, "POST", "/predict", row(1, 1))
        assert said.status == 200
        assert "set-cookie" not in said.headers
        assert said.headers["x-request-id"] == "a%0D%0ASet-Cookie: b"
        assert said.json["id"] == odd


# ------------------------------------------------------------------------------ slow clients


@pytest.mark.parametrize("sent", [b"GET /li", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: "])
def test_a_head_that_trickles_is_cut_with_408(sent: bytes) -> None:
    with served(body_s=0.2) as server, Wire(server.port) as wire:
        wire.send(sent)
        said = wire.read()
        assert (said.status, said.headers["connection"]) == (408, "close")
        assert said.headers["x-request-id"]
        assert "within 0.2 s" in said.error
        assert wire.closed()


def test_a_body_that_trickles_is_cut_however_often_a_byte_comes() -> None:
    with served(body_s=0.3) as server, Wire(server.port) as wire:
        sent = request("POST", "/predict", b" " * 1_000)
        wire.send(sent[:-900])
        began_s = time.monotonic()
        tick = threading.Event()
        try:
            while time.monotonic() - began_s < 5:
                wire.send(b" ")
                tick.wait(0.02)
        except ConnectionError:
            pass
        assert time.monotonic() - began_s < 4, "a byte now and then held it"


def test_a_body_that_is_late_is_refused_under_the_callers_id() -> None:
    with served(body_s=0.2) as server, Wire(server.port) as wire:
        wire.send(request("POST", "/predict", row(1, 1), {"X-Request-Id": "order 7"})[:-3])
        said = wire.read()
        assert (said.status, said.headers["x-request-id"]) == (408, "order 7")


def test_a_head_behind_an_answer_has_its_time_as_well() -> None:
    with served(body_s=0.2) as server, Wire(server.port) as wire:
        wire.send(request("GET", "/livez") + b"GET /live")
        assert wire.read().status == 200
        assert wire.read().status == 408


def test_a_connection_without_a_request_is_closed_in_time() -> None:
    with served(idle_s=0.2) as server, Wire(server.port) as wire:
        assert wire.closed()


def test_hundreds_of_slow_clients_do_not_keep_others_waiting() -> None:
    with served(body_s=30.0, concurrency=5) as server:
        slow = [Wire(server.port) for _ in range(300)]
        for wire in slow:
            wire.send(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        began_s = time.monotonic()
        assert score(ask(server.port, "POST", "/predict", row(1, 2)).json) == 4
        assert time.monotonic() - began_s < 2
        for wire in slow:
            wire.socket.close()
        until(lambda: server.call(lambda: server.server.held_bytes) == 0)


def test_a_client_that_does_not_read_is_cut_and_holds_little() -> None:
    with served(body_s=0.5) as server:
        big = b"[" + b"0," * 500_000 + b"0]"
        server.service.reply = lambda asked: server.service.arithmetic(asked)._replace(fragment=big)
        with Wire(server.port, buffer_bytes=4_096) as wire:
            wire.send(request("POST", "/predict", row(1, 1)) * 30)
            until(lambda: server.call(lambda: not server.server.connections))
        assert len(server.service.seen) < 30, "it was answered on and on"


# ------------------------------------------------------------------------------ room


def test_more_connections_than_allowed_are_told_so_and_health_still_answers() -> None:
    with served(connections=3) as server:
        held = [Wire(server.port) for _ in range(3)]
        until(lambda: server.call(lambda: len(server.server.connections)) == 3)
        said = ask(server.port, "POST", "/predict", row(1, 1))
        assert (said.status, said.headers["retry-after"]) == (503, "1")
        assert "3 connections already" in said.error
        assert ask(server.port, "GET", "/livez").status == 200
        held.pop().socket.close()
        until(lambda: server.call(lambda: len(server.server.connections)) < 3)
        assert ask(server.port, "POST", "/predict", row(1, 1)).status == 200
        for wire in held:
            wire.socket.close()


def test_connections_far_beyond_the_limit_are_cut_at_once() -> None:
    with served(connections=1) as server:
        wires = [Wire(server.port) for _ in range(100)]
        until(lambda: server.call(lambda: len(server.server.connections)) <= 65)
        for wire in wires:
            wire.socket.close()


def test_more_requests_than_allowed_at_once_are_refused_and_the_rest_answered() -> None:
    with served(concurrency=2) as server:
        release = hold(server)
        with Wire(server.port) as one, Wire(server.port) as two:
            one.send(request("POST", "/predict", row(1, 1)))
            two.send(request("POST", "/predict", row(2, 1)))
            until(lambda: len(server.service.seen) == 2)
            said = ask(server.port, "POST", "/predict", row(3, 1))
            assert (said.status, said.headers["retry-after"]) == (503, "1")
            assert "2 requests are under way" in said.error
            assert ask(server.port, "GET", "/metrics").status == 200
            release()
            assert [score(wire.read().json) for wire in (one, two)] == [3, 5]
        assert ask(server.port, "POST", "/predict", row(3, 1)).status == 200


def test_too_many_requests_sent_ahead_are_refused_after_those_before_them() -> None:
    with served(pipelined=4) as server:
        release = hold(server)
        with Wire(server.port) as wire:
            wire.send(b"".join(request("POST", "/predict", row(n, 0)) for n in range(50)))
            until(lambda: len(server.service.seen) == 1)
            release()
            statuses = [wire.read() for _ in range(6)]
            assert [said.status for said in statuses] == [200] * 5 + [503]
            assert [score(said.json) for said in statuses[:5]] == [0, 2, 4, 6, 8]
            assert wire.closed()


def test_bodies_that_arrive_together_share_a_bounded_room() -> None:
    with served(arriving_bytes=300_000, body_bytes=200_000) as server:
        part = request("POST", "/predict", b" " * 199_000)[:-1]
        with Wire(server.port) as first, Wire(server.port) as second:
            first.send(part)
            until(lambda: server.call(lambda: server.server.held_bytes) > 190_000)
            second.send(part)
            said = second.read()
            assert (said.status, said.headers["retry-after"]) == (503, "1")
            first.send(b" ")
            assert first.read().status == 400
        until(lambda: server.call(lambda: server.server.held_bytes) == 0)


# ------------------------------------------------------------------------------ hanging up


def test_whoever_hangs_up_has_his_request_cancelled() -> None:
    with served() as server:
        release = hold(server)
        with Wire(server.port) as wire:
            wire.send(request("POST", "/predict", row(1, 1)) * 3)
            until(lambda: len(server.service.seen) == 1)
        until(lambda: server.service.cancelled == 1)
        until(lambda: server.call(lambda: server.server.under_way) == 0)
        release()
        assert server.call(lambda: server.server.held_bytes) == 0


def test_a_request_that_took_its_time_is_judged_by_the_room_there_is_when_it_has_come() -> None:
    with served(concurrency=1) as server:
        release = hold(server)
        with Wire(server.port) as slow, Wire(server.port) as quick:
            sent = request("POST", "/predict", row(1, 1))
            slow.send(sent[:-1])
            until(lambda: server.call(lambda: server.server.held_bytes) > 0)
            quick.send(request("POST", "/predict", row(2, 2)))
            until(lambda: len(server.service.seen) == 1)
            slow.send(sent[-1:])
            said = slow.read()
            assert (said.status, said.headers["connection"]) == (503, "keep-alive")
            release()
            assert score(quick.read().json) == 6
            slow.send(sent)
            assert slow.read().status == 200


def test_what_cannot_be_sent_costs_one_connection() -> None:
    with served() as server:
        server.service.reply = lambda asked: server.service.arithmetic(asked)._replace(status=299)
        assert ask(server.port, "POST", "/predict", row(1, 1)).status == 500
        odd: Any = "no bytes"
        server.service.reply = lambda asked: server.service.arithmetic(asked)._replace(tail=odd)
        assert ask(server.port, "POST", "/v2/models/delays/infer", TENSORS).status == 500
        server.service.reply = None
        assert ask(server.port, "POST", "/predict", row(1, 1)).status == 200
        assert server.failures
        server.failures.clear()


def test_a_fault_of_ours_costs_one_request() -> None:
    with served() as server:

        def fails(_: object) -> Any:
            message = "a mistake in the gateway"
            raise RuntimeError(message)

        server.service.reply = fails
        said = ask(server.port, "POST", "/predict", row(1, 1), {"X-Request-Id": "order 7"})
        assert (said.status, said.headers["x-request-id"]) == (500, "order 7")
        assert "mistake" not in said.error
        server.service.reply = None
        assert ask(server.port, "POST", "/predict", row(1, 1)).status == 200
        assert [str(error) for error in server.failures] == ["a mistake in the gateway"]
        server.failures.clear()


def test_a_port_that_somebody_has_is_refused_where_it_is_to_be_ours_alone() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with bind("127.0.0.1", port):
            pass
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", port, shared=False)


def test_a_service_that_is_full_keeps_no_other_from_room() -> None:
    small, large = Scripted("small"), Scripted("large")
    small.limits = type(small.limits)(concurrency=1)
    limits = HttpLimits.of([small.limits, large.limits])
    assert limits.concurrency == large.limits.concurrency + 1
    with served([small, large]) as server:
        release = hold(server)
        with Wire(server.port) as wire:
            wire.send(request("POST", "/predict/small", row(1, 1)))
            until(lambda: len(small.seen) == 1)
            said = ask(server.port, "POST", "/predict/small", row(2, 2))
            assert (said.status, said.headers["retry-after"]) == (503, "1")
            assert "1 requests for small" in said.error
            assert ask(server.port, "POST", "/predict/large", row(2, 2)).status == 200
            release()
            assert wire.read().status == 200


def test_services_behind_one_server_have_limits_of_their_own() -> None:
    small, large = Scripted("small"), Scripted("large")
    small.limits = type(small.limits)(body_bytes=100)
    with served([small, large], body_bytes=10_000) as server:
        body = row(1, 1).ljust(500)
        assert ask(server.port, "POST", "/predict/small", body).status == 413
        assert ask(server.port, "POST", "/predict/large", body).status == 200
        chunked = b"POST /predict/small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 10) as client:
            client.sendall(chunked + b"200\r\n" + b" " * 512 + b"\r\n0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 413")
