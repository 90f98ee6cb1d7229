"""Every status, code, client and name that is known, and how an exception is told."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from firedoor import errors
from firedoor.guards.classify import (
    RETRY_AFTER_MAX_S,
    ErrorClass,
    classify,
    classify_status,
    describe,
    retry_after_s,
)

STATUSES: dict[int, ErrorClass] = {
    400: "permanent", 404: "permanent", 408: "timeout", 422: "permanent", 425: "transient",
    429: "overload", 500: "transient", 501: "permanent", 502: "transient", 503: "overload",
    504: "timeout", 507: "overload", 529: "overload", 599: "permanent",
}  # fmt: skip
GRPC: dict[str, ErrorClass] = {
    "UNAVAILABLE": "transient", "INTERNAL": "transient", "UNKNOWN": "transient",
    "ABORTED": "transient", "DATA_LOSS": "transient", "RESOURCE_EXHAUSTED": "overload",
    "DEADLINE_EXCEEDED": "timeout", "INVALID_ARGUMENT": "data", "OUT_OF_RANGE": "data",
    "NOT_FOUND": "permanent", "": "permanent",
}  # fmt: skip
CLIENTS = (
    "aiohttp", "botocore", "grpc", "httpcore", "httpx", "httpx2", "niquests", "requests", "urllib3",
)  # fmt: skip
TIMEOUTS = (
    "Timeout", "TimeoutException", "TimeoutError", "ServerTimeoutError", "ReadTimeoutError",
    "ConnectTimeoutError",
)  # fmt: skip
WRONG = (
    "InvalidURL", "UnsupportedProtocol", "InvalidSchema", "MissingSchema", "TooManyRedirects",
    "LocalProtocolError", "DecodingError", "CookieConflict", "InvalidHeader", "StreamError",
    "ParamValidationError", "LocationParseError",
)  # fmt: skip


def foreign(module: str, name: str, base: type[Exception] = Exception, **fields: Any) -> Exception:
    """Return an exception of a client that is not installed here."""
    kind: type[Exception] = type(name, (base,), {"__module__": module, **fields})
    return kind()


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_is_of_its_class_wherever_it_is_carried(status: int, kind: ErrorClass) -> None:
    assert classify_status(status) == kind
    for fields in (
        {"response": SimpleNamespace(status_code=status)}, {"status": status}, {"code": status},
        {"response": {"ResponseMetadata": {"HTTPStatusCode": status}}},
    ):  # fmt: skip
        assert classify(foreign("mine", "E", ValueError, **fields)) == kind


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 99}, {"status": 600}, {"status": 200}, {"status": "503"}, {"code": None},
        {"response": None}, {"response": SimpleNamespace(status_code="503")},
        {"response": {}}, {"response": {"ResponseMetadata": 3}},
        {"response": {"ResponseMetadata": {"HTTPStatusCode": "503"}}},
        {"response": {"ResponseMetadata": {"HTTPStatusCode": None}}, "status": 503},
    ],
)  # fmt: skip
def test_what_is_no_status_of_an_error_leaves_it_to_the_class(fields: dict[str, Any]) -> None:
    assert classify(foreign("mine", "E", ValueError, **fields)) == "data"
    assert classify(foreign("mine", "E", **fields)) == "transient"


def test_the_first_status_that_is_found_decides() -> None:
    response = SimpleNamespace(status_code=503)
    assert classify(foreign("mine", "E", response=response, status=404, code=404)) == "overload"
    assert classify(foreign("mine", "E", status=100, code=503)) == "transient"
    assert classify(foreign("mine", "E", status=7, code=503)) == "overload"


@pytest.mark.parametrize(("name", "kind"), GRPC.items())
def test_a_code_of_grpc_is_of_its_class(name: str, kind: ErrorClass) -> None:
    code = SimpleNamespace(name=name)
    assert classify(foreign("grpc", "RpcError", ValueError, code=lambda _: code)) == kind


@pytest.mark.parametrize("client", CLIENTS)
def test_the_exceptions_of_a_client_are_known_by_their_names(client: str) -> None:
    for module in (client, f"{client}.exceptions", f"{client}.a.b"):
        assert classify(foreign(module, "ReadTimeoutError", ValueError)) == "timeout"
        assert classify(foreign(module, "InvalidURL")) == "data"
        assert classify(foreign(module, "Odd", ValueError)) == "transient"
    assert classify(foreign(f"my.{client}", "InvalidURL")) == "transient"


@pytest.mark.parametrize("name", TIMEOUTS)
def test_a_client_that_did_not_get_an_answer_in_time_says_so(name: str) -> None:
    assert classify(foreign("httpx", name)) == "timeout"
    assert classify(foreign("mine", name)) == "transient"


@pytest.mark.parametrize("name", WRONG)
def test_a_call_that_a_client_refuses_to_make_is_wrong(name: str) -> None:
    assert classify(foreign("httpx", name)) == "data"
    assert classify(foreign("mine", name)) == "transient"


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC]
)
def test_a_system_that_is_full_is_overloaded(code: int) -> None:
    assert classify(OSError(code, "full")) == "overload"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileExistsError(), "permanent"), (IsADirectoryError(), "permanent"),
        (NotADirectoryError(), "permanent"), (OSError(), "transient"),
        (AssertionError(), "data"), (AttributeError(), "data"), (NameError(), "data"),
        (NotImplementedError(), "data"), (SyntaxError(), "data"),
        (errors.StreamsUnavailable("away"), "transient"),
        (errors.WorkersUnavailable("away"), "transient"),
        (errors.FiredoorError("odd"), "data"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_what_nobody_carries_a_status_for_is_known_by_its_class(
    error: Exception, kind: ErrorClass
) -> None:
    assert classify(error) == kind


class Mute(Exception):
    """Cannot be printed."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


def test_an_exception_is_told_in_one_line_whatever_it_says() -> None:
    assert describe(ValueError("  one\n two ")) == "ValueError: one"
    assert describe(ValueError(" \n ")) == "ValueError"
    assert describe(Mute()) == "Mute"
    long = describe(ValueError("x" * 1_000))
    assert long == f"ValueError: {errors.shorten('x' * 1_000, 160)}"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"retry_after_s": 3}, 3.0),
        ({"retry_after_s": 0}, 0.0),
        ({"retry_after_s": RETRY_AFTER_MAX_S + 1}, 300.0),
        ({"retry_after_s": 3, "headers": {"retry-after": "4"}}, 3.0),
        ({"headers": {"retry-after": "4"}}, 4.0),
        ({"headers": {"Retry-After": "4"}}, 4.0),
        ({"headers": {"retry-after": "5", "Retry-After": "4"}}, 5.0),
        ({"headers": {"Retry-After": 4}}, 4.0),
        ({"headers": {"RETRY-AFTER": "4"}}, None),
        ({"headers": {"Retry-After": "4"}, "response": SimpleNamespace(headers={})}, None),
        ({"headers": {"Retry-After": "4"}, "response": SimpleNamespace()}, 4.0),
        ({"response": SimpleNamespace(headers={"Retry-After": "6"})}, 6.0),
        ({"headers": 3}, None),
        ({"headers": {"Retry-After": "inf"}}, 300.0),
        ({"headers": {"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}}, None),
        ({"headers": {"Retry-After": [4]}}, None),
    ],
)
def test_what_is_asked_for_is_found_wherever_it_is_carried(
    fields: dict[str, Any], seconds: float | None
) -> None:
    assert retry_after_s(foreign("mine", "E", **fields)) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 01:01:40 +0100", 40.0),
        ("Thu, 01 Jan 1970 00:00:40 GMT", 0.0),
        ("soon", None),
    ],
)
def test_a_date_is_understood_where_the_time_is_known(date: str, seconds: float | None) -> None:
    assert retry_after_s(foreign("mine", "E", headers={"retry-after": date}), 60.0) == seconds
