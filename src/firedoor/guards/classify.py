"""What kind of failure an exception is; decides whether it counts, and whether trying again helps.

| Class | Means | Breaker | Retried |
|---|---|---|---|
| ``transient`` | the dependency failed, or its network | bad | yes |
| ``overload`` | it has too much to do (429, 503) | bad | yes, not before ``Retry-After`` |
| ``timeout`` | it did not answer in time; whether it did the work is not known | bad | yes |
| ``permanent`` | it answered, and will answer the same again (404, 422) | neutral | no |
| ``data`` | the call was wrong, not the dependency (``ValueError``, ``KeyError``) | neutral | no |

HTTP clients are known by the names of their classes and by the status code that their exceptions
carry, so none of them is imported. An exception that nobody knows is ``transient``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Literal

from firedoor import errors

ErrorClass = Literal["transient", "overload", "timeout", "permanent", "data"]
Classifier = Callable[[BaseException], ErrorClass | None]
"""Returns the class of an exception, or None where it has no opinion."""

RETRY_AFTER_MAX_S = 300.0
"""A longer ``Retry-After`` is taken for this."""

_STATUS: dict[int, ErrorClass] = {
    408: "timeout", 425: "transient", 429: "overload", 500: "transient", 502: "transient",
    503: "overload", 504: "timeout", 507: "overload", 529: "overload",
}  # fmt: skip
_GRPC: dict[str, ErrorClass] = {
    "UNAVAILABLE": "transient", "INTERNAL": "transient", "UNKNOWN": "transient",
    "ABORTED": "transient", "DATA_LOSS": "transient", "RESOURCE_EXHAUSTED": "overload",
    "DEADLINE_EXCEEDED": "timeout", "INVALID_ARGUMENT": "data", "OUT_OF_RANGE": "data",
}  # fmt: skip
_CLIENTS = frozenset(
    {"aiohttp", "botocore", "grpc", "httpcore", "httpx", "httpx2", "niquests", "requests",
     "urllib3"}
)  # fmt: skip
"""Top modules of clients whose exceptions are known by name."""
_TIMEOUTS = ("Timeout", "TimeoutException", "TimeoutError", "ServerTimeoutError",
             "ReadTimeoutError", "ConnectTimeoutError")  # fmt: skip
_WRONG = ("InvalidURL", "UnsupportedProtocol", "InvalidSchema", "MissingSchema",
          "TooManyRedirects",
          "LocalProtocolError", "DecodingError", "CookieConflict", "InvalidHeader", "StreamError",
          "ParamValidationError", "LocationParseError")  # fmt: skip
_DATA = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError,
         NotImplementedError, SyntaxError, TypeError, ValueError)  # fmt: skip
_PERMANENT_OS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError,
                 PermissionError)  # fmt: skip
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})


def classify(error: BaseException) -> ErrorClass:
    """Return the class of an exception.

    >>> classify(ConnectionResetError()), classify(TimeoutError()), classify(KeyError("origin"))
    ('transient', 'timeout', 'data')
    """
    return _ours(error) or _by_status(error) or _by_client(error) or _by_stdlib(error)


def classify_status(status: int) -> ErrorClass | None:
    """Return the class of an HTTP status; None: it is no error.

    >>> classify_status(503), classify_status(404), classify_status(200)
    ('overload', 'permanent', None)
    """
    return _STATUS.get(status) or ("permanent" if status >= 400 else None)  # noqa: PLR2004 - HTTP


def retry_after_s(error: BaseException, utc_s: float | None = None) -> float | None:
    """Return how long the dependency asks to be left alone, in seconds; None: it does not say.

    Understood are a field ``retry_after_s``, and the header ``Retry-After`` of a response in
    seconds, or as a date where ``utc_s`` tells what time it is.
    """
    said = getattr(error, "retry_after_s", None)
    if said is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        headers = getattr(error, "headers", None) if headers is None else headers
        said = _header(headers, "retry-after")
    return _seconds(said, utc_s)


def describe(error: BaseException) -> str:
    """Return an exception in a line, whatever it says.

    >>> describe(KeyError("origin")), describe(TimeoutError())
    ("KeyError: 'origin'", 'TimeoutError')
    """
    name = type(error).__name__
    try:
        said = str(error).strip()
    except Exception:  # noqa: BLE001 - somebody's __str__; its class is enough
        return name
    return f"{name}: {errors.shorten(said.splitlines()[0], 160)}" if said else name


def _ours(error: BaseException) -> ErrorClass | None:
    """Know our own exceptions: a refusal further in has its own guard, and is not asked again."""
    match error:
        case errors.Refused():
            return "permanent"
        case errors.Full():
            return "overload"
        case errors.DeadlineExceeded():
            return "timeout"
        case errors.DependencyDown() | errors.StreamsUnavailable() | errors.WorkersUnavailable():
            return "transient"
        case errors.FiredoorError():
            return "data"
        case _:
            return None


def _by_status(error: BaseException) -> ErrorClass | None:
    """Know an exception by the status that it, or its response, carries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        response = response.get("ResponseMetadata")
        status = response.get("HTTPStatusCode") if isinstance(response, dict) else None
        return classify_status(status) if isinstance(status, int) else None
    for holder, name in ((response, "status_code"), (error, "status"), (error, "code")):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 100 <= status <= 599:  # noqa: PLR2004 - HTTP
            return classify_status(status)
    return None


def _by_client(error: BaseException) -> ErrorClass | None:
    """Know the exceptions of HTTP and gRPC clients by name."""
    names = [k.__name__ for k in type(error).__mro__ if k.__module__.split(".")[0] in _CLIENTS]
    if not names:
        return None
    code = getattr(error, "code", None)
    if callable(code):
        return _GRPC.get(str(getattr(code(), "name", None)), "permanent")
    if any(name in _TIMEOUTS for name in names):
        return "timeout"
    return "data" if any(name in _WRONG for name in names) else "transient"


def _by_stdlib(error: BaseException) -> ErrorClass:
    """Know the exceptions of the standard library."""
    match error:
        case TimeoutError():
            return "timeout"
        case MemoryError():
            return "overload"
        case OSError() if isinstance(error, _PERMANENT_OS):
            return "permanent"
        case OSError() if error.errno in _FULL:
            return "overload"
        case _ if isinstance(error, _DATA):
            return "data"
        case _:
            return "transient"


def _header(headers: object, name: str) -> object:
    """Return a header from anything that has ``get``, whatever the case of its names."""
    get = getattr(headers, "get", None)
    if not callable(get):
        return None
    found = get(name)
    return get(name.title()) if found is None else found


def _seconds(said: object, utc_s: float | None) -> float | None:
    """Return seconds from a number, digits or a date; None for anything else."""
    if isinstance(said, str):
        text = said
        try:
            said = float(text)
        except ValueError:
            said = None if utc_s is None else _date_s(text, utc_s)
    if not isinstance(said, int | float) or isinstance(said, bool) or said != said:  # noqa: PLR0124
        return None
    return min(max(0.0, float(said)), RETRY_AFTER_MAX_S)


def _date_s(said: str, utc_s: float) -> float | None:
    """Return how far off a date of HTTP is, in seconds."""
    # Costs 15 ms, and few dependencies send dates.
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415

    date = parsedate_tz(said)
    return None if date is None else mktime_tz(date) - utc_s
