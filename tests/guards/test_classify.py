"""Exceptions of clients that are not imported, known by what they carry."""

from __future__ import annotations

import email.utils
import errno
import json
import urllib.error
from email.message import Message

import httpx
import pytest

from firedoor import errors
from firedoor.guards.classify import ErrorClass, classify, classify_status, retry_after_s


def http(status: int, headers: dict[str, str] | None = None) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://features.test/")
    response = httpx.Response(status, headers=headers, request=request)
    return httpx.HTTPStatusError("bad", request=request, response=response)


def foreign(module: str, name: str, **fields: object) -> BaseException:
    """Return an exception of a client that is not installed here."""
    kind: type[Exception] = type(name, (Exception,), {"__module__": module, **fields})
    return kind()


def botocore(status: int) -> BaseException:
    return foreign(
        "botocore.exceptions", "ClientError",
        response={"ResponseMetadata": {"HTTPStatusCode": status}},
    )  # fmt: skip


class Code:
    name = "UNAVAILABLE"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), "transient"),
        (BrokenPipeError(), "transient"),
        (TimeoutError(), "timeout"),
        (OSError(errno.EMFILE, "too many"), "overload"),
        (OSError(errno.EHOSTUNREACH, "no route"), "transient"),
        (FileNotFoundError(), "permanent"),
        (PermissionError(), "permanent"),
        (MemoryError(), "overload"),
        (ValueError(), "data"),
        (KeyError(), "data"),
        (TypeError(), "data"),
        (json.JSONDecodeError("x", "", 0), "data"),
        (ZeroDivisionError(), "data"),
        (RuntimeError(), "transient"),
        (Exception(), "transient"),
        (httpx.ConnectError("refused"), "transient"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.PoolTimeout("full"), "timeout"),
        (httpx.RemoteProtocolError("cut"), "transient"),
        (httpx.UnsupportedProtocol("gopher"), "data"),
        (httpx.InvalidURL("no"), "data"),
        (http(500), "transient"),
        (http(503), "overload"),
        (http(429), "overload"),
        (http(504), "timeout"),
        (http(404), "permanent"),
        (http(501), "permanent"),
        (foreign("requests.exceptions", "ConnectionError"), "transient"),
        (foreign("requests.exceptions", "Timeout"), "timeout"),
        (foreign("requests.exceptions", "MissingSchema"), "data"),
        (foreign("requests.exceptions", "HTTPError", response=httpx.Response(503)), "overload"),
        (foreign("aiohttp.client_exceptions", "ClientResponseError", status=429), "overload"),
        (foreign("aiohttp.client_exceptions", "ServerTimeoutError"), "timeout"),
        (foreign("grpc._channel", "_Rendezvous", code=lambda _: Code), "transient"),
        (foreign("grpc._channel", "_Rendezvous", code=lambda _: None), "permanent"),
        (botocore(503), "overload"),
        (botocore(400), "permanent"),
        (foreign("botocore.exceptions", "ClientError", response={}), "transient"),
        (urllib.error.HTTPError("http://x", 503, "busy", Message(), None), "overload"),
        (urllib.error.URLError("down"), "transient"),
        (errors.GuardOpen("inner", 1.0), "permanent"),
        (errors.StreamFull("full"), "overload"),
        (errors.DeadlineExceeded("x", 1.0), "timeout"),
        (errors.DependencyDown("away"), "transient"),
        (errors.StepUnloadable("no"), "data"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__} {value}"[:40],
)
def test_an_exception_is_of_its_class(error: BaseException, kind: ErrorClass) -> None:
    assert classify(error) == kind


def test_a_status_below_400_is_no_error() -> None:
    assert [classify_status(s) for s in (200, 304, 400, 418, 529)] == [
        None, None, "permanent", "permanent", "overload",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("86400", 300.0), ("soon", None), ("nan", None),
     (email.utils.formatdate(1_000_030, usegmt=True), 30.0)],
)  # fmt: skip
def test_what_the_dependency_asks_for_is_understood_and_bounded(
    header: str, seconds: float | None
) -> None:
    assert retry_after_s(http(503, {"Retry-After": header}), utc_s=1_000_000.0) == seconds


def test_a_date_is_not_guessed_at_without_a_clock() -> None:
    date = email.utils.formatdate(1_000_030, usegmt=True)
    assert retry_after_s(http(503, {"Retry-After": date})) is None


def test_exceptions_that_carry_nothing_ask_for_nothing() -> None:
    assert retry_after_s(Exception()) is None
    assert retry_after_s(http(503)) is None
    assert retry_after_s(errors.GuardOpen("x", 2.0)) == 2.0
    assert retry_after_s(foreign("x", "E", retry_after_s=True)) is None
    assert retry_after_s(foreign("x", "E", headers={"Retry-After": "4"})) == 4.0
