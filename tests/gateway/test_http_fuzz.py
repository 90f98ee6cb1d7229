"""Requests drawn from a seed, damaged in a few places: the server answers or closes, and goes on.

Each round also sends one sound request on a connection of its own, with a value of its own, and
checks the answer: whatever the others did, nobody is given somebody else's.
"""

from __future__ import annotations

import random
import re
import socket
from collections import Counter

import psutil
import pytest

from gateway.scripted import Reading, Served, served
from gateway.wired import Wire, ask, request, row

TENSORS = (
    b'{"id":"a","inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]},'
    b'{"name":"n","shape":[1],"datatype":"INT64","data":[2]}],"parameters":{"timeout":1000}}'
)
CHUNKED = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'f\r\n{"x":1.5,"n":2}\r\n0\r\n\r\n'
)
SOUND = (
    request("POST", "/predict", row(1, 1)),
    request("POST", "/v2/models/delays/infer", TENSORS),
    request("POST", "/v2/models/delays/versions/3/infer", TENSORS),
    request("POST", "/v2/models/delays/infer", TENSORS + b"\0" * 8,
            {"Inference-Header-Content-Length": str(len(TENSORS))}),
    request("POST", "/labels", b'[{"prediction":"p-1","label":0}]'),
    request("GET", "/v2/models/delays"),
    request("HEAD", "/readyz"),
    request("GET", "/metrics"),
    request("POST", "/predict", row(2, 2), {"Expect": "100-continue", "X-Firedoor-Timeout-S": "1"}),
    CHUNKED,
)  # fmt: skip
ODD = (
    b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"\xff", b"%", b"{", b"[", b'"', b"-1",
    b"1e999", b"0\r\n\r\n", b"HTTP/1.1", b"../", b"NaN", b"9" * 20, b"a" * 5_000, b"[" * 2_000,
)  # fmt: skip
LINES = (
    b"Content-Length: 7", b"Content-Length: 99999999", b"Transfer-Encoding: chunked", b"Host: b",
    b"Connection: close", b"Expect: 100-continue", b"Upgrade: h2c", b"X-Long: " + b"a" * 40_000,
    b"Inference-Header-Content-Length: 3", b"X-Firedoor-Timeout-S: -1", b"Content-Type: text/csv",
)  # fmt: skip
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
ALLOWED = {100, 200, 400, 404, 405, 408, 413, 414, 415, 417, 431, 501, 503}


def damaged(chance: random.Random) -> bytes:
    """Return a few requests with a few faults."""
    sent = bytearray(b"".join(chance.choices(SOUND, k=chance.randint(1, 3))))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(sent) + 1)
        match chance.randrange(6):
            case 0:
                sent[at : at + chance.randint(1, 40)] = b""
            case 1:
                sent[at:at] = chance.choice(ODD)
            case 2:
                sent[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                sent[at:at] = sent[at : at + chance.randint(1, 60)]
            case 4:
                at = sent.find(b"\r\n", at)
                sent[at:at] = b"\r\n" + chance.choice(LINES) if at > 0 else b""
            case _:
                del sent[at:]
    return bytes(sent)


def said_to(server: Served, chance: random.Random) -> set[int]:
    """Send damaged requests in pieces, and return what was said."""
    with Wire(server.port) as wire:
        sent = damaged(chance)
        cut = chance.randrange(len(sent) + 1)
        hangs_up = chance.random() < 0.2
        got = b""
        try:
            for piece in (sent[:cut], sent[cut:]):
                wire.send(piece)
            if hangs_up:
                return set()  # whoever hangs up without reading is told nothing
            wire.socket.shutdown(socket.SHUT_WR)
            while piece := wire.more():
                got += piece
        except (ConnectionError, OSError):
            pass
    return {int(status) for status in STATUS.findall(got)}


def fuzz(server: Served, seed: int, rounds: int) -> Counter[int]:
    """Return how often each status was said to damaged requests."""
    chance = random.Random(seed)
    statuses: Counter[int] = Counter()
    for number in range(rounds):
        said_here = said_to(server, chance)
        statuses.update(said_here)
        assert said_here <= ALLOWED, f"{said_here - ALLOWED} in round {number} of seed {seed}"
        x, n = chance.randint(-1_000, 1_000), chance.randint(-1_000, 1_000)
        said = ask(server.port, "POST", "/predict", row(x, n), {"X-Request-Id": f"r-{number}"})
        assert said.json["predictions"] == [{"score": 2.0 * x + n}], f"round {number} of {seed}"
        assert said.headers["x-request-id"] == f"r-{number}"
    assert server.call(lambda: (server.server.under_way, server.server.held_bytes)) == (0, 0)
    return statuses


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


def test_damaged_requests_never_end_it_or_mix_answers() -> None:
    with served([Reading()], body_s=0.5) as server:
        statuses = fuzz(server, 1, 8_000)
    assert {200, 400, 404, 413, 415, 417, 431, 501} <= statuses.keys(), (
        "the damage is too small to be a test"
    )


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(2, 6))
def test_damaged_requests_for_long_leave_no_memory_behind(seed: int) -> None:
    with served([Reading()], body_s=0.5) as server:
        fuzz(server, seed, 20_000)
        before = rss()
        fuzz(server, seed + 100, 150_000)
        assert rss() - before < 30 * 2**20


def distinct(server: Served, many: int) -> int:
    """Ask with so many ids, keys and paths, and return by how much memory has grown."""

    def said(at: int) -> None:
        name = f"a-{at:09d}"
        headers = {"X-Request-Id": name, "X-Firedoor-Key": name, "X-Firedoor-Source": name}
        wire.send(request("POST", f"/predict?{name}", row(at, 0), headers))
        wire.send(request("GET", f"/v2/models/{name}/ready"))
        assert wire.read().json["id"] == name
        assert wire.read().status == 404

    with Wire(server.port) as wire:
        for at in range(5_000):
            said(at)
        before = rss()
        for at in range(5_000, 5_000 + many):
            said(at)
        return rss() - before


def test_many_distinct_ids_leave_no_memory_behind() -> None:
    with served() as server:
        assert distinct(server, 6_000) < 4 * 2**20


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_million_distinct_ids_leave_no_memory_behind() -> None:
    with served() as server:
        assert distinct(server, 1_000_000) < 8 * 2**20


def test_giant_bodies_cost_no_more_than_their_limit() -> None:
    with served(body_bytes=2**20) as server:
        server.service.limits = type(server.service.limits)(body_bytes=2**20)
        before = rss()
        for _ in range(5):
            with Wire(server.port) as wire:
                wire.send(CHUNKED[: CHUNKED.index(b"f\r\n{")])
                try:
                    for _ in range(100):
                        wire.send(b"40000\r\n" + b" " * 0x40000 + b"\r\n")
                except ConnectionError:
                    pass
                assert wire.read().status == 413
        assert rss() - before < 16 * 2**20
