"""Messages as bytes: ``<u32 header length><u64 payload length><header><payload>``.

Pure: no sockets here, so that both ends and the tests share one codec. The wall does not trust its
worker: a length over its bound is refused before anything is allocated.
"""

from __future__ import annotations

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
    except msgspec.MsgspecError as error:
        raise Garbled(str(error)) from error


@dataclass(slots=True)
class Inbox:
    """Collects bytes into one message at a time; gives back where to read the next bytes to."""

    payload_bytes_max: int
    _prefix: bytearray = field(default_factory=lambda: bytearray(PREFIX.size))
    _header: bytearray = field(default_factory=bytearray)
    _payload: bytearray = field(default_factory=bytearray)
    _filled: int = 0
    _stage: int = 0

    def room(self) -> memoryview:
        """Return the memory into which the next bytes belong."""
        target = (self._prefix, self._header, self._payload)[self._stage]
        return memoryview(target)[self._filled :]

    def took(self, count: int) -> tuple[Reply, memoryview] | None:
        """Count ``count`` bytes read into ``room()``; return a message once it is whole."""
        self._filled += count
        while self._filled == len((self._prefix, self._header, self._payload)[self._stage]):
            if self._stage == 0:
                self._begin()
            if self._stage == 2:  # noqa: PLR2004 - prefix, header, payload
                header, payload = self._header, memoryview(self._payload)
                self._stage, self._filled, self._payload = 0, 0, bytearray()
                return decode_reply(header), payload
            self._stage += 1
            self._filled = 0
        return None

    def _begin(self) -> None:
        """Make room for the header and payload that the prefix announces."""
        header_size, payload_size = PREFIX.unpack(self._prefix)
        if header_size > HEADER_BYTES_MAX or payload_size > self.payload_bytes_max:
            message = f"a message of {header_size} + {payload_size} bytes is over its bound"
            raise Garbled(message)
        self._header = bytearray(header_size)
        self._payload = bytearray(payload_size)


def sections(payload: memoryview, sizes: tuple[int, ...]) -> list[memoryview]:
    """Cut a payload into its sections.

    Raises:
        Garbled: if the sizes do not add up to it.
    """
    if sum(sizes) != len(payload) or any(size < 0 for size in sizes):
        message = f"sections {sizes} do not add up to {len(payload)} bytes"
        raise Garbled(message)
    cut, at = [], 0
    for size in sizes:
        cut.append(payload[at : at + size])
        at += size
    return cut
