"""Where a gateway tells a worker which fault to do to itself, and the worker how often it did.

In the file in which the worker counts its requests, behind those counts: a mark that is read once a
batch, and is 0 as long as nobody drills. The end of the fault's lease stands there as well, on
``CLOCK_MONOTONIC``, so that the worker ends it by itself. Nothing of it is believed by a gateway
but the count, and that is shown and no more.
"""

from __future__ import annotations

import mmap
import os
import struct

import msgspec

from firedoor.drill.fault import Fault

MARK_AT = 64
"""A byte: another one for each fault that comes after another; 0: there is none."""
MARK_MAX = 255
_UNTIL_AT, _HITS_AT, _FAULT_AT = 72, 80, 88
_UNTIL, _HITS, _SIZE = struct.Struct("<d"), struct.Struct("<Q"), struct.Struct("<H")
_FAULT_BYTES_MAX = mmap.PAGESIZE - _FAULT_AT - _SIZE.size


# ---- the gateway's side


def encode_fault(fault: Fault) -> bytes:
    """Return a fault as it is written.

    Raises:
        ValueError: if its texts have no room.
    """
    data = msgspec.msgpack.encode(fault)
    if len(data) > _FAULT_BYTES_MAX:
        message = f"a fault of {len(data):,} bytes has no room: give drills shorter names"
        raise ValueError(message)
    return _SIZE.pack(len(data)) + data


def write_fault(fd: int, data: bytes, until_s: float, mark: int) -> None:
    """Tell a worker what to do to itself, from its next batch on.

    Args:
        fd: of its file, in which no other fault stands.
        data: of ``encode_fault``.
        until_s: when it ends, on ``CLOCK_MONOTONIC``.
        mark: from 1 to ``MARK_MAX``, another one than that of the fault before.
    """
    os.pwrite(fd, _UNTIL.pack(until_s) + _HITS.pack(0) + data, _UNTIL_AT)
    os.pwrite(fd, bytes((mark,)), MARK_AT)


def write_until(fd: int, until_s: float) -> None:
    """Tell a worker until when its fault goes on."""
    os.pwrite(fd, _UNTIL.pack(until_s), _UNTIL_AT)


def clear_fault(fd: int) -> None:
    """Have a worker do nothing to itself any more."""
    os.pwrite(fd, b"\0", MARK_AT)


def clear_hits(fd: int) -> None:
    """Count anew."""
    os.pwrite(fd, _HITS.pack(0), _HITS_AT)


def read_hits(fd: int) -> int:
    """Return how many rows or requests a worker says that its fault hit."""
    data = os.pread(fd, _HITS.size, _HITS_AT)
    return int(_HITS.unpack(data)[0]) if len(data) == _HITS.size else 0


# ---- the worker's side


def read_fault(page: mmap.mmap) -> Fault | None:
    """Return what a worker is to do to itself; None: nothing, or nothing that can be read."""
    (size,) = _SIZE.unpack_from(page, _FAULT_AT)
    begin = _FAULT_AT + _SIZE.size
    try:
        return msgspec.msgpack.decode(page[begin : begin + size], type=Fault)
    except msgspec.DecodeError:
        return None


def ends_s(page: mmap.mmap) -> float:
    """Return when the fault ends."""
    return float(_UNTIL.unpack_from(page, _UNTIL_AT)[0])


def add_hits(page: mmap.mmap, count: int) -> None:
    """Count what was hit."""
    _HITS.pack_into(page, _HITS_AT, _HITS.unpack_from(page, _HITS_AT)[0] + count)
