"""What a request's head says of it, and what an answer's head says back."""

from __future__ import annotations

import functools
import math
import re
from typing import Final, NamedTuple

from firedoor.gateway.exchange import Answer
from firedoor.gateway.http_message import Head, Response, error_response, header_line, retry_after
from firedoor.guards.shedding import PRIORITIES, Priority
from firedoor.spec.service_plan import ServiceLimits

TIMEOUT_S_MAX = 3_600.0
ID_MAX = 200
KEY_MAX = 1_000
SOURCE_MAX = 300
PARENT_MAX = 100
OK: Final = 200
UNAVAILABLE: Final = 503

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?(?:[eE]-?\d)?")
_TESTERS = ("candidate", "champion")


class Refusal(ValueError):
    """A request cannot be understood; the response that says why."""

    def __init__(self, status: int, message: str, headers: bytes = b"") -> None:
        """Keep the response."""
        super().__init__(message)
        self.response = error_response(status, message, headers)


class Asked(NamedTuple):
    """What a head says besides method and path."""

    id: str = ""
    key: str = ""
    priority: Priority = "default"
    timeout_s: float | None = None
    tester: str = ""
    source: str = ""
    parent: str = ""
    """``traceparent``, as it was sent: what is none is found out where it matters."""


_NOTHING = Asked()
_ASKING = frozenset(
    (
        b"traceparent",
        b"x-request-id",
        b"x-firedoor-key",
        b"x-firedoor-priority",
        b"x-firedoor-route",
        b"x-firedoor-source",
        b"x-firedoor-timeout-s",
    )
)


def asked_of(head: Head) -> Asked:
    """Return what the headers of a request say.

    Raises:
        Refusal: if one cannot be what it says.
    """
    headers = head.headers
    if headers.keys().isdisjoint(_ASKING):
        return _NOTHING
    asked_id = header_text(head, "X-Request-Id", ID_MAX) if b"x-request-id" in headers else ""
    key = header_text(head, "X-Firedoor-Key", KEY_MAX) if b"x-firedoor-key" in headers else ""
    source = (
        header_text(head, "X-Firedoor-Source", SOURCE_MAX)
        if b"x-firedoor-source" in headers
        else ""
    )
    priority = (
        head.header(b"x-firedoor-priority") if b"x-firedoor-priority" in headers else "default"
    )
    if priority not in PRIORITIES:
        raise Refusal(400, f"X-Firedoor-Priority is none of {', '.join(PRIORITIES)}")
    tester = head.header(b"x-firedoor-route")
    if b"x-firedoor-route" in headers and tester not in _TESTERS:
        raise Refusal(400, "X-Firedoor-Route is neither candidate nor champion: leave it out")
    timeout = head.header(b"x-firedoor-timeout-s")
    timeout_s = None
    if b"x-firedoor-timeout-s" in headers:
        if not _SECONDS.fullmatch(timeout):
            raise Refusal(400, "X-Firedoor-Timeout-S is not a number of seconds: write 0.25")
        timeout_s = sound_timeout(float(timeout), "X-Firedoor-Timeout-S")
    parent = head.header(b"traceparent")[:PARENT_MAX]
    return Asked(asked_id, key, priority, timeout_s, tester, source, parent)


def sound_timeout(seconds: float, name: str) -> float:
    """Return how long a caller waits.

    Raises:
        Refusal: if nobody can wait so long.
    """
    if not (math.isfinite(seconds) and 0 < seconds <= TIMEOUT_S_MAX):
        raise Refusal(
            400, f"{name} is not between 0 and {TIMEOUT_S_MAX:g} s: say how long you wait for this"
        )
    return seconds


def shorter(first: float | None, second: float | None, limits: ServiceLimits) -> float | None:
    """Return the shorter of two waits, no longer than a service lets anybody wait."""
    said = [seconds for seconds in (first, second) if seconds is not None]
    return min(*said, limits.timeout_s) if said else None


def header_text(head: Head, name: str, length: int) -> str:
    """Return a header that is a line of plain text.

    Raises:
        Refusal: if it is anything else.
    """
    text = head.header(name.lower().encode())
    if len(text) > length or not is_plain(text):
        raise Refusal(400, f"{name} is not printable ASCII of at most {length} characters")
    return text


def is_plain(text: str) -> bool:
    """Return whether a text is printable ASCII, and so fit for a header."""
    return text.isascii() and text.isprintable()


def with_id(response: Response, head: Head) -> Response:
    """Return a response that no service has made, with the id that the caller gave its request."""
    asked = head.header(b"x-request-id")
    if not asked or len(asked) > ID_MAX or not is_plain(asked):
        return response
    return response._replace(headers=response.headers + header_line("X-Request-Id", asked))


def check_content(head: Head, *, binary: bool = False) -> Response | None:
    """Return what is said to a body of a type that is not read; None: it may be read."""
    if b"content-encoding" in head.headers:
        return error_response(415, "compressed bodies are not read: send it as it is")
    return _judge_content(head.headers.get(b"content-type", b""), binary=binary)


@functools.lru_cache(maxsize=64)
def _judge_content(said: bytes, *, binary: bool) -> Response | None:
    """Return what is said to one content type."""
    if not said:
        return None
    kind, _, rest = said.decode("latin-1").partition(";")
    kind = kind.strip().lower()
    if binary and kind == "application/octet-stream":
        return None
    if kind != "application/json" and not kind.endswith("+json"):
        return error_response(
            415, f"the body is said to be {kind}: send JSON, with Content-Type: application/json"
        )
    rest = rest.replace('"', "").replace(" ", "").lower()
    if "charset=" in rest and "charset=utf-8" not in rest:
        return error_response(415, "JSON is read as UTF-8 alone")
    return None


def answer_headers(answer: Answer) -> bytes:
    """Return the headers that say what an answer is."""
    lines = variant_lines(answer.model, answer.version, answer.arm, answer.degraded)
    if answer.id and answer.id is answer.prediction and is_plain(answer.id):
        made = answer.id.encode()
        lines = b"%bX-Request-Id: %b\r\nX-Firedoor-Prediction-Id: %b\r\n" % (lines, made, made)
    else:
        if answer.id:
            lines += header_line("X-Request-Id", answer.id)
        if answer.prediction:
            lines += header_line("X-Firedoor-Prediction-Id", answer.prediction)
    if answer.features:
        lines += header_line("X-Firedoor-Features", answer.features)
    return lines


def failed_response(answer: Answer) -> Response:
    """Return what is said where there is no prediction."""
    headers = answer_headers(answer)
    if answer.retry_after_s is not None or answer.status == UNAVAILABLE:
        headers += retry_after(answer.retry_after_s or 1.0)
    return error_response(answer.status, answer.message or "there is no answer", headers)


def variant_of(answer: Answer) -> str:
    """Return ``delays@3``; empty where no model answered."""
    return f"{answer.model}@{answer.version}" if answer.model and answer.version else ""


@functools.lru_cache(maxsize=256)
def variant_lines(model: str, version: str, arm: str, degraded: str) -> bytes:
    """Return those headers that many answers share."""
    lines = [header_line("X-Firedoor-Arm", arm)]
    if model and version:
        lines.append(header_line("X-Firedoor-Variant", f"{model}@{version}"))
        lines.append(header_line("X-Firedoor-Model-Version", version))
    if degraded:
        lines.append(header_line("X-Firedoor-Degraded", degraded))
    return b"".join(lines)
