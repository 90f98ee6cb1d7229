"""The envelope: what travels with the rows of a batch from zone to zone.

It is one ASCII header beside the payload. The payload is an Arrow IPC stream (lz4) of
``frame_bytes`` and, where rows were dropped on the way, a second stream with one column ``row``
(u32): the number of each row in the batch as its source cut it. Without it rows count from 0.
"""

from __future__ import annotations

import zlib

import msgspec

from firedoor.quality.grades import Grade

WIRE_VERSION = 1
WIRE_VERSIONS_READ = (0, 1)
"""Readers accept N and N - 1."""
HEADER = "Fd-Envelope"
PAYLOAD_MAX = 4 * 2**20
"""Bytes of a payload. Larger batches are refused where they are cut."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a runner knows of a batch without decoding a row. Times are seconds since 1970, UTC."""

    batch: str
    """``str(BatchId)``."""
    rows: int
    frame_bytes: int
    crc32: int
    """Of the whole payload."""
    zone: str
    """The zone that published it."""
    zone_version: str
    """Hash of that zone's code."""
    schema: str = ""
    """Fingerprint of the columns and types of the payload; empty: not known."""
    cut_s: float
    """When its source cut it."""
    sent_s: float = 0.0
    """When its publisher had it ready to be published; 0: not known."""
    deadline_s: float | None = None
    """When it is late by the freshness that zones promise; None: never. A late batch is worked on
    all the same, but nothing is waited for or tried twice for it."""
    attempt: int = 1
    """Which attempt of the zone that has it this is: where it tries again, calls inside do not."""
    parent: str | None = None
    """The batch that this one repeats in part: of a replay or a backfill."""
    only: tuple[str, ...] = ()
    """Zones that it may still be published to; () is all. Set by replays and backfills."""
    lookups: dict[str, str] = {}
    """Version of each lookup, pinned when the batch was cut."""
    weight: float = 1.0
    """How many rows each row stands for, where some were left out by sampling."""
    quality: dict[str, Grade] = {}
    """By lookup or guard, how good what its rows were made of was, the worst on its way. All rows
    of a batch share it, so no step can lose it."""
    models: dict[str, str] = {}
    """Which version of each model it was scored by on its way, the latest: ``delays@3``."""
    waived: tuple[str, ...] = ()
    """Zones whose demands a person waived: set by a replay of what they had refused."""
    cause: str = ""
    """Whose fault it is that its rows are late, or worse than promised: the first on its way that
    made them so, a zone or ``dependency:NAME``; empty: they are neither."""
    traceparent: str | None = None
    """Of the span of who published it; None: nobody wants to see one."""
    firedoor: str = ""
    wire: int = WIRE_VERSION


class Damaged(Exception):
    """A message is not what its publisher sent, or is of a wire version that is not known."""


def encode_envelope(envelope: Envelope) -> str:
    """Return the header's value. Everything in an envelope is ASCII."""
    return msgspec.json.encode(envelope).decode("ascii")


def decode_envelope(header: str, payload: bytes) -> Envelope:
    """Return the envelope of a payload, checked against it.

    Raises:
        Damaged: if it is none, of another version, or the payload is another than was sent.
    """
    try:
        envelope = msgspec.json.decode(header, type=Envelope)
    except (msgspec.DecodeError, UnicodeError) as error:
        message = f"not an envelope: {error}"
        raise Damaged(message) from error
    if envelope.wire not in WIRE_VERSIONS_READ:
        message = (
            f"batch {envelope.batch} speaks wire version {envelope.wire}, this firedoor "
            f"{' and '.join(map(str, WIRE_VERSIONS_READ))}: bring both to one version"
        )
        raise Damaged(message)
    if checksum(payload) != envelope.crc32 or envelope.frame_bytes > len(payload):
        message = f"the payload of batch {envelope.batch} is not the one that was published"
        raise Damaged(message)
    return envelope


def checksum(payload: bytes) -> int:
    """Return the checksum of a payload: a flipped byte must not become a number in a row."""
    return zlib.crc32(payload)
