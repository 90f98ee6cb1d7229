"""From bytes to requests: what httptools parses, held to limits and to one meaning.

Whatever two readers of the same bytes could understand differently (two lengths, a length beside
chunks, no host) is refused: that is how requests are smuggled past a proxy.
"""

from __future__ import annotations

from typing import Protocol

try:
    import httptools
except ModuleNotFoundError as error:  # pragma: no cover - the test environment has it
    message = "services need a parser of HTTP: pip install 'firedoor[serve]'"
    raise ModuleNotFoundError(message, name="httptools") from error

from firedoor.errors import shorten
from firedoor.gateway.http_message import Head, HttpLimits, Turn, target_of

ONCE = frozenset(
    (
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"inference-header-content-length",
        b"transfer-encoding",
        b"x-firedoor-key",
        b"x-firedoor-priority",
        b"x-firedoor-route",
        b"x-firedoor-source",
        b"x-firedoor-timeout-s",
        b"x-request-id",
    )
)
"""Headers that mean something here, and would mean two things if they were there twice."""
LENGTH_DIGITS_MAX = 15
PASSING = frozenset((b"traceparent", b"tracestate", b"x-request-id"))
"""Headers that are of one request alone: a head that has one does not come again."""


HEADS_MAX = 256
HEAD_BYTES_MAX = 2_048


class Heads:
    """What was made of heads that were read lately, by their very bytes: clients send them again.

    Only of the plainest kind: each line ends by CRLF and is a header, the body's length is told
    (``Turn.held``), the connection goes on, and nothing in it is of one request alone. The same
    bytes mean the same, so what they were found to mean need not be found again.
    """

    __slots__ = ("_known", "find")

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[bytes, Turn] = {}
        self.find = self._known.get

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._known)

    def learn(self, raw: bytes, lines: int, known: Turn) -> None:
        """Keep a head of so many lines, the empty one included; when there are many, begin anew."""
        if len(raw) > HEAD_BYTES_MAX or not raw.count(b"\r\n") == raw.count(b"\n") == lines:
            return
        if len(self._known) >= HEADS_MAX:
            self._known.clear()
        self._known[raw] = known


class Reads(Protocol):
    """Who is told of requests."""

    def begun(self) -> None:
        """Take note that the first byte of a request came."""
        ...

    def quick(self, turn: Turn, body: bytes) -> bool:
        """Take a whole request at once; False: not now, it has to be read step by step."""
        ...

    def headed(self, head: Head, length: int, *, keep: bool) -> int:
        """Take a head, and return how many bytes of body are read; -1: nothing more is.

        Args:
            head: method, target and headers.
            length: of the body as it was announced; -1: it comes in chunks.
            keep: whether the client wants another answer on this connection.
        """
        ...

    def admitted(self, length: int) -> Turn | None:
        """Return what any body of this length behind the head that was taken last would be."""
        ...

    def grown(self, size: int) -> bool:
        """Take note of more body held; False: there is no room for it, nothing more is read."""
        ...

    def complete(self, body: bytes) -> None:
        """Take the whole request whose head was taken last."""
        ...

    def broken(self, status: int, message: str) -> None:
        """Take note that these bytes are no request; nothing more is read."""
        ...


class Reader:
    """Parses what one connection sends. Tells nothing more once something was refused."""

    __slots__ = (
        "_began",
        "_body",
        "_body_max",
        "_chunked",
        "_data",
        "_fresh",
        "_head_bytes",
        "_headed",
        "_headers",
        "_heads",
        "_limits",
        "_lines",
        "_parser",
        "_rest",
        "_target",
        "_told",
        "deaf",
    )

    def __init__(self, told: Reads, limits: HttpLimits, heads: Heads) -> None:
        """Begin a connection; ``heads`` are those of all connections."""
        self._heads = heads
        self._data = b""
        self._told = told
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self.deaf = False
        """Whether whatever comes is thrown away."""
        self._began = False
        self._fresh = False
        self._start()

    def _start(self) -> None:
        """Forget the request before."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = self._lines = 0
        self._headed = False
        self._chunked = False
        self._body = b""
        self._rest: bytearray | None = None
        self._body_max = 0

    def feed(self, data: bytes) -> None:
        """Parse more bytes."""
        if self.deaf:
            return
        if not self._began:
            end = data.find(b"\r\n\r\n") + 4
            known = self._heads.find(data[:end])
            whole = known is not None and len(data) - end == known.held
            if known is not None and whole and self._told.quick(known, data[end:]):
                return
            self._data = data
        before = self._head_bytes
        self._fresh = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request is told by now; another protocol is not spoken, and what follows is not
            # understood.
            self.deaf = True
        except httptools.HttpParserError as error:
            if not self.deaf:
                self._break(400, f"this is not HTTP/1.1: {shorten(str(error))}")
        else:
            # A header without an end is held by the parser, and told by it when it ends: a piece
            # that neither begins nor ends anything is a part of one.
            if self._began and not (self._headed or self._fresh or self._head_bytes != before):
                self._head_bytes += len(data)
                self._judge_head()
        self._data = b""

    # ------------------------------------------------------------------ called by the parser

    def on_message_begin(self) -> None:
        """Begin a request."""
        if not self.deaf:
            self._start()
            self._began = self._fresh = True
            self._told.begun()

    def on_url(self, piece: bytes) -> None:
        """Take a piece of the target."""
        if self.deaf:
            return
        self._target += piece
        if len(self._target) > self._limits.target_bytes:
            self._break(414, f"the path and query are over {self._limits.target_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or what follows a body in chunks, which is counted and left alone."""
        if self.deaf:
            return
        self._head_bytes += len(name) + len(value) + 4
        self._lines += 1
        headers = self._headers
        name = name.lower()
        if name in headers:
            if name in ONCE and not self._headed:
                self._break(400, f"the header {name.decode('latin-1')} is there twice: send one")
                return
        elif not self._headed:
            headers[name] = value
        if self._head_bytes > self._limits.header_bytes or len(headers) > self._limits.headers:
            self._judge_head()

    def on_headers_complete(self) -> None:
        """Judge the head, and ask whether the body is wanted."""
        if self.deaf:
            return
        data, self._data = self._data, b""  # a second request in one piece does not begin it
        self._headed = True
        length = self._length()
        if self.deaf:
            return
        path, query = target_of(self._target)
        head = Head(self._parser.get_method().decode("ascii"), path, query, self._headers)
        # Another protocol is not spoken here: the request is answered as it is, and that is all.
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._body_max = self._told.headed(head, length, keep=keep)
        self.deaf = self._body_max < 0
        if keep and length > 0 and data and not self.deaf:
            self._learn(data, length)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body: the first as it is, further ones in one buffer."""
        if self.deaf:
            return
        if not self._told.grown(len(piece)):
            self.deaf = True
        elif self._rest is not None:
            self._rest += piece
        elif self._body:
            self._rest = bytearray(self._body)
            self._rest += piece
        else:
            self._body = piece
        if self._chunked and len(self._rest or self._body) > self._body_max:
            self._break(413, too_large(self._body_max))

    def on_message_complete(self) -> None:
        """Hand the request on."""
        if self.deaf:
            return
        body = self._body if self._rest is None else bytes(self._rest)
        self._body, self._rest = b"", None
        self._began = False
        self._told.complete(body)

    def _learn(self, data: bytes, length: int) -> None:
        """Remember a head that a piece of bytes began with, and what was made of it."""
        if not self._headers.keys().isdisjoint(PASSING):
            return
        turn = self._told.admitted(length)
        if turn is not None:
            raw = data[: data.find(b"\r\n\r\n") + 4]
            self._heads.learn(raw, self._lines + 2, turn)

    # ----------------------------------------------------------------------------- judgement

    def _length(self) -> int:
        """Return how long the body is said to be, -1 for chunks; breaks off where that is odd."""
        headers = self._headers
        announced = headers.get(b"content-length")
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            self._chunked = True
            if announced is not None:
                self._break(400, "content-length beside transfer-encoding: send one of them")
            elif coding.strip().lower() != b"chunked":
                self._break(501, "transfer-encoding other than chunked is not understood")
            elif self._parser.get_http_version() == "1.0":
                self._break(400, "HTTP/1.0 knows no transfer-encoding: send content-length")
        if b"host" not in headers and self._parser.get_http_version() != "1.0":
            self._break(400, "the header host is missing: HTTP/1.1 needs it")
        if announced is None:
            return -1 if coding is not None else 0
        if not announced.isdigit() or len(announced) > LENGTH_DIGITS_MAX:
            self._break(400, "content-length is not a number of bytes: count the body")
            return 0
        return int(announced)

    def _judge_head(self) -> None:
        """Break off where the head is too large."""
        limits = self._limits
        if self._head_bytes > limits.header_bytes:
            self._break(431, f"the headers are over {limits.header_bytes} bytes: send fewer")
        elif len(self._headers) > limits.headers:
            self._break(431, f"there are more than {limits.headers} headers: send fewer")

    def _break(self, status: int, message: str) -> None:
        """Tell that this is no request, once."""
        if not self.deaf:
            self.deaf = True
            self._told.broken(status, message)


def too_large(body_bytes: int) -> str:
    """Return what is said of a body over its limit."""
    return (
        f"the body is over {body_bytes} bytes: send fewer rows at once, or raise body_bytes "
        "of the service"
    )
