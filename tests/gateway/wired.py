"""Bytes to a server and back, for tests that send what no client library would."""

from __future__ import annotations

import socket
from typing import NamedTuple, Self

import msgspec

HOST = "127.0.0.1"
WAIT_S = 10.0


class Said(NamedTuple):
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body, which is an object."""
        said: dict[str, object] = msgspec.json.decode(self.body)
        return said

    @property
    def error(self) -> str:
        """What went wrong."""
        return str(self.json["error"])


class Wire:
    """One connection."""

    def __init__(self, port: int, *, buffer_bytes: int | None = None) -> None:
        """Connect."""
        self.socket = socket.socket()
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.settimeout(WAIT_S)
        try:
            self.socket.connect((HOST, port))
        except OSError:
            self.socket.close()
            raise
        self._left = b""

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def more(self) -> bytes:
        """Return bytes; empty: the server has closed."""
        try:
            return self.socket.recv(65_536)
        except ConnectionResetError:
            return b""

    def until(self, mark: bytes) -> bytes:
        """Return everything up to and with a mark."""
        while mark not in self._left:
            piece = self.more()
            assert piece, f"closed after {self._left!r}"
            self._left += piece
        at = self._left.index(mark) + len(mark)
        found, self._left = self._left[:at], self._left[at:]
        return found

    def read(self, *, bare: bool = False) -> Said:
        """Return the next response."""
        head = self.until(b"\r\n\r\n").decode("ascii").split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header is there twice"
        size = 0 if bare else int(headers["content-length"])
        while len(self._left) < size:
            piece = self.more()
            assert piece, "closed within a body"
            self._left += piece
        body, self._left = self._left[:size], self._left[size:]
        return Said(int(head[0].split(" ")[1]), headers, body)

    def closed(self) -> bool:
        """Wait until the server hangs up; whatever comes before is lost."""
        while self.more():
            pass
        return True


def request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    """Return a request as it should be."""
    lines = {"Host": "here", **(headers or {})}
    if body or method == "POST":
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **lines}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Said:
    """Return what is said to one request on a connection of its own."""
    with Wire(port) as wire:
        wire.send(request(method, path, body, headers))
        return wire.read(bare=method == "HEAD")


def row(x: float, n: int) -> bytes:
    """Return a row of the scripted service."""
    return msgspec.json.encode({"x": x, "n": n})
