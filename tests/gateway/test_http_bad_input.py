"""Whatever a client sends: the right status, a message that helps, and a server that goes on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from gateway.scripted import Served, served
from gateway.wired import Wire, ask, request, row

BODY = row(1, 1)
MADE_ID = re.compile(r"[0-9a-f]{12}-http-[0-9a-f]{12}")
"""Of requests that came to no service."""
ROW_HEAD = "POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(body_s=5.0) as running:
        yield running


def tensors(**changed: object) -> dict[str, object]:
    x = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}
    n = {"name": "n", "shape": [1], "datatype": "INT64", "data": [2]}
    return {"inputs": [x, n], **changed}


def posted(*lines: str, body: str = "") -> bytes:
    return (ROW_HEAD + "".join(f"{line}\r\n" for line in lines) + "\r\n" + body).encode("latin-1")


CHUNKED = "Transfer-Encoding: chunked"
IN_CHUNKS = "2\r\n{}\r\n0\r\n\r\n"
NOT_HTTP = {
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 4, 400, "not HTTP/1.1"),
    "words": (b"hello, is anybody there?\r\n\r\n", 400, "not HTTP/1.1"),
    "another version": (b"GET /livez HTTP/7.5\r\nHost: here\r\n\r\n", 400, "not HTTP/1.1"),
    "an unknown method": (b"BREW /livez HTTP/1.1\r\nHost: here\r\n\r\n", 400, "not HTTP/1.1"),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400, "host is missing"),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host is there twice"),
    "two lengths": (posted("Content-Length: 3", "Content-Length: 5", body="{}   "), 400, ""),
    "one length twice": (posted("Content-Length: 2", "content-length: 2", body="{}"), 400, ""),
    "a length and chunks": (posted("Content-Length: 2", CHUNKED, body=IN_CHUNKS), 400, ""),
    "chunks and a length": (posted(CHUNKED, "Content-Length: 2", body=IN_CHUNKS), 400, ""),
    "a negative length": (posted("Content-Length: -2", body="{}"), 400, ""),
    "a signed length": (posted("Content-Length: +2", body="{}"), 400, ""),
    "a length in a list": (posted("Content-Length: 2, 2", body="{}"), 400, ""),
    "a length in hexadecimal": (posted("Content-Length: 0x2", body="{}"), 400, ""),
    "a length beyond numbers": (posted(f"Content-Length: {'9' * 40}", body="{}"), 400, ""),
    "another coding": (posted("Transfer-Encoding: gzip", body="{}"), 501, "chunked"),
    "a coding in disguise": (posted("Transfer-Encoding: xchunked", body="{}"), 501, ""),
    "chunks without a size": (posted(CHUNKED, body="zz\r\n{}\r\n"), 400, ""),
    "a chunk that goes on": (posted(CHUNKED, body="1\r\n{}\r\n0\r\n\r\n"), 400, ""),
    "chunks in HTTP/1.0": (
        b"POST /predict HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, ""
    ),
    "a space before a colon": (posted("Content-Length : 2", body="{}"), 400, ""),
    "a folded header": (posted("X-Odd: a", " b", "Content-Length: 2", body="{}"), 400, ""),
    "a NUL in a header": (posted("X-Odd: a\0b", "Content-Length: 2", body="{}"), 400, ""),
    "a lone carriage return": (posted("X-Odd: a\rX-Other: b", "Content-Length: 2"), 400, ""),
    "too many headers": (posted(*(f"X-{n}: a" for n in range(200))), 431, "more than 100"),
    "a large header": (posted(f"X-Odd: {'a' * 40_000}"), 431, "over 32768 bytes"),
    "a header without an end": (
        ROW_HEAD.encode() + b"X-Odd: " + b"a" * 1_000_000, 431, "over 32768"
    ),
    "a long path": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "8192 bytes"),
    "a path without an end": (b"GET /" + b"a" * 600_000, 414, "8192 bytes"),
    "a body over the limit": (posted("Content-Length: 5000000", body="[[["), 413, "over 4194304"),
    "an odd expectation": (posted("Expect: cake", "Content-Length: 2"), 417, "100-continue"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_is_no_request_is_refused_with_a_reason_and_the_connection_ends(
    server: Served, case: str
) -> None:
    sent, status, told = NOT_HTTP[case]
    with Wire(server.port) as wire:
        with contextlib.suppress(ConnectionError):  # it may hang up before everything is sent
            wire.send(sent)
        said = wire.read()
        assert (said.status, said.headers["connection"]) == (status, "close")
        assert said.error
        assert told in said.error
        assert MADE_ID.fullmatch(said.headers["x-request-id"])
        assert wire.closed()
    assert not server.service.seen, "it came through"


UNANSWERED = {
    "a body over the limit": (
        request("POST", "/predict", headers={"Content-Length": "5000000"}), 413
    ),
    "an odd expectation": (request("POST", "/predict", b"{}", {"Expect": "cake"}), 417),
    "nothing there": (request("GET", "/nowhere"), 404),
    "another method": (request("DELETE", "/predict"), 405),
    "no JSON": (request("POST", "/predict", b"{}", {"Content-Type": "text/csv"}), 415),
    "a head that says nonsense": (
        request("POST", "/predict", b"{}", {"X-Firedoor-Priority": "highest"}), 400
    ),
    "no tensors": (request("POST", "/v2/models/delays/infer", b"{}"), 400),
}  # fmt: skip


@pytest.mark.parametrize("case", UNANSWERED)
def test_every_error_says_which_request_it_is_of(server: Served, case: str) -> None:
    sent, status = UNANSWERED[case]
    told = []
    for asked in (b"", b"X-Request-Id: order 7/a\r\n", b"X-Request-Id: \xe4\xf6\r\n"):
        with Wire(server.port) as wire:
            wire.send(sent.replace(b"\r\n\r\n", b"\r\n" + asked + b"\r\n", 1))
            said = wire.read()
            assert said.status == status or b"\xe4" in asked
            told.append(said.headers["x-request-id"])
    assert told[1] == "order 7/a"
    assert MADE_ID.fullmatch(told[0])
    assert MADE_ID.fullmatch(told[2])
    assert told[0] != told[2]


def test_chunks_beyond_the_limit_are_refused_before_they_end(server: Served) -> None:
    with Wire(server.port) as wire:
        wire.send(posted(CHUNKED))
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        for _ in range(70):
            try:
                wire.send(chunk)
            except ConnectionError:
                break
        assert wire.read().status == 413
        assert wire.closed()


def test_a_body_shorter_than_its_length_never_comes_through(server: Served) -> None:
    with Wire(server.port) as wire:
        wire.send(request("POST", "/predict", BODY, {"Content-Length": str(len(BODY) + 1)}))
        wire.socket.shutdown(1)
        assert wire.closed()
    assert not server.service.seen


def test_bytes_beyond_a_length_are_no_second_request(server: Served) -> None:
    with Wire(server.port) as wire:
        wire.send(
            request("POST", "/predict", BODY + b"garbage", {"Content-Length": str(len(BODY))})
        )
        assert wire.read().status == 200
        assert wire.read().status == 400
        assert wire.closed()


def test_another_protocol_is_not_spoken_and_the_request_is_answered_all_the_same(
    server: Served,
) -> None:
    with Wire(server.port) as wire:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        wire.send(request("GET", "/livez", headers=upgrade) + b"\x81\x00")
        said = wire.read()
        assert (said.status, said.headers["connection"]) == (200, "close")
        assert wire.closed()


NOT_FOUND = {
    "/": "nothing at '/'",
    "/predict/late": "no service 'late' here: services: delays",
    "/v2/models/late/infer": "no service 'late'",
    "/v2/models/delays/versions/9": "no version '9' of delays here; there are: 3",
    "/v2/models/delays/versions/-1/infer": "a version is a number",
    "/v2/models/delays/versions/3/nope": "nothing at",
    "/v2/models/%2e%2e/passwd": "no service '..'",
    "/v2/models/d%0d%0aSet-Cookie:a/infer": "no service 'd\\r\\nSet-Cookie:a'",
    "//livez": "nothing at '//livez'",
    "http://[/livez": "nothing at 'http://[/livez'",
    "http://[x]:y/livez": "nothing at 'http://[x]:y/livez'",
    "*": "nothing at '*'",
}


@pytest.mark.parametrize("path", NOT_FOUND)
def test_what_is_not_there_is_named_and_what_is_there_is_listed(server: Served, path: str) -> None:
    said = ask(server.port, "GET", path)
    assert said.status == 404
    assert NOT_FOUND[path] in said.error


def test_an_unknown_version_is_refused_by_whoever_answers(server: Served) -> None:
    said = ask(server.port, "POST", "/v2/models/delays/versions/9/infer", b'{"inputs":[]}')
    assert (said.status, said.error) == (404, "there is no version 9")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/predict", "POST"),
        ("GET", "/v2/models/delays/infer", "POST"),
        ("POST", "/livez", "GET, HEAD"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
    ],
)
def test_another_method_is_refused_with_the_ones_that_are_taken(
    server: Served, method: str, path: str, allowed: str
) -> None:
    said = ask(server.port, method, path, BODY if method == "POST" else b"")
    assert (said.status, said.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/csv"},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_a_body_of_another_kind_is_refused_before_it_is_read(
    server: Served, headers: dict[str, str]
) -> None:
    assert ask(server.port, "POST", "/predict", BODY, headers).status == 415


BAD_HEADERS = {
    ("X-Firedoor-Timeout-S", "-1"): "not a number of seconds",
    ("X-Firedoor-Timeout-S", ""): "not a number of seconds",
    ("X-Firedoor-Priority", ""): "critical, default, batch, sheddable",
    ("X-Firedoor-Route", ""): "candidate nor champion",
    ("X-Firedoor-Timeout-S", "nan"): "not a number of seconds",
    ("X-Firedoor-Timeout-S", "inf"): "not a number of seconds",
    ("X-Firedoor-Timeout-S", "1_0"): "not a number of seconds",
    ("X-Firedoor-Timeout-S", "0"): "between 0 and 3600",
    ("X-Firedoor-Timeout-S", "1e9"): "between 0 and 3600",
    ("X-Firedoor-Priority", "urgent"): "critical, default, batch, sheddable",
    ("X-Firedoor-Route", "both"): "candidate nor champion",
    ("X-Request-Id", "a" * 201): "at most 200",
    ("X-Request-Id", "caf\xe9"): "printable ASCII",
    ("X-Firedoor-Key", "a" * 1_001): "at most 1000",
    ("X-Firedoor-Source", "a\tb"): "printable ASCII",
}


@pytest.mark.parametrize("header", BAD_HEADERS)
@pytest.mark.parametrize("path", ["/predict", "/v2/models/delays/infer"])
def test_a_header_that_cannot_be_is_refused_by_name(
    server: Served, path: str, header: tuple[str, str]
) -> None:
    name, value = header
    said = ask(server.port, "POST", path, BODY, {name: value})
    assert said.status == 400
    assert name in said.error
    assert BAD_HEADERS[header] in said.error
    assert not server.service.seen


BAD_TENSORS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "half": (b'{"inputs": [', "not JSON"),
    "not text": (b"\xff\xfe\x00", "not JSON"),
    "no object": (b"[1, 2]", "no inference request"),
    "no inputs": (b'{"id": "a"}', "missing required field `inputs`"),
    "inputs without a name": (b'{"inputs": [{"shape": [1]}]}', "`name`"),
    "NaN": (b'{"inputs": [{"name": "x", "data": [NaN]}]}', "not JSON"),
    "an id that is a number": (b'{"inputs": [], "id": 7}', "$.id"),
    "a negative timeout": (b'{"inputs": [], "parameters": {"timeout": -5}}', "parameters.timeout"),
    "an endless timeout": (
        b'{"inputs": [], "parameters": {"timeout": 9223372036854775807}}', "parameters.timeout"
    ),
    "a timeout in words": (b'{"inputs": [], "parameters": {"timeout": "1s"}}', "timeout"),
    "deeper than any tensor": (b'{"more":' + b"[" * 100_000, "the body is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_a_head_of_the_protocol_that_cannot_be_is_refused(server: Served, case: str) -> None:
    body, told = BAD_TENSORS[case]
    said = ask(server.port, "POST", "/v2/models/delays/infer", body)
    assert said.status == 400
    assert told in said.error
    assert not server.service.seen


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ("99999", "count them anew"),
        ("-1", "not a number"),
        ("", "not a number"),
        ("9" * 30, "not a number"),
        ("1", "JSON"),
    ],
)
def test_a_json_length_that_lies_is_refused(server: Served, size: str, told: str) -> None:
    headers = {"Inference-Header-Content-Length": size, "Content-Type": "application/octet-stream"}
    said = ask(server.port, "POST", "/v2/models/delays/infer", b'{"inputs": []}', headers)
    assert said.status == 400
    assert told in said.error


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"x": 1}', b'{"x": "a", "n": 1}', b'{"x": NaN, "n": 1}', b"[" * 50_000],
)
def test_rows_that_are_none_are_refused_by_whoever_reads_them(server: Served, body: bytes) -> None:
    said = ask(server.port, "POST", "/predict", body)
    assert said.status == 400
    assert said.error
    server.service.seen.clear()


BAD_LABELS = {
    b"{": "not JSON",
    b"7": "no label",
    b'{"prediction": "p-1"}': "missing required field `label`",
    b'{"prediction": "p-1", "label": "late"}': "label",
    b'{"prediction": "p-1", "label": 0, "reason": "x"}': "reason",
    b'{"prediction": "", "label": 0}': "not the id",
    b'{"prediction": "a\\r\\nb", "label": 0}': "not the id",
    b'{"prediction": "p-1", "label": 0, "row": -1}': "row",
    b'{"prediction": "p-1", "label": 1e999}': "",
    b'{"prediction": "p-1", "label": 1' + b"0" * 400 + b"}": "finite",
    b'{"prediction": "p-1", "label": 2}': "write 0 or 1",
    b"[" + b",".join([b'{"prediction": "p-1", "label": 0}'] * 10_001) + b"]": "more than 10000",
}


@pytest.mark.parametrize("body", BAD_LABELS, ids=range(len(BAD_LABELS)))
def test_a_label_that_is_none_is_refused(server: Served, body: bytes) -> None:
    said = ask(server.port, "POST", "/labels/delays", body)
    assert said.status == 400
    assert BAD_LABELS[body] in said.error


@pytest.fixture(autouse=True)
def goes_on(server: Served) -> Iterator[None]:
    """See that the server answers rightly after whatever came, and holds nothing of it."""
    server.service.seen.clear()
    yield
    said = ask(server.port, "POST", "/predict", row(2, 3))
    assert said.json["predictions"] == [{"score": 7.0}]
    assert server.call(lambda: (server.server.under_way, server.server.held_bytes)) == (0, 0)
