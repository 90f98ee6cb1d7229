"""Messages as bytes: ``<u32 header length><u64 payload length><header><payload>``.

Pure: no sockets here, so that both ends and the tests share one codec. The wall does not trust its
worker: a length over its bound is refused before anything is allocated.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from firedoor.wire.messages import Reply, Request

PREFIX = struct.Struct("<IQ")
HEADER_BYTES_MAX = 64 * 2**20

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)

Bytes = bytes | bytearray | memoryview
T = TypeVar("T")


class Garbled(Exception):
    """The bytes are not a message: the sender is broken and must be replaced."""


def encode(message: Request | Reply, *payload: Bytes) -> list[Bytes]:
    """Return the pieces to write, in order, without joining them."""
    header = _encoder.encode(message)
    size = sum(len(part) for part in payload)
    return [PREFIX.pack(len(header), size) + header, *payload]


def decode_request(header: Bytes) -> Request:
    """Return the request in ``header``."""
    return _requests.decode(header)


def decode_reply(header: Bytes) -> Reply:
    """Return the reply in ``header``.

    Raises:
        Garbled: if it is none.
    """
    try:
        return _replies.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Garbled(str(error)) from error


@dataclass(slots=True)
class Inbox:
    """Collects bytes into one message at a time; gives back where to read the next bytes to."""

    payload_bytes_max: int
    _header: bytearray = field(default_factory=lambda: bytearray(PREFIX.size))
    _payload: io.BytesIO = field(default_factory=io.BytesIO)
    _target: memoryview = field(default_factory=lambda: memoryview(b""))
    _filled: int = 0
    _stage: str = ""

    def __post_init__(self) -> None:
        """Wait for the first message."""
        self._expect("prefix", memoryview(self._header))

    def room(self) -> memoryview:
        """Return the memory into which the next bytes belong."""
        return self._target[self._filled :]

    def took(self, count: int) -> tuple[Reply, io.BytesIO] | None:
        """Count ``count`` bytes read into ``room()``; return a message once it is whole.

        Raises:
            Garbled: if the bytes are no message, or one over its bound.
        """
        self._filled += count
        while self._filled == len(self._target):
            if self._stage == "prefix":
                self._begin()
            elif self._stage == "header":
                self._expect("payload", self._payload.getbuffer())
            else:
                header, payload = self._header, self._payload
                self._expect("prefix", memoryview(bytearray(PREFIX.size)))
                return decode_reply(header), payload
        return None

    def _begin(self) -> None:
        """Make room for the header and payload that the prefix announces."""
        header_size, payload_size = PREFIX.unpack(self._target)
        if header_size > HEADER_BYTES_MAX or payload_size > self.payload_bytes_max:
            message = f"a message of {header_size} + {payload_size} bytes is over its bound"
            raise Garbled(message)
        self._header, self._payload = bytearray(header_size), blank(payload_size)
        self._expect("header", memoryview(self._header))

    def _expect(self, stage: str, target: memoryview) -> None:
        """Read into ``target`` from now on."""
        self._target.release()
        self._stage, self._target, self._filled = stage, target, 0


def blank(size: int) -> io.BytesIO:
    """Return a buffer of ``size`` bytes to read into, which polars then reads without a copy.

    Four times faster here than a bytearray that is copied into a BytesIO.
    """
    buffer = io.BytesIO()
    if size:
        buffer.seek(size - 1)
        buffer.write(b"\0")
        buffer.seek(0)
    return buffer


def sections(payload: io.BytesIO, sizes: tuple[int, ...]) -> list[io.BytesIO]:
    """Cut a payload into its sections.

    Raises:
        Garbled: if the sizes do not add up to it.
    """
    with payload.getbuffer() as view:
        if sum(sizes) != len(view) or any(size < 0 for size in sizes):
            message = f"sections {sizes} do not add up to {len(view)} bytes"
            raise Garbled(message)
        if len(sizes) == 1:
            return [payload]
        cut, at = [], 0
        for size in sizes:
            cut.append(io.BytesIO(view[at : at + size]))
            at += size
        return cut
